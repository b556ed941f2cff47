"""Read and write image files and pair images with masks. Pillow and tifffile do the decoding."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import write_atomically

TIFF_SUFFIXES = (".tif", ".tiff")
JPEG_SUFFIXES = (".jpg", ".jpeg")
IMAGE_SUFFIXES = (".png", *JPEG_SUFFIXES, *TIFF_SUFFIXES)


def read_image(path: Path, *, palette_as_indices: bool = False) -> np.ndarray:
    """Read a PNG, JPEG or TIFF file.

    Parameters
    ----------
    path : Path
    palette_as_indices : bool
        Return the numbers of a palette image instead of its colours.

    Returns
    -------
    ndarray
        (Y, X) grey, (Y, X, 3) colour, or, from a TIFF of several pages, (N, Y, X) or (N, Y, X, 3).

    Raises
    ------
    ImageError
        If the file is missing, of another type, or damaged.
    """
    if not path.is_file():
        raise ImageError(f"There is no file {path}.")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ImageError(f"{path.name}: expected one of {', '.join(IMAGE_SUFFIXES)}.")
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return _drop_alpha(np.asarray(tifffile.imread(path)))
        with Image.open(path) as picture:
            if palette_as_indices and picture.mode == "P":
                return np.asarray(picture)
            return _drop_alpha(np.asarray(_without_palette(picture)))
    except Exception as error:
        raise ImageError(f"{path} could not be read as an image: {error}") from error


def _without_palette(picture: Image.Image) -> Image.Image:
    """Replace palette colours, which numbers alone do not show, and two-channel greys."""
    replacement = {"P": "RGB", "PA": "RGB", "CMYK": "RGB", "LA": "L"}.get(picture.mode)
    return picture.convert(replacement) if replacement else picture


def _drop_alpha(array: np.ndarray) -> np.ndarray:
    return array[..., :3] if array.ndim >= 3 and array.shape[-1] == 4 else array


def is_colour(image: np.ndarray) -> bool:
    """Tell whether the last axis of an image or stack holds RGB values."""
    return image.ndim >= 3 and image.shape[-1] == 3


def as_slices(image: np.ndarray) -> np.ndarray:
    """Return an image or stack as a stack: (N, Y, X) or (N, Y, X, 3)."""
    slice_ndim = 3 if is_colour(image) else 2
    if image.ndim == slice_ndim:
        return image[None]
    return image.reshape(-1, *image.shape[image.ndim - slice_ndim :])


def read_mask(path: Path) -> np.ndarray:
    """Read a mask, or a stack of masks: every pixel that is not zero belongs to the object.

    An 8-bit mask that went through JPEG has soft edges, so values are cut at half of their range
    where the file is a JPEG.

    Returns
    -------
    ndarray of bool, shape (Y, X) or, from a TIFF of several pages, (N, Y, X)

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    array = read_image(path)
    if is_colour(array):
        array = array.max(axis=-1)
    if path.suffix.lower() in JPEG_SUFFIXES:
        return np.asarray(array > 127)
    return np.asarray(array != 0)


def read_labels(path: Path, class_names: Sequence[str]) -> np.ndarray:
    """Read a mask of one or several classes, or a stack of them.

    For a single class it is `read_mask`. For more, pixel value k is the k-th class; a palette image
    is read by its indices.

    Returns
    -------
    ndarray of bool or uint8, shape (Y, X) or (N, Y, X)

    Raises
    ------
    ImageError
        If the file cannot be read, or holds a value that is no class.
    """
    if len(class_names) == 1:
        return read_mask(path)
    if path.suffix.lower() in JPEG_SUFFIXES:
        raise ImageError(
            f"{path.name}: JPEG changes pixel values, so it cannot hold the labels of several "
            "classes. Save masks as PNG or TIFF."
        )
    labels = read_image(path, palette_as_indices=True)
    if is_colour(labels) and (labels == labels[..., :1]).all():
        labels = labels[..., 0]
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


def write_mask(path: Path, labels: np.ndarray) -> None:
    """Write labels (Y, X) or (N, Y, X) as a compressed TIFF.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels, compression="zlib", photometric="minisblack")
    write_atomically(path, buffer.getvalue())


def list_images(folder: Path) -> list[Path]:
    """List the image files of a folder by name.

    Raises
    ------
    ImageError
        If the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise ImageError(f"There is no folder {folder}.")
    paths = sorted(path for path in folder.iterdir() if _is_image(path))
    if not paths:
        raise ImageError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
    return paths


def _is_image(path: Path) -> bool:
    """Tell images from folders and from the hidden files some systems leave beside them."""
    is_hidden = path.name.startswith(".")
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden and path.is_file()


def pair_by_stem(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pair the images of one folder with the masks of another by file stem.

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
    if without_mask or without_image:
        parts = [f"no mask for {_named(without_mask)}"] if without_mask else []
        parts += [f"no image for {_named(without_image)}"] if without_image else []
        raise ImageError(
            f"Images in {images} and masks in {masks} are paired by file stem, but there is "
            f"{' and '.join(parts)}."
        )
    return [(by_stem[0][stem], by_stem[1][stem]) for stem in sorted(by_stem[0])]


def _unique_stems(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise ImageError(f"{found[path.stem].name} and {path.name} have the same file stem.")
        found[path.stem] = path
    return found


def _named(stems: Sequence[str]) -> str:
    shown = ", ".join(stems[:5])
    return shown if len(stems) <= 5 else f"{shown} and {len(stems) - 5} more"
