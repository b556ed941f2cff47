"""Masks that are predicted while they are written, for ``napari-sam-adapter predict``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.data.files import read_labels
from napari_sam_adapter.data.lazy import LazyStack, PlacedImage
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volume import SliceIndex, SliceSource, connected_objects, value_range
from napari_sam_adapter.volume_help import VolumeHelp, predict_helped

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam


def help_for(
    image: PlacedImage, asked: VolumeHelp, class_names: Sequence[str], corrected: Path | None
) -> VolumeHelp:
    """Return the help that an image gets: what needs neighbours, for volumes only.

    Parameters
    ----------
    image : PlacedImage
    asked : VolumeHelp
        For all images.
    class_names : sequence of str
        What the labels of ``corrected`` are.
    corrected : Path, optional
        Masks of this image; slices in which anything is marked are known.

    Raises
    ------
    ImageError
        If a help does not fit the image.
    """
    geometry = image.geometry
    if len(geometry.shape) < 3:
        if corrected is not None:
            raise ImageError(f"{image.name} is a single picture; --corrected is for volumes.")
        if asked.three_axes:
            raise ImageError(f"{image.name} is a single picture; --three-axes is for volumes.")
        return replace(asked, smooth=0.0)
    z, y, x = geometry.spacing[-3:]
    known = {}
    if corrected is not None:
        labels = read_labels(corrected, class_names, geometry)
        if labels.shape != geometry.shape:
            raise ImageError(
                f"{corrected.name} has shape {labels.shape}, and {image.name} {geometry.shape}; "
                "they must be alike."
            )
        known = {
            index: labels[index].astype(np.uint8)
            for index in np.ndindex(*labels.shape[:-2])
            if labels[index].any()
        }
        if not known:
            raise ImageError(f"Nothing is marked in {corrected.name}, so no slice is corrected.")
    return replace(asked, known=known, spacing=(z, y, x))


class PredictedStack:
    """Masks that are predicted when they are read, slice by slice, and what is learned of them.

    A slice without contrast stays empty; an only slice without is an error.

    Parameters
    ----------
    sam : AdaptedSam
    image : PlacedImage
    views : int
    instances : bool
        Number the objects of each slice.
    help_ : VolumeHelp
        With any, slices are to be read in order.
    on_progress : callable
        Told after each slice which share of all slices it is.

    Attributes
    ----------
    masks : LazyStack of uint8, with ``instances`` of uint16, shape of the image
    n_skipped : int
        Slices read so far in which nothing could be predicted.
    expected_dice : list of float or None
        Of each slice read so far; None where nothing was predicted, or with help.
    objects : list of (slice, object, class, pixels)
        With ``instances``, of each slice read so far.

    Raises
    ------
    ImageError
        If the image cannot be used.
    """

    def __init__(
        self,
        sam: AdaptedSam,
        image: PlacedImage,
        views: int,
        instances: bool,
        help_: VolumeHelp,
        on_progress: Callable[[float], None],
    ) -> None:
        self._sam, self._image, self._views = sam, image, views
        self._instances, self._help, self._on_progress = instances, help_, on_progress
        try:
            self._source = SliceSource(image.data, is_colour=image.is_colour)
        except ImageError as error:
            raise ImageError(f"{image.name}: {error}") from error
        self._helped = self._all_helped()
        dtype = np.uint16 if instances else np.uint8
        self.masks = LazyStack(self._source.shape, dtype, self._predicted)
        self.n_skipped = 0
        self.expected_dice: list[float | None] = []
        self.objects: list[tuple[object, ...]] = []

    def _predicted(self, index: SliceIndex) -> np.ndarray:
        try:
            labels, expected = self._with_help(index) if self._help else self._alone(index)
        except ImageError as error:
            raise ImageError(f"{self._image.name}: {error}") from error
        self.n_skipped += labels is None
        if labels is None:
            labels = np.zeros(self._source.slice_shape, np.uint8)
        self.expected_dice.append(expected)
        if not self._help.three_axes:
            self._on_progress(1 / self._source.n_slices)
        if not self._instances:
            return labels
        objects = connected_objects(labels)
        self.objects += self._rows(self._source.flat(index), objects, labels)
        return objects

    def _alone(self, index: SliceIndex) -> tuple[np.ndarray | None, float | None]:
        from napari_sam_adapter.sam.predict import predict_masks

        one = self._source.read(index)
        if self._source.n_slices > 1 and value_range(one) is None:
            return None, None
        prediction = predict_masks(self._sam, one, views=self._views)
        return prediction.labels, prediction.expected_dice

    def _with_help(self, index: SliceIndex) -> tuple[np.ndarray | None, None]:
        at, found = next(self._helped)
        if at != index:
            raise ValueError(f"slice {index} was read when it was the turn of {at}")
        if not isinstance(found, ImageError):
            return found, None
        is_flat = value_range(self._source.read(index)) is None
        if self._source.n_slices > 1 and is_flat:
            return None, None
        raise found

    def _all_helped(self) -> Iterator[tuple[SliceIndex, np.ndarray | ImageError]]:
        from napari_sam_adapter.sam.predict import predict_masks

        # Across three axes there are more slices to predict than to write.
        *volumes, depth, height, width = (1, *self._source.shape)
        n_predicted = (depth + height + width) * int(np.prod(volumes))

        def predict_logits(image: np.ndarray) -> np.ndarray:
            logits = predict_masks(self._sam, image, views=self._views).logits()
            if self._help.three_axes:
                self._on_progress(1 / n_predicted)
            return logits

        n_classes = self._sam.settings.n_classes
        indices = list(self._source.indices())
        yield from predict_helped(self._source, indices, predict_logits, n_classes, self._help)

    def _rows(self, z: int, objects: np.ndarray, classes: np.ndarray) -> list[tuple[object, ...]]:
        """Tell what the numbered objects of a slice are."""
        names = self._sam.settings.class_names
        numbers, first, pixels = np.unique(objects, return_index=True, return_counts=True)
        return [
            (z, number, names[classes.flat[at] - 1], count)
            for number, at, count in zip(numbers, first, pixels, strict=True)
            if number
        ]
