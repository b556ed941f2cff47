"""Open an image of any format: pictures, TIFF, NIfTI, DICOM, OME-Zarr."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path

from napari_sam_adapter.data.dicom import open_dicom
from napari_sam_adapter.data.dicom_series import (
    DICOM_SUFFIXES,
    dicom_files,
    is_dicom,
    series_in,
)
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.links import check_links
from napari_sam_adapter.data.nifti import NIFTI_SUFFIXES, is_nifti, open_nifti
from napari_sam_adapter.data.ome_zarr import is_ome_zarr, open_ome_zarr
from napari_sam_adapter.data.pictures import PICTURE_SUFFIXES, read_picture
from napari_sam_adapter.data.tiff import TIFF_SUFFIXES, open_tiff
from napari_sam_adapter.errors import ImageError

_log = logging.getLogger(__name__)
IMAGE_SUFFIXES = (*PICTURE_SUFFIXES, *TIFF_SUFFIXES, *NIFTI_SUFFIXES)
FORMATS = f"{', '.join(IMAGE_SUFFIXES)}, a DICOM file or folder, or an OME-Zarr folder"
# What says a format at the end of a name; of two that fit, the first. The last ones are of DICOM
# files that are known by their content.
_SUFFIXES = (
    *(".ome.tif", ".ome.tiff", ".ome.zarr", ".nii.gz", ".zarr"),
    *IMAGE_SUFFIXES,
    *DICOM_SUFFIXES,
    *(".ima", ".img", ".dic", ".dc3"),
)


def open_image(path: Path, like: Geometry | None = None) -> PlacedImage:
    """Open an image; slices of anything but a picture are read when they are looked at.

    Parameters
    ----------
    path : Path
        A file, or the folder of a DICOM series or an OME-Zarr image.
    like : Geometry, optional
        Of the image whose mask this is: a NIfTI file's axes are shown as that image's.

    Raises
    ------
    ImageError
        If it is missing, of another type, or damaged, or the library that reads it is missing.
    """
    if path.is_dir():
        if is_ome_zarr(path):
            return open_ome_zarr(path)
        return open_dicom(path)
    if not path.is_file():
        raise ImageError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        picture = read_picture(path)
        is_colour = picture.ndim == 3
        return PlacedImage(path.name, (picture,), Geometry.of_steps(picture.shape[:2]), is_colour)
    if suffix in TIFF_SUFFIXES:
        return open_tiff(path)
    if is_nifti(path):
        return open_nifti(path, like)
    if suffix in DICOM_SUFFIXES or is_dicom(path):
        return open_dicom(path)
    raise ImageError(f"{path.name}: expected one of {FORMATS}.")


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder by name: files, and folders of DICOM series and OME-Zarr images.

    A folder that is itself such a series or image is the only one. DICOM files that have nothing to
    do with each other, like X-ray pictures, are one image each. Folders in it that may not be
    looked into are left out, and so are links to nothing that are not called as images are; both
    are logged.

    Raises
    ------
    ImageError
        If DICOM files lie beside other images, or cannot be read, or a link to an image leads to
        nothing.
    OSError
        If the folder itself may not be looked into.
    """
    if is_ome_zarr(folder):
        return [folder]
    for link in check_links(folder, _SUFFIXES):
        tell(link, f"{link.name} in {folder} is a link that leads to nothing: left out.")
    # Some systems leave hidden files beside the others.
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    images = [path for path in inside if path.is_file() and _has_image_suffix(path)]
    dicoms = list(dicom_files(folder, but_named=IMAGE_SUFFIXES))
    if images and dicoms:
        raise ImageError(
            f"{folder} holds DICOM files, like {dicoms[0].name}, beside other images, like "
            f"{images[0].name}. Put the DICOM files in a folder of their own."
        )
    if dicoms:
        series = series_in(dicoms)
        alone = len(series) > 1 and all(len(one.frames) == 1 for one in series)
        return sorted(one.frames[0].path for one in series) if alone else [folder]
    return sorted([*images, *filter(_is_image_folder, inside)])


def file_stem(path: Path) -> str:
    """Return an image's name without what says its format: ``scan`` for ``scan.nii.gz``.

    Nothing else is cut off: the last number of a DICOM file that is named by its UID tells it from
    its neighbours. A link to a folder has the link's name.
    """
    if path.is_dir() and path.suffix != ".zarr":
        return Path(os.path.abspath(path)).name
    name = path.name.lower()
    found = (suffix for suffix in _SUFFIXES if name.endswith(suffix) and name != suffix)
    return path.name[: len(path.name) - len(next(found, ""))]


@cache
def tell(path: Path, note: str) -> None:
    """Log a sentence once: `evaluate` reads files twice, to check them and to score them."""
    del path  # its sentences need not name it
    _log.warning(note)


def _is_image_folder(path: Path) -> bool:
    """Tell whether a folder is a series or an OME-Zarr image; a closed one is left out."""
    try:
        return path.is_dir() and (is_ome_zarr(path) or _is_series(path))
    except PermissionError:  # such as lost+found
        tell(path, f"{path} may not be looked into: left out.")
        return False


def _is_series(folder: Path) -> bool:
    check_links(folder, DICOM_SUFFIXES)
    return any(dicom_files(folder, but_named=IMAGE_SUFFIXES))


def _has_image_suffix(path: Path) -> bool:
    return path.name.lower().endswith(IMAGE_SUFFIXES)
