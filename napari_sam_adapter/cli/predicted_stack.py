"""Masks that are written while the next ones are predicted, for ``napari-sam-adapter predict``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_sam_adapter.data.lazy import LazyStack
from napari_sam_adapter.file_prediction import OpenedFile, PredictedSlice, source_of
from napari_sam_adapter.volumes.slice_source import SliceIndex, connected_objects


class PredictedStack:
    """Masks of one file that are taken from a stream of predictions while they are written.

    Parameters
    ----------
    stream : iterator
        Yields the opened file next, then its slices in order.
    class_names : sequence of str
    instances : bool
        Number the objects of each slice.

    Attributes
    ----------
    geometry : Geometry
    masks : LazyStack of uint8, with ``instances`` of uint32, shape of the image
        To be read slice by slice, in order, once.
    n_skipped : int
        Slices read so far in which nothing could be predicted: they stay empty.
    expected_dice : list of float or None
        Of each slice read so far; None where nothing was predicted, or with help.
    objects : list of (slice, object, class, pixels)
        With ``instances``, of each slice read so far.
    """

    def __init__(
        self,
        stream: Iterator[OpenedFile | PredictedSlice],
        class_names: Sequence[str],
        instances: bool,
    ) -> None:
        opened = next(stream)
        if not isinstance(opened, OpenedFile):
            raise ValueError(f"a file was expected next, not slice {opened.index}")
        self._source, self.geometry = source_of(opened.image), opened.image.geometry
        self._stream, self._class_names, self._instances = stream, class_names, instances
        dtype = np.uint32 if instances else np.uint8
        self.masks = LazyStack(self._source.shape, dtype, self._next)
        self.n_skipped = 0
        self.expected_dice: list[float | None] = []
        self.objects: list[tuple[object, ...]] = []

    def _next(self, index: SliceIndex) -> np.ndarray:
        found = next(self._stream)
        if not isinstance(found, PredictedSlice) or found.index != index:
            raise ValueError(f"slice {index} was read when it was the turn of {found}")
        self.n_skipped += found.labels is None
        self.expected_dice.append(found.expected_dice)
        labels = found.labels
        if labels is None:
            labels = np.zeros(self._source.slice_shape, np.uint8)
        if not self._instances:
            return labels
        objects = connected_objects(labels)
        self.objects += self._rows(self._source.flat(index), objects, labels)
        return objects

    def _rows(self, z: int, objects: np.ndarray, classes: np.ndarray) -> list[tuple[object, ...]]:
        """Tell what the numbered objects of a slice are."""
        numbers, first, pixels = np.unique(objects, return_index=True, return_counts=True)
        return [
            (z, number, self._class_names[classes.flat[at] - 1], count)
            for number, at, count in zip(numbers, first, pixels, strict=True)
            if number
        ]
