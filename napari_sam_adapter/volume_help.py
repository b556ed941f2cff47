"""Slices predicted with the help of what lies around them.

Puts `three_axes`, `tiling`, `carry` and `across_slices` together, for command line and dock. Knows
no model: a callable predicts logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_sam_adapter.across_slices import kernel_radius, smooth_across
from napari_sam_adapter.carry import neighbours, prior_from_neighbours
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.three_axes import predict_three_axes
from napari_sam_adapter.tiling import PredictLogits, predict_tiles
from napari_sam_adapter.volume import SliceIndex, SliceSource, check_slice

OVERLAP = 8  # tiles share this part of their side


@dataclass(frozen=True, slots=True)
class VolumeHelp:
    """What helps to predict a slice, beside the slice. Without anything, nothing does.

    Attributes
    ----------
    smooth : float
        Average the probabilities of neighbouring slices: the standard deviation of the weights, in
        slices.
    tile : int or None
        Predict slices with a longer side than this in tiles of this side.
    known : mapping of slice index to ndarray of int, shape (Y, X)
        Corrected labels: they are kept, and their neighbours heed them.
    three_axes : bool
        Average the logits of the slices across all three axes. The volume is read into memory: see
        `three_axes.bytes_needed`.
    spacing : tuple of float
        Size of a voxel along Z, Y and X.
    """

    smooth: float = 0.0
    tile: int | None = None
    known: Mapping[SliceIndex, np.ndarray] = field(default_factory=dict)
    three_axes: bool = False
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __bool__(self) -> bool:
        return bool(self.smooth or self.tile or self.known or self.three_axes)


def predict_helped(
    source: SliceSource,
    indices: Sequence[SliceIndex],
    predict_logits: PredictLogits,
    n_classes: int,
    help_: VolumeHelp,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[SliceIndex, np.ndarray | ImageError]]:
    """Predict slices with help.

    Parameters
    ----------
    source : SliceSource
        Neighbours are slices along its last slider axis.
    indices : sequence of tuple of int
    predict_logits : callable
        See `tiling.PredictLogits`. Called for slices with contrast only, for each once as long as
        the indices follow each other along the last axis.
    n_classes : int
        K.
    help_ : VolumeHelp
    should_stop : callable
        Asked before each slice.

    Yields
    ------
    index : tuple of int
    labels : ndarray (Y, X), or ImageError
        Labels as uint8, or why there are none: no contrast, or not readable. A slice that is known
        comes back as it is.

    Raises
    ------
    ImageError
        If the image has not the axes that a help needs.

    Notes
    -----
    Memory: the maps of as many slices as smoothing takes into account; with three axes, a volume
    and its logits; with tiles alone, the labels of a slice and two rows of tiles.
    """
    if (help_.smooth or help_.three_axes or help_.known) and not source.slider_shape:
        raise ImageError("A single picture has no neighbouring slices that could help to predict.")
    helped = _Helped(source, predict_logits, n_classes, help_)
    for run in _runs(indices):
        yield from helped.predict(run, should_stop)


def _runs(indices: Sequence[SliceIndex]) -> Iterator[list[SliceIndex]]:
    """Divide indices where they do not ascend along the last axis."""
    run: list[SliceIndex] = []
    for index in indices:
        if run and not (index[:-1] == run[-1][:-1] and index[-1:] > run[-1][-1:]):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


class _Helped:
    """Predicts the slices of one image.

    Parameters are those of `predict_helped`.
    """

    def __init__(
        self, source: SliceSource, predict_logits: PredictLogits, n_classes: int, help_: VolumeHelp
    ) -> None:
        self._source, self._help, self._n_classes = source, help_, n_classes
        self._predict_logits = predict_logits
        self._radius = kernel_radius(help_.smooth)
        self._fused: tuple[SliceIndex, np.ndarray | ImageError] | None = None
        self._should_stop: Callable[[], bool] = lambda: False

    def predict(
        self, run: Sequence[SliceIndex], should_stop: Callable[[], bool]
    ) -> Iterator[tuple[SliceIndex, np.ndarray | ImageError]]:
        """Predict slices whose last positions ascend."""
        self._should_stop = should_stop
        if self._radius:
            yield from self._predict_smoothed(run, should_stop)
            return
        for index in run:
            if should_stop():
                return
            try:
                yield index, self._labels(index)
            except ImageError as error:
                if should_stop():
                    return
                yield index, error

    def _predict_smoothed(
        self, run: Sequence[SliceIndex], should_stop: Callable[[], bool]
    ) -> Iterator[tuple[SliceIndex, np.ndarray | ImageError]]:
        """Predict slices, and those around them that have a say."""
        line, wanted = run[0][:-1], {index[-1] for index in run}
        near = {p + i for p in wanted for i in range(-self._radius, self._radius + 1)}
        near &= set(range(self._source.slider_shape[-1]))
        span = range(min(near), max(near) + 1)
        failed: dict[int, ImageError] = {}

        def map_of(position: int) -> np.ndarray | None:
            try:
                return self._probabilities((*line, position))
            except ImageError as error:
                failed[position] = error
                return None

        maps = (map_of(p) if p in near and not should_stop() else None for p in span)
        for position, found in zip(span, smooth_across(maps, self._help.smooth), strict=True):
            if should_stop():
                return
            index = (*line, position)
            if position not in wanted:
                continue
            if index in self._help.known:
                yield index, self._help.known[index]
            else:
                yield index, failed[position] if found is None else labels_above(found, 0.5)

    def _labels(self, index: SliceIndex) -> np.ndarray:
        """Predict a slice that is not smoothed; a large one without holding its logits."""
        if index in self._help.known:
            return self._help.known[index]
        if self._help.three_axes or self._help.known or not self._slices_are_tiled:
            return labels_above(self._logits(index), 0.0)
        rows = self._rows(_Picture(self._source, index))
        return np.concatenate([labels_above(logits, 0.0) for logits in rows])

    def _probabilities(self, index: SliceIndex) -> np.ndarray:
        known = self._help.known.get(index)
        if known is not None:
            classes = np.arange(1, self._n_classes + 1)[:, None, None]
            return np.asarray(known == classes, np.float32)
        return np.asarray(1 / (1 + np.exp(-self._logits(index))), np.float32)

    def _logits(self, index: SliceIndex) -> np.ndarray:
        if self._help.three_axes:
            logits = np.asarray(self._volume(index[:-1])[:, index[-1]], np.float32)
        else:
            image = self._source.read(index)
            check_slice(image)
            logits = self._whole_or_tiled(image)
        line = {
            known[-1]: labels
            for known, labels in self._help.known.items()
            if known[:-1] == index[:-1]
        }
        if not line or not neighbours(line, index[-1]):
            return logits
        prior = prior_from_neighbours(line, index[-1], self._n_classes, self._help.spacing)
        return np.asarray(logits + prior, np.float32)

    def _volume(self, line: SliceIndex) -> np.ndarray:
        """Return the logits (K, Z, Y, X) of a volume, computed once, or fail for its one reason."""
        if self._fused is None or self._fused[0] != line:
            self._fused = None  # a volume at a time
            try:
                self._fused = line, self._fuse(line)
            except ImageError as error:
                self._fused = line, error
        found = self._fused[1]
        if isinstance(found, ImageError):
            raise found
        return found

    def _fuse(self, line: SliceIndex) -> np.ndarray:
        depth, volume = self._source.slider_shape[-1], np.empty(0)
        for z in range(depth):
            if self._should_stop():
                raise ImageError("Stopped while the volume was read.")
            image = self._source.read((*line, z))
            if z == 0:
                volume = np.empty((depth, *image.shape), image.dtype)
            volume[z] = image
        return predict_three_axes(volume, self._whole_or_tiled, self._n_classes, self._help.spacing)

    def _whole_or_tiled(self, image: np.ndarray) -> np.ndarray:
        tile = self._help.tile
        if tile is None or max(image.shape[:2]) <= tile:
            return self._predict_logits(image)
        return np.concatenate(list(self._rows(image)), axis=1)

    def _rows(self, picture: object) -> Iterable[np.ndarray]:
        tile = self._help.tile or 0
        overlap = tile // OVERLAP
        found = predict_tiles(picture, self._predict_logits, self._n_classes, tile, overlap)
        return (logits for _, logits in found)

    @property
    def _slices_are_tiled(self) -> bool:
        tile = self._help.tile
        return tile is not None and max(self._source.slice_shape) > tile


class _Picture:
    """A slice of which parts are read; the whole only if its source cannot read less."""

    def __init__(self, source: SliceSource, index: SliceIndex) -> None:
        self._source, self._index = source, index
        self.shape = source.slice_shape + ((3,) if source.is_colour else ())

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        part = self._source.read_part(self._index, window)
        return part[..., :3] if self._source.is_colour else part


def labels_above(maps: np.ndarray, threshold: float) -> np.ndarray:
    """Return the class of the highest map (K, Y, X) where it is above a threshold, else 0."""
    labels = np.where(maps.max(axis=0) > threshold, maps.argmax(axis=0) + 1, 0)
    return np.asarray(labels, np.uint8)
