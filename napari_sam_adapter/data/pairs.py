"""An image and its mask, read and checked to fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_sam_adapter.data.files import Note, in_memory, open_noted, read_labels, say_nothing
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.errors import ImageError


@dataclass(frozen=True, slots=True)
class ImagePair:
    """A picture or a stack, and what is marked in it.

    Attributes
    ----------
    image : ndarray, shape (Y, X), (Y, X, 3), (Z, Y, X) or (Z, Y, X, 3)
    labels : ndarray of bool or uint8, shape (Y, X) or (Z, Y, X)
        Value k is the k-th class; for a single class, any value above 0.
    geometry : Geometry
        Of the image.
    patient : str or None
        See `PlacedImage`.
    """

    image: np.ndarray
    labels: np.ndarray
    geometry: Geometry
    patient: str | None = None


def read_pair(
    image_path: Path,
    mask_path: Path,
    class_names: Sequence[str] = ("object",),
    note: Note = say_nothing,
) -> ImagePair:
    """Read an image or a stack and its mask, and check that they fit.

    Parameters
    ----------
    image_path, mask_path : Path
    class_names : sequence of str
    note : callable
        See `read_mask`.

    Raises
    ------
    ImageError
        If a file cannot be read or has more axes, sizes or places differ, or a value is no class.
    """
    image = open_noted(image_path)
    shape = image.geometry.shape
    if len(shape) > 3:
        raise ImageError(
            f"{image_path.name} has shape {shape}; expected a picture or a stack of slices along "
            "one axis. Save one file per volume."
        )
    labels = read_labels(mask_path, class_names, image.geometry, note)
    if shape != labels.shape:
        raise ImageError(
            f"{image_path.name} is {_size(shape)} but its mask {mask_path.name} is "
            f"{_size(labels.shape)}; they must be alike."
        )
    return ImagePair(in_memory(image), labels, image.geometry, image.patient)


def _size(shape: tuple[int, ...]) -> str:
    unit = "pixels" if len(shape) == 2 else "voxels"
    return f"{' x '.join(map(str, shape))} {unit}"
