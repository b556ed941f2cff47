"""Predict the slices of files, one after the other, while the next ones are read.

What comes out is a stream: a file as it was opened, then its slices in order, then the next file.
`cluster.spread` makes the same stream with other machines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.ahead import ahead
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.data.slices_ahead import SlicesAhead
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.sam.registry import DEFAULT_MODEL
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource, value_range
from napari_sam_adapter.volumes.volume_help import VolumeHelp, predict_helped

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.sam.predict import MaskPrediction

_log = logging.getLogger(__name__)

HelpFor = Callable[[PlacedImage], VolumeHelp]


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file whose slices follow.

    Attributes
    ----------
    image : PlacedImage
    n_predicted : int
        How many slices are predicted for its masks: with three axes, more than it has.
    """

    image: PlacedImage
    n_predicted: int


@dataclass(frozen=True, slots=True)
class PredictedSlice:
    """What a model makes of one slice of the file that came last.

    Attributes
    ----------
    index : tuple of int
    labels : ndarray of uint8, shape (Y, X), or None
        None for a slice without contrast.
    expected_dice : float or None
        See `MaskPrediction.expected_dice`; None where nothing was predicted, or with help.
    """

    index: SliceIndex
    labels: np.ndarray | None
    expected_dice: float | None


def load_model(adapter: Path | None, model: str | None, device: str) -> AdaptedSam:
    """Load an adapter on its base, or the base model alone, on a device.

    From then on, the process keeps freed memory (`sam.allocator`).

    Raises
    ------
    SamAdapterError
        If the adapter, the model or the device cannot be used.
    """
    from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
    from napari_sam_adapter.sam.allocator import keep_freed_memory
    from napari_sam_adapter.sam.checkpoint import load_adapter
    from napari_sam_adapter.sam.devices import choose_device

    chosen = choose_device(device)
    keep_freed_memory()
    if adapter is None:
        settings = ModelSettings.default(model or DEFAULT_MODEL)
        return build_adapted_sam(settings).to_device(chosen)
    return load_adapter(adapter, base=model)[0].to_device(chosen)


def predict_files(
    sam: AdaptedSam,
    paths: Sequence[Path],
    views: int,
    help_for: HelpFor,
    on_progress: Callable[[float], None] = lambda share: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[OpenedFile | PredictedSlice, None, None]:
    """Predict all slices of files.

    Parameters
    ----------
    sam : AdaptedSam
    paths : sequence of Path
        As for `open_image`.
    views : int
    help_for : callable
        Returns the help that an image gets.
    on_progress : callable
        Told after each slice which share of its file's slices it is.
    should_stop : callable
        Asked before each slice, tile or turn of the volume; True ends the stream.

    Yields
    ------
    OpenedFile or PredictedSlice

    Raises
    ------
    SamAdapterError
        If a file cannot be read or used; it comes when all before it have been yielded.
    """
    with ahead(lambda stop: _opened(paths, stop)) as images:
        for image in images:
            for note in image.notes:
                _log.warning(note)
            help_, is_one_of_many = help_for(image), len(paths) > 1
            run = _FileRun(sam, image, views, help_, is_one_of_many, on_progress, should_stop)
            yield OpenedFile(image, run.n_predicted)
            try:
                yield from run.predict()
            except _StoppedError:
                return
            except ImageError as error:
                raise ImageError(f"{image.name}: {error}") from error


def _opened(
    paths: Sequence[Path], should_stop: Callable[[], bool]
) -> Generator[PlacedImage, None, None]:
    for path in paths:
        if should_stop():
            return
        yield open_image(path)


def source_of(image: PlacedImage) -> SliceSource:
    """See an image as slices.

    Raises
    ------
    ImageError
        With the name of the image, if that cannot be.
    """
    try:
        return SliceSource(image.data, is_colour=image.is_colour, axes=image.geometry.axes)
    except ImageError as error:
        raise ImageError(f"{image.name}: {error}") from error


def predict_one(
    sam: AdaptedSam,
    source: SliceSource,
    index: SliceIndex,
    views: int,
    *,
    is_one_of_many: bool,
    tile: int | None = None,
) -> PredictedSlice:
    """Predict a slice by itself, in tiles of a side if it is larger than that.

    Raises
    ------
    ImageError
        If it cannot be read or used, except that one of many may be without contrast.
    """
    if tile is None:
        image = source.read(index)
        if is_one_of_many and value_range(image) is None:
            return PredictedSlice(index, None, None)
        prediction = _predict_masks(sam, image, views)
        return PredictedSlice(index, prediction.labels, prediction.expected_dice)

    def predict_logits(image: np.ndarray) -> np.ndarray:
        return _predict_masks(sam, image, views).logits()

    help_ = VolumeHelp(tile=tile)
    ((_, labels),) = predict_helped(source, [index], predict_logits, sam.settings.n_classes, help_)
    return _of_help(source, index, labels, is_one_of_many)


def _of_help(
    source: SliceSource, index: SliceIndex, labels: np.ndarray | ImageError, is_one_of_many: bool
) -> PredictedSlice:
    """Raise why there are no labels, unless it is that one slice of many has no contrast."""
    if not isinstance(labels, ImageError):
        return PredictedSlice(index, labels, None)
    if is_one_of_many and value_range(source.read(index)) is None:
        return PredictedSlice(index, None, None)
    raise labels


def _predict_masks(sam: AdaptedSam, image: np.ndarray, views: int) -> MaskPrediction:
    from napari_sam_adapter.sam.predict import predict_masks

    return predict_masks(sam, image, views=views)


class _StoppedError(Exception):
    """Leave a slice, or a volume, that is half predicted."""


class _FileRun:
    """Predicts the slices of one image; see `predict_files`."""

    def __init__(
        self,
        sam: AdaptedSam,
        image: PlacedImage,
        views: int,
        help_: VolumeHelp,
        is_one_of_many: bool,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._sam, self._image, self._views, self._help = sam, image, views, help_
        self._on_progress, self._should_stop = on_progress, should_stop
        # Across three axes there are more slices to predict than to write.
        source = source_of(image)
        self.n_predicted = source.n_slices
        self._is_one_of_many = is_one_of_many or source.n_slices > 1
        if help_.three_axes:
            self.n_predicted = source.n_slices // source.n_deep * source.n_across_axes

    def predict(self) -> Iterator[PredictedSlice]:
        # Known slices are not read, except to turn the volume.
        indices = list(source_of(self._image).indices())
        known = {} if self._help.three_axes else self._help.known
        turns = [index for index in indices if index not in known]
        data, is_colour = self._image.data, self._image.is_colour
        axes = self._image.geometry.axes
        with SlicesAhead(data, is_colour=is_colour, axes=axes, turns=turns) as source:
            slices = self._helped(source, indices) if self._help else self._alone(source, indices)
            for one in slices:
                if not self._help.three_axes:
                    self._on_progress(1 / self.n_predicted)
                yield one

    def _alone(
        self, source: SliceSource, indices: Sequence[SliceIndex]
    ) -> Iterator[PredictedSlice]:
        for index in indices:
            self._heed_stop()
            yield predict_one(
                self._sam, source, index, self._views, is_one_of_many=self._is_one_of_many
            )

    def _helped(
        self, source: SliceSource, indices: Sequence[SliceIndex]
    ) -> Iterator[PredictedSlice]:
        n_classes = self._sam.settings.n_classes
        found = predict_helped(source, indices, self._predict_logits, n_classes, self._help)
        for index, labels in found:
            self._heed_stop()
            yield _of_help(source, index, labels, self._is_one_of_many)

    def _predict_logits(self, image: np.ndarray) -> np.ndarray:
        self._heed_stop()
        logits = _predict_masks(self._sam, image, self._views).logits()
        if self._help.three_axes:
            self._on_progress(1 / self.n_predicted)
        return logits

    def _heed_stop(self) -> None:
        if self._should_stop():
            raise _StoppedError
