"""NIfTI files (.nii, .nii.gz): images whose slices are read lazily, and where they lie.

The axes of a file, (i, j, k) or (i, j, k, t), are shown in reverse, (T, Z, Y, X), as ITK does it;
nothing is flipped. The slider is the axis that `geometry.slider_axis` chooses.

Slices are read one by one from the disk. A .nii.gz cannot be read from its middle: it is unpacked
once, when its first slice is asked for, into a temporary file without a name, and read from there.
nibabel reads the headers; it is installed with the extra ``volumes``.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_sam_adapter.data.geometry import Geometry, shown_order, slider_axis, unit_named
from napari_sam_adapter.data.lazy import INSTALL, PlacedImage, stack_of
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import SliceIndex

NIFTI_SUFFIXES = (".nii", ".nii.gz")
LABELS = "label"  # NIfTI's intent of a file whose values are labels


def is_nifti(path: Path) -> bool:
    """Tell by its name whether a file is a NIfTI file."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def open_nifti(path: Path, like: Geometry | None = None) -> PlacedImage:
    """Open a NIfTI file; its slices are read when they are looked at.

    Values are scaled as the header says, to float32 then. Pixels that are NaN are left as they are:
    predictions take them for the lowest value of their slice.

    Parameters
    ----------
    path : Path
    like : Geometry, optional
        Show the axes as this image does, whose mask the file is.

    Raises
    ------
    ImageError
        If nibabel is missing, or the file is damaged, or has not two to four axes of numbers or
        colours.
    """
    nibabel = need_nibabel()
    try:
        image = nibabel.load(path)
        header, proxy = image.header, image.dataobj
        check_dtype(path, proxy.dtype, proxy.shape)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{path} could not be read as a NIfTI file: {error}") from error
    geometry = _geometry(header, proxy.shape, like)
    is_colour = proxy.dtype.fields is not None
    dtype = np.dtype(np.uint8) if is_colour else proxy.dtype.newbyteorder("=")
    scaled = (float(proxy.slope), float(proxy.inter)) != (1.0, 0.0)
    store = _Store(path, proxy.offset, proxy.dtype, proxy.shape)

    def read(index: SliceIndex) -> np.ndarray:
        found = np.array(store.array().transpose(geometry.file_axes)[index])
        if is_colour:
            return np.stack([found[name] for name in "RGB"], axis=-1)
        if scaled:
            return found * np.float32(proxy.slope) + np.float32(proxy.inter)
        return found

    data = stack_of(
        path.name,
        (*geometry.shape, 3) if is_colour else geometry.shape,
        np.float32 if scaled else dtype,
        read,
        is_colour=is_colour,
    )
    is_labels = header.get_intent()[0] == LABELS and data.dtype.kind in "ui"
    return PlacedImage(path.name, (data,), geometry, is_colour, is_labels=is_labels)


def check_dtype(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse what cannot be shown as slices of numbers or colours."""
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise ImageError(
            f"{path.name} has shape {shape}; expected two to four axes, (i, j), (i, j, k) or "
            "(i, j, k, t). Save one file per volume, or per sequence of volumes."
        )
    if dtype.kind not in "uif" and not {"R", "G", "B"} <= set(dtype.names or ()):
        raise ImageError(
            f"{path.name} holds values of the type {dtype}; expected integers, real numbers or "
            "colours. Save its magnitude, for instance, as a file of its own."
        )


class _Store:
    """The values of a NIfTI file, in the file's own order and type."""

    def __init__(
        self, path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> None:
        self._path, self._offset, self._dtype, self._shape = path, offset, dtype, shape
        self._unpacked: IO[bytes] | None = None
        self._lock = threading.Lock()
        if path.suffix.lower() != ".gz":
            self._check_size(path.stat().st_size)

    def array(self) -> np.ndarray:
        """Return the values as a new view of the disk: parts of it that were seen do not add up."""
        where = self._path if self._path.suffix.lower() != ".gz" else self._unpack()
        return np.memmap(where, self._dtype, "r", self._offset, self._shape, order="F")

    def _unpack(self) -> IO[bytes]:
        with self._lock:
            if self._unpacked is None:
                # Closed, and gone, with the last use of this object.
                unpacked = tempfile.TemporaryFile()  # noqa: SIM115
                with gzip.open(self._path) as packed:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
                self._check_size(unpacked.tell())
                unpacked.flush()
                self._unpacked = unpacked
            return self._unpacked

    def _check_size(self, size: int) -> None:
        needed = self._offset + int(np.prod(self._shape, dtype=int)) * self._dtype.itemsize
        if size < needed:
            raise ImageError(
                f"{self._path} could not be read: it holds {size} bytes, and its header promises "
                f"{needed}. It was cut off; copy or download it again."
            )


def _geometry(header: Any, shape: tuple[int, ...], like: Geometry | None) -> Geometry:
    zooms = [float(zoom) for zoom in header.get_zooms()]
    space, time = header.get_xyzt_units()
    unit = unit_named("mm" if space == "unknown" else space)
    step = (zooms[3], unit_named(time)) if len(shape) > 3 else (1.0, "pixel")
    affine = header.get_best_affine()
    placed = bool(header["sform_code"] or header["qform_code"])
    if not placed or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-12:
        placed, affine = False, np.diag([*(abs(z) or 1.0 for z in (*zooms, 1, 1)[:3]), 1.0])
    if like is not None and len(like.shape) == len(shape):
        order = like.file_axes
    else:
        spacing = np.linalg.norm(affine[:3, :3], axis=0).tolist()
        order = shown_order(len(shape), slider_axis(spacing, (*shape, 1, 1)[:3]))
    geometry = Geometry.of_affine(shape, affine, order, unit=unit, time=step)
    raw = header.as_byteswapped("<").binaryblock
    return replace(geometry, affine=geometry.affine if placed else None, nifti_header=raw)


def need_nibabel() -> Any:
    """Return the module nibabel.

    Raises
    ------
    ImageError
        If it is not installed.
    """
    try:
        import nibabel
    except ImportError as error:
        raise ImageError(f"NIfTI files need nibabel, which is not installed: {INSTALL}") from error
    return nibabel
