"""Predict slices one after the other, with or without the help of what lies around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_sam_adapter.engine.predictor import ModelReference, Predictor, SlicePredicted
from napari_sam_adapter.errors import EngineError, ImageError, SamAdapterError
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource, check_slice
from napari_sam_adapter.volumes.volume_help import VolumeHelp, predict_helped


@dataclass(frozen=True, slots=True)
class SliceSkipped:
    """A slice nothing could be predicted for, and why."""

    index: SliceIndex
    reason: str


def predict_slices(
    predictor: Predictor,
    source: SliceSource,
    indices: Sequence[SliceIndex],
    model: ModelReference,
    should_stop: Callable[[], bool],
    prompts: Prompts = NO_PROMPTS,
) -> Iterator[SlicePredicted | SliceSkipped]:
    """Predict slices one after the other, reading each only when its turn comes.

    Prompts belong to a single slice, so they are given with one index only.

    Yields
    ------
    SlicePredicted or SliceSkipped
        Skipped: a slice without contrast, or one that could not be read, among several.

    Raises
    ------
    SamAdapterError
        If the model cannot be used, or the only slice asked for cannot be predicted.
    """
    for index in indices:
        if should_stop():
            return
        try:
            image = source.read(index)
            check_slice(image)
        except ImageError as error:
            if len(indices) == 1:
                raise
            yield SliceSkipped(index, str(error))
            continue
        try:
            yield predictor.predict(index, image, model, prompts)
        except SamAdapterError as error:
            placed = EngineError(f"{source.describe(index)}: {error}")
            placed.details = error.details
            raise placed from error


class _StoppedError(Exception):
    """Leave a slice that is half predicted."""


def predict_slices_helped(
    predictor: Predictor,
    source: SliceSource,
    indices: Sequence[SliceIndex],
    model: ModelReference,
    n_classes: int,
    help_: VolumeHelp,
    should_stop: Callable[[], bool],
    on_predicted: Callable[[], None] = lambda: None,
) -> Iterator[SlicePredicted | SliceSkipped]:
    """Predict slices with the help of what lies around them, see `volume_help`.

    ``should_stop`` is asked before each slice or tile that is sent to the process, ``on_predicted``
    is called after it. Predictions have no confidence, which was measured without help.

    Yields
    ------
    SlicePredicted or SliceSkipped

    Raises
    ------
    SamAdapterError
        As `predict_slices`.
    """
    adapter_id = ""

    def predict_logits(image: np.ndarray) -> np.ndarray:
        nonlocal adapter_id
        if should_stop():
            raise _StoppedError
        logits, adapter_id = predictor.predict_logits(image, model)
        on_predicted()
        return logits

    try:
        for index, found in predict_helped(
            source, indices, predict_logits, n_classes, help_, should_stop
        ):
            if not isinstance(found, ImageError):
                yield SlicePredicted(index, found, adapter_id, None)
            elif len(indices) == 1:
                raise found
            else:
                yield SliceSkipped(index, str(found))
    except _StoppedError:
        return
