"""Read images and masks of any format into memory, and pair images with masks."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import FORMATS, file_stem, images_in, open_image, tell
from napari_sam_adapter.data.pictures import JPEG_SUFFIXES, PICTURE_SUFFIXES, read_picture
from napari_sam_adapter.errors import ImageError

Note = Callable[[str, np.ndarray], None]


def say_nothing(name: str, mask: np.ndarray) -> None:
    """Leave unsaid what a mask holds."""


def read_image(path: Path, *, palette_as_indices: bool = False) -> np.ndarray:
    """Read an image: PNG, JPEG, TIFF, NIfTI, or the folder of a DICOM series or an OME-Zarr.

    Parameters
    ----------
    path : Path
    palette_as_indices : bool
        Return the numbers of a palette image instead of its colours.

    Returns
    -------
    ndarray
        (Y, X) grey, (Y, X, 3) colour, or, of several slices, (N, Y, X) or (N, Y, X, 3).

    Raises
    ------
    ImageError
        If the file is missing, of another type, or damaged.
    """
    if palette_as_indices and path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES:
        return read_picture(path, palette_as_indices=True)
    return in_memory(open_noted(path))


def open_noted(path: Path, like: Geometry | None = None) -> PlacedImage:
    """Open an image as `opening.open_image` does, and log what the person should know of it."""
    image = open_image(path, like)
    for note in image.notes:
        tell(path, note)
    return image


def in_memory(image: PlacedImage) -> np.ndarray:
    """Read the whole of an image.

    Raises
    ------
    ImageError
        If it is damaged, or too large.
    """
    try:
        return np.asarray(image.data)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{image.name} could not be read: {error}") from error


def is_colour(image: np.ndarray) -> bool:
    """Tell whether the last axis of an image or stack holds RGB values."""
    return image.ndim >= 3 and image.shape[-1] == 3


def read_mask(
    path: Path,
    image: Geometry | None = None,
    note: Note = say_nothing,
) -> np.ndarray:
    """Read a mask, or a stack of masks: every pixel that is not zero belongs to the object.

    An 8-bit mask that went through JPEG has soft edges, so values are cut at half of their range
    where the file is a JPEG. A pixel that is no number belongs to nothing.

    Parameters
    ----------
    path : Path
    image : Geometry, optional
        Of the image that the mask must lie on.
    note : callable
        Given the name of the file and what it holds, before that becomes one class; see
        `mask_values.MergedValues`. Not of a JPEG, whose values are noise.

    Returns
    -------
    ndarray of bool, shape (Y, X) or, of several slices, (N, Y, X)

    Raises
    ------
    ImageError
        If the file cannot be read, lies elsewhere than the image, or holds a value below 0.
    """
    array = _read_on(path, image)
    is_jpeg = path.suffix.lower() in JPEG_SUFFIXES
    if not is_jpeg:
        note(path.name, array)
    if is_colour(array):
        array = array.max(axis=-1)
    if is_jpeg:
        return np.asarray(array > 127)
    return np.asarray((array != 0) & (array == array))


def read_labels(
    path: Path,
    class_names: Sequence[str],
    image: Geometry | None = None,
    note: Note = say_nothing,
) -> np.ndarray:
    """Read a mask of one or several classes, or a stack of them.

    For a single class it is `read_mask`. For more, pixel value k is the k-th class; a palette image
    is read by its indices.

    Parameters
    ----------
    path : Path
    class_names : sequence of str
    image : Geometry, optional
        Of the image that the mask must lie on.
    note : callable
        See `read_mask`.

    Returns
    -------
    ndarray of bool or uint8, shape (Y, X) or (N, Y, X)

    Raises
    ------
    ImageError
        If the file cannot be read, lies elsewhere than the image, or a value is no class.
    """
    if len(class_names) == 1:
        return read_mask(path, image, note)
    if path.suffix.lower() in JPEG_SUFFIXES:
        raise ImageError(
            f"{path.name}: JPEG changes pixel values, so it cannot hold the labels of several "
            "classes. Save masks as PNG or TIFF."
        )
    labels = _read_on(path, image, palette_as_indices=True)
    if is_colour(labels) and (labels == labels[..., :1]).all():
        labels = labels[..., 0]
    if labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        labels = labels.astype(np.int64)  # NIfTI files often hold classes as real numbers
    if labels.ndim not in (2, 3) or is_colour(labels) or labels.dtype.kind not in "uib":
        raise ImageError(
            f"{path.name}: a mask of several classes holds whole numbers, (Y, X) or (N, Y, X); "
            f"found {labels.dtype} of shape {labels.shape}."
        )
    outside = np.setdiff1d(labels, np.arange(len(class_names) + 1))
    if outside.size:
        values = ", ".join(map(str, outside[:5]))
        raise ImageError(
            f"{path.name} holds the value{'s'[: outside.size > 1]} {values}; with the classes "
            f"{', '.join(class_names)} the values 0 to {len(class_names)} are expected."
        )
    return labels.astype(np.uint8)


def _read_on(path: Path, image: Geometry | None, *, palette_as_indices: bool = False) -> np.ndarray:
    """Read a mask, and check its values and its place; sizes are left to the caller."""
    if image is None or path.suffix.lower() in PICTURE_SUFFIXES:
        return _none_below_0(read_image(path, palette_as_indices=palette_as_indices), path)
    mask = open_noted(path, like=image)
    if mask.geometry.shape == image.shape and not mask.geometry.lies_on(image):
        raise ImageError(
            f"The mask {path.name} has the size of its image, but lies elsewhere in the patient, "
            "or is turned or mirrored. Resample it onto the image, or correct its header."
        )
    return _none_below_0(in_memory(mask), path)


def _none_below_0(mask: np.ndarray, path: Path) -> np.ndarray:
    """Refuse values that usually mean "ignore": they would count as the object."""
    if mask.dtype.kind in "if" and (mask < 0).any():
        lowest = mask[mask < 0].min()
        raise ImageError(
            f"{path.name} holds the value {lowest:g}; masks hold 0 for the background and values "
            "above 0 for what is marked. Pixels cannot be left out: set them to 0, or leave out "
            "the image."
        )
    return mask


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder by name; see `opening.images_in`.

    Raises
    ------
    ImageError
        If the folder is missing, may not be looked into, or holds no image.
    """
    try:
        if not folder.is_dir():
            raise ImageError(f"There is no folder {folder}.")
        paths = images_in(folder)
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{error.filename or folder} could not be read ({reason}).") from error
    if not paths:
        raise ImageError(f"{folder} holds no image ({FORMATS}).")
    return paths


def pair_by_stem(
    images: Path, masks: Path, on_extra_masks: Callable[[str], None] | None = None
) -> list[tuple[Path, Path]]:
    """Pair the images of one folder with the masks of another by file stem.

    Parameters
    ----------
    images, masks : Path
    on_extra_masks : callable, optional
        Told in a sentence of masks without an image, which are left out then. By default they are
        refused, as images without a mask always are: scores of what is left would flatter.

    Returns
    -------
    list of (image path, mask path)
        Sorted by stem.

    Raises
    ------
    ImageError
        If a partner is missing, or a stem occurs twice; the files are named.
    """
    by_stem = _unique_stems(list_images(images)), _unique_stems(list_images(masks))
    without_mask = sorted(by_stem[0].keys() - by_stem[1].keys())
    without_image = sorted(by_stem[1].keys() - by_stem[0].keys())
    if on_extra_masks is not None and without_image and not without_mask:
        on_extra_masks(
            f"There is no image in {images} for the mask{'s'[: len(without_image) > 1]} "
            f"{_named(without_image)} in {masks}: left out."
        )
    elif without_mask or without_image:
        parts = [f"no mask for {_named(without_mask)}"] if without_mask else []
        parts += [f"no image for {_named(without_image)}"] if without_image else []
        raise ImageError(
            f"Images in {images} and masks in {masks} are paired by file stem, but there is "
            f"{' and '.join(parts)}. Give both files of a pair the same name, add what is missing "
            "(where there is nothing to mark, an empty mask), or take out what has no partner."
        )
    return [(by_stem[0][stem], by_stem[1][stem]) for stem in sorted(by_stem[0])]


def _unique_stems(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        # Macs write ü as two characters, others as one.
        stem = unicodedata.normalize("NFC", file_stem(path))
        if stem in found:
            raise ImageError(f"{found[stem].name} and {path.name} have the same file stem.")
        found[stem] = path
    return found


def _named(stems: Sequence[str]) -> str:
    shown = ", ".join(stems[:5])
    return shown if len(stems) <= 5 else f"{shown} and {len(stems) - 5} more"
