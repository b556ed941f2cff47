"""Slices predicted with the help of what lies around them.

Puts `three_axes`, `tiling`, `carry` and `across_slices` together, for command line and dock. Knows
no model: a callable predicts logits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.across_slices import kernel_radius, smooth_across
from napari_sam_adapter.volumes.carry import neighbours, prior_from_neighbours
from napari_sam_adapter.volumes.depth import NO_DEPTH
from napari_sam_adapter.volumes.slice_source import (
    NO_CONTRAST,
    SliceIndex,
    SliceSource,
    check_slice,
)
from napari_sam_adapter.volumes.three_axes import check_memory, predict_three_axes
from napari_sam_adapter.volumes.tiling import PredictLogits, predict_tiles

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
        `three_axes.check_memory`.
    spacing : tuple of float
        Size of a voxel along the depth, Y and X.
    """

    smooth: float = 0.0
    tile: int | None = None
    known: Mapping[SliceIndex, np.ndarray] = field(default_factory=dict)
    three_axes: bool = False
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __bool__(self) -> bool:
        return bool(self.tile or self.needs_neighbours)

    @property
    def needs_neighbours(self) -> bool:
        """Whether other slices are looked at, so that a single picture cannot have it."""
        return bool(self.smooth or self.known or self.three_axes)


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
        Neighbours are slices along its depth.
    indices : sequence of tuple of int
    predict_logits : callable
        See `tiling.PredictLogits`. Called for slices with contrast only, for each once as long as
        the indices ascend along the depth; lines of slices may take turns.
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
        If the image has not the axes that a help needs, or three axes do not fit into memory.

    Notes
    -----
    Memory: the maps of as many slices as smoothing takes into account; with three axes, a volume
    and its logits; both for each line of slices that take turns, like channels between the slices
    of a volume; with tiles alone, the labels of a slice and two rows of tiles.
    """
    if help_.needs_neighbours and not source.depth:
        raise ImageError(
            NO_DEPTH
            if source.slider_shape
            else "A single picture has no neighbouring slices that could help to predict."
        )
    if help_.three_axes:
        check_memory(source, indices, n_classes)
    depth, helped = source.depth, _Helped(source, predict_logits, n_classes, help_)
    left = Counter(map(depth.line, indices))
    for turns in depth.ascending(indices):
        lines = depth.lines(turns)
        runs = {line: helped.predict(run, should_stop) for line, run in lines.items()}
        for index in turns:
            line = depth.line(index)
            found = next(runs[line], None)
            if found is None:  # stopped
                return
            yield found
            left[line] -= 1
            if index == lines[line][-1]:
                del runs[line]  # and with it the maps around its last slice
            if not left[line]:
                helped.forget(line)


class _Helped:
    """Predicts the slices of one image.

    Parameters are those of `predict_helped`.
    """

    def __init__(
        self, source: SliceSource, predict_logits: PredictLogits, n_classes: int, help_: VolumeHelp
    ) -> None:
        self._source, self._help, self._n_classes = source, help_, n_classes
        self._predict, self._n_predicted = predict_logits, 0
        self._radius = kernel_radius(help_.smooth)
        self._depth = source.depth
        self._fused: dict[SliceIndex, np.ndarray | ImageError] = {}
        self._should_stop: Callable[[], bool] = lambda: False

    def predict(
        self, run: Sequence[SliceIndex], should_stop: Callable[[], bool]
    ) -> Iterator[tuple[SliceIndex, np.ndarray | ImageError]]:
        """Predict slices of one line, whose places ascend."""
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

    def forget(self, line: SliceIndex) -> None:
        """Let go of a volume of which no slice is wanted any more."""
        self._fused.pop(line, None)

    def _predict_smoothed(
        self, run: Sequence[SliceIndex], should_stop: Callable[[], bool]
    ) -> Iterator[tuple[SliceIndex, np.ndarray | ImageError]]:
        """Predict slices, and those around them that have a say."""
        line, wanted = self._depth.line(run[0]), set(map(self._depth.place, run))
        near = {p + i for p in wanted for i in range(-self._radius, self._radius + 1)}
        near &= set(range(self._source.n_deep))
        span = range(min(near), max(near) + 1)
        failed: dict[int, ImageError] = {}

        def map_of(position: int) -> np.ndarray | None:
            try:
                return self._probabilities(self._depth.at(line, position))
            except ImageError as error:
                failed[position] = error
                return None

        maps = (map_of(p) if p in near and not should_stop() else None for p in span)
        for position, found in zip(span, smooth_across(maps, self._help.smooth), strict=True):
            if should_stop():
                return
            index = self._depth.at(line, position)
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
        n_before = self._n_predicted
        rows = self._rows(_Picture(self._source, index))
        labels = np.concatenate([labels_above(logits, 0.0) for logits in rows])
        if self._n_predicted == n_before:  # no tile had anything in it
            raise ImageError(NO_CONTRAST)
        return np.asarray(labels)

    def _predict_logits(self, image: np.ndarray) -> np.ndarray:
        self._n_predicted += 1
        return self._predict(image)

    def _probabilities(self, index: SliceIndex) -> np.ndarray:
        known = self._help.known.get(index)
        if known is not None:
            classes = np.arange(1, self._n_classes + 1)[:, None, None]
            return np.asarray(known == classes, np.float32)
        return np.asarray(1 / (1 + np.exp(-self._logits(index))), np.float32)

    def _logits(self, index: SliceIndex) -> np.ndarray:
        own_line, place = self._depth.line(index), self._depth.place(index)
        if self._help.three_axes:
            logits = np.asarray(self._volume(own_line)[:, place], np.float32)
        else:
            image = self._source.read(index)
            check_slice(image)
            logits = self._whole_or_tiled(image)
        line = {
            self._depth.place(known): labels
            for known, labels in self._help.known.items()
            if self._depth.line(known) == own_line
        }
        if not line or not neighbours(line, place):
            return logits
        prior = prior_from_neighbours(line, place, self._n_classes, self._help.spacing)
        return np.asarray(logits + prior, np.float32)

    def _volume(self, line: SliceIndex) -> np.ndarray:
        """Return the logits (K, Z, Y, X) of a volume, computed once, or fail for its one reason."""
        if line not in self._fused:
            try:
                self._fused[line] = self._fuse(line)
            except ImageError as error:
                self._fused[line] = error
        found = self._fused[line]
        if isinstance(found, ImageError):
            raise found
        return found

    def _fuse(self, line: SliceIndex) -> np.ndarray:
        n_deep, volume = self._source.n_deep, np.empty(0)
        for z in range(n_deep):
            if self._should_stop():
                raise ImageError("Stopped while the volume was read.")
            image = self._source.read(self._depth.at(line, z))
            if z == 0:
                volume = np.empty((n_deep, *image.shape), image.dtype)
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
        return self._source.read_part(self._index, window)


def labels_above(maps: np.ndarray, threshold: float) -> np.ndarray:
    """Return the class of the highest map (K, Y, X) where it is above a threshold, else 0."""
    labels = np.where(maps.max(axis=0) > threshold, maps.argmax(axis=0) + 1, 0)
    return np.asarray(labels, np.uint8)
