"""What a job of `Prediction` is to do: slices to write, by whatever means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from napari_sam_adapter.engine.predict_slices import SliceSkipped
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.volumes.slice_source import SliceIndex


@dataclass(frozen=True, slots=True)
class Deed:
    """Slices to write in the background, by whatever means.

    Attributes
    ----------
    events : callable
        Called in a worker thread with a callable that tells whether to stop; returns an iterable
        of `SlicePredicted` and `SliceSkipped`.
    n_wanted : int
        How many of them.
    doing : str
        What is done to them: ``predicting``.
    summary : callable
        Makes the sentence at the end from how many slices are done.
    n_ahead : int
        How many slices are predicted before the first one is written, if that is what takes time.
    made_with : callable
        Describes by what a slice was made, see `made_with`.
    corrected_too : bool
        Whether corrected slices are written, too, around the person's pixels; else those that were
        corrected since it began are left as they are.
    """

    events: Callable[[Callable[[], bool]], Iterable[SlicePredicted | SliceSkipped]]
    n_wanted: int
    doing: str
    summary: Callable[[int], str]
    n_ahead: int = 0
    made_with: Callable[[SliceIndex], dict[str, Any]] = lambda index: {}
    corrected_too: bool = False

    @property
    def description(self) -> str:
        """What runs, for sentences and for napari's question before it closes."""
        return f"{self.doing} {'a slice' if self.n_wanted == 1 else f'{self.n_wanted} slices'}"
