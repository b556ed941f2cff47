"""Write masks in the format that a file's name asks for, onto the place of their image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.data.coco import write_coco
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import stack_of
from napari_sam_adapter.data.nifti import NIFTI_SUFFIXES
from napari_sam_adapter.data.nifti_masks import write_nifti
from napari_sam_adapter.data.ome_zarr import is_ome_zarr
from napari_sam_adapter.data.pictures import PICTURE_SUFFIXES
from napari_sam_adapter.data.tiff import OME_SUFFIXES, TIFF_SUFFIXES, tells_sizes, write_tiff
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import SliceIndex

COCO_SUFFIX = ".json"
MASK_SUFFIXES = (*NIFTI_SUFFIXES, *OME_SUFFIXES, *TIFF_SUFFIXES, COCO_SUFFIX)


def export_masks(
    path: Path,
    labels: Any,
    geometry: Geometry | None = None,
    classes: Sequence[str] = ("object",),
    *,
    image_name: str = "",
) -> None:
    """Write labels as NIfTI, OME-TIFF, TIFF or COCO JSON, by the suffix of the file.

    What stood there before is replaced in one step, or stays if anything goes wrong.

    Parameters
    ----------
    path : Path
        Ends in .nii, .nii.gz, .ome.tif, .ome.tiff, .tif, .tiff or .json.
    labels : array-like of an integer type or bool, shape (..., Y, X)
        Each slice is read once, in order: masks may be made while they are written.
    geometry : Geometry, optional
        Of the image, whose shape the labels have; mere pixels if None.
    classes : sequence of str
        What the labels 1, 2, ... are. Only COCO tells them.
    image_name : str
        Likewise; see `coco.write_coco`.

    Raises
    ------
    ImageError
        If the suffix is unknown, the labels do not fit the image, or the format cannot hold them.
    StorageError
        If the file cannot be written.
    """
    name = path.name.lower()
    if not name.endswith(MASK_SUFFIXES):
        raise ImageError(f"{path.name}: masks are written as {', '.join(MASK_SUFFIXES)}.")
    shape = tuple(labels.shape)
    if len(shape) < 2 or (geometry is not None and geometry.shape != shape):
        expected = "at least two axes, (Y, X)" if geometry is None else f"{geometry.shape}"
        raise ImageError(
            f"{path.name} was not written: the masks have shape {shape}, and the image they are "
            f"written for {expected}. Masks and image must be alike."
        )
    labels = _storable(path, labels)
    geometry = geometry or Geometry.of_steps(shape)
    if name.endswith(COCO_SUFFIX):
        write_coco(path, labels, classes, image_name=image_name)
    elif name.endswith(NIFTI_SUFFIXES):
        write_nifti(path, labels, geometry)
    else:
        write_tiff(path, labels, geometry if name.endswith(OME_SUFFIXES) else None)


def mask_suffix(image: Path) -> str:
    """Return how the file of an image's masks should end, to keep what is known of its place."""
    name = image.name.lower()
    is_tiff = name.endswith(TIFF_SUFFIXES) and image.is_file()
    if is_ome_zarr(image) or name.endswith(OME_SUFFIXES) or (is_tiff and tells_sizes(image)):
        return OME_SUFFIXES[0]
    if is_tiff or (name.endswith(PICTURE_SUFFIXES) and image.is_file()):
        return TIFF_SUFFIXES[0]
    return ".nii.gz"


def _storable(path: Path, labels: Any) -> Any:
    """Return the labels in a type that every format knows: at most 32 bits, low byte first."""
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "uib":
        raise ImageError(
            f"{path.name} was not written: masks are whole numbers, and these are {dtype}."
        )
    if dtype.kind != "b" and dtype.itemsize <= 4 and dtype == dtype.newbyteorder("<"):
        return labels
    stored = np.dtype("u1" if dtype.kind == "b" else f"<{dtype.kind}{min(dtype.itemsize, 4)}")
    largest = 1 if dtype.kind == "b" else np.iinfo(stored.str).max

    def read(index: SliceIndex) -> np.ndarray:
        one = np.asarray(labels[index])
        if one.size and int(one.max()) > largest:
            raise ImageError(
                f"{path.name} was not written: the label {int(one.max())} needs more than 32 bits. "
                "Number the objects from 1 on."
            )
        return one.astype(stored)

    return stack_of(path.name, labels.shape, stored, read)
