"""Fill the slices between corrected ones by interpolating their shapes, in the background."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.annotations.made_with import by_filling
from napari_sam_adapter.annotations.slice_history import FILLED
from napari_sam_adapter.annotations.slice_tracker import READY, SliceState
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.errors import ImageError, SamAdapterError
from napari_sam_adapter.project.events import now
from napari_sam_adapter.volumes.depth import NO_DEPTH
from napari_sam_adapter.volumes.fill_between import fill_between
from napari_sam_adapter.volumes.slice_source import moved_to
from napari_sam_adapter.widgets.predict.deed import Deed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.predict.prediction import Prediction

_CORRECT_TWO = "Correct a slice before and one after those that are to be filled."
WIDE_GAP = 5  # slices; in wider ones predictions were better (docs/results.md)
_FILLABLE = (SliceState.UNTOUCHED, SliceState.PREDICTED)


class Filling(QObject):
    """Starts fillings as jobs of `Prediction`, which write slices and can be cancelled.

    Attributes
    ----------
    refused : Signal(str)
        A sentence on why nothing is filled, true as long as the masks are as they are.
    """

    refused = Signal(str)

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        prediction: Prediction,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._prediction = session, layers, prediction

    def fill(self) -> None:
        """Fill what is untouched or predicted between the person's slices along a slider.

        That is the slider in use, unless it goes along channels.
        """
        try:
            if self._layers.image is not None and self._layers.binding is None:
                raise ImageError(f"There are no masks yet. {_CORRECT_TWO}")
            binding = self._layers.need()
            binding.check_known()
            axis = _axis_in_use(binding)
            (known, wanted), as_of = self._sort(binding, axis), now()
            here, spacing_yx = binding.index_in_view(), _pixel_size(binding)
            widest = max(after - before - 1 for before, after in pairwise(sorted(known)))
            summary = _summary(len(wanted), len(known), widest)

            def events(should_stop: Callable[[], bool]) -> Iterator[SlicePredicted]:
                for position, labels in _filled(known, wanted, spacing_yx):
                    if should_stop():
                        return
                    yield SlicePredicted(moved_to(here, axis, position), labels, FILLED, None)

            deed = Deed(
                events,
                len(wanted),
                "filling",
                summary,
                made_with=lambda index: by_filling(known, index, axis, spacing_yx, as_of),
            )
            self._prediction.start(binding, deed)
        except SamAdapterError as error:
            self.refused.emit(str(error))

    def _sort(self, binding: LayerBinding, axis: int) -> tuple[dict[int, np.ndarray], list[int]]:
        """Return the person's slices along an axis, and the positions that lie open between them.

        Where there is one class, any label is the object (as in training), and is filled as 1.
        """
        tracker, here = binding.tracker, binding.index_in_view()
        states = {
            position: tracker.state(moved_to(here, axis, position))
            for position in range(binding.source.slider_shape[axis])
        }
        mine = [position for position, state in states.items() if state in READY]
        if len(mine) < 2:
            so_far = "One slice" if mine else "No slice"
            raise ImageError(
                f"{so_far} along the slider in use is corrected or accepted so far. {_CORRECT_TWO}"
            )
        between = range(mine[0], mine[-1])
        wanted = [position for position in between if states[position] in _FILLABLE]
        if not wanted:
            raise ImageError(
                "Between the slices you have corrected or accepted none is open; nothing to fill."
            )
        one_class = len(self._session.classes) == 1
        known = {
            position: binding.class_labels(moved_to(here, axis, position), one_class)
            for position in mine
        }
        return known, wanted


def _axis_in_use(binding: LayerBinding) -> int:
    """Return the slider axis of the image that napari highlights; else its depth.

    Raises
    ------
    ImageError
        If there is none, or channels alone.
    """
    source, dims = binding.source, binding.viewer.dims
    if not source.slider_shape:
        raise ImageError("A single picture has no slices between which anything could be filled.")
    if source.depth.axis is None:
        raise ImageError(f"{NO_DEPTH} Nothing was filled.")
    axis = int(dims.last_used) - (dims.ndim - binding.image.ndim)
    return axis if axis in source.axes_of_neighbours else source.depth.axis


def _filled(
    known: Mapping[int, np.ndarray], wanted: list[int], spacing_yx: tuple[float, float]
) -> Iterator[tuple[int, np.ndarray]]:
    """Fill gap after gap, so that memory holds the slices of one."""
    for before, after in pairwise(sorted(known)):
        gap = [position for position in wanted if before < position < after]
        ends = {before: known[before], after: known[after]}
        yield from fill_between(ends, gap, spacing_yx).items()


def _pixel_size(binding: LayerBinding) -> tuple[float, float]:
    height, width = (abs(float(size)) for size in binding.image.scale[-2:])
    return height, width


def _summary(n_wanted: int, n_known: int, widest: int) -> Callable[[int], str]:
    def summary(done: int) -> str:
        if done < n_wanted:
            return f"Cancelled: {done} of {n_wanted} slices were filled."
        slices = "1 slice" if done == 1 else f"{done} slices"
        advice = (
            f"Up to {widest} lie between two of yours, which is far to guess: correct one of those."
            if widest > WIDE_GAP
            else "Correct what is wrong, and accept the others."
        )
        return f"Filled {slices} between {n_known} of yours; look through them. {advice}"

    return summary
