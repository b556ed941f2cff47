"""Labels as NIfTI files, exactly onto the voxels of their image."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.data.geometry import LENGTHS, Geometry
from napari_sam_adapter.data.lazy import slices_transposed
from napari_sam_adapter.data.nifti import LABELS, need_nibabel
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import replaced_when_done

MAX_SIDE_OF_NIFTI1 = 32767
SCANNER, ALIGNED = 1, 2  # NIfTI's codes for a place in the scanner, and where others lie


def write_nifti(path: Path, labels: Any, geometry: Geometry) -> None:
    """Write labels onto their image, compressed if the name ends in .gz.

    A mask of an image from a NIfTI file gets that file's affine, codes, sizes and units; of another
    image with a place in a patient, that place (sform, and qform unless the slices are sheared)
    with the code "scanner"; of one that begins elsewhere than at 0 (OME-Zarr), that place with the
    code "aligned"; else the sizes alone. Where time begins is not kept.

    Parameters
    ----------
    path : Path
    labels : array-like of an integer type, shape ``geometry.shape``
        Each slice is read once, in order, see `lazy.slices_transposed`.
    geometry : Geometry

    Raises
    ------
    ImageError
        If nibabel is missing, or there are more than four axes or other axes than t, z, y and x.
    StorageError
        If the file cannot be written.
    """
    need_nibabel()
    if not 2 <= len(geometry.shape) <= 4 or set(geometry.axes) - set("tzyx"):
        raise ImageError(
            f"{path.name} was not written: NIfTI holds two to four axes, t, z, y and x, and the "
            f"masks have {', '.join(geometry.axes)}. Save them as OME-TIFF (.ome.tif)."
        )
    header = _header(np.dtype(labels.dtype), geometry)
    # What follows another in the file, whose first axis runs fastest: (..., j, i).
    order = [geometry.file_axes.index(axis) for axis in reversed(range(len(geometry.shape)))]
    slices = slices_transposed(labels, order)
    with replaced_when_done(path) as temporary, temporary.open("wb") as stream:
        if path.suffix.lower() != ".gz":
            _write(stream, header, slices)
            return
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0) as packed:
            _write(packed, header, slices)


def _write(stream: Any, header: Any, chunks: Iterable[np.ndarray]) -> None:
    header.write_to(stream)
    stream.write(bytes(header.get_data_offset() - stream.tell()))
    for chunk in chunks:
        stream.write(np.ascontiguousarray(chunk).tobytes())


def _header(dtype: np.dtype[Any], geometry: Geometry) -> Any:
    nibabel = need_nibabel()
    header: Any
    if geometry.nifti_header is not None:
        is_first = len(geometry.nifti_header) == nibabel.Nifti1Header.sizeof_hdr
        kind = nibabel.Nifti1Header if is_first else nibabel.Nifti2Header
        header = kind(geometry.nifti_header, "<", check=False)
        # What was said of the image's values does not hold for labels.
        header["cal_min"] = header["cal_max"] = 0
        header["magic"] = kind.single_magic
        header["vox_offset"] = kind.single_vox_offset
        header.set_slope_inter(1, 0)
        if geometry.affine is None:  # the person may have typed the sizes
            _place(header, geometry)
    else:
        small = max(geometry.shape) <= MAX_SIDE_OF_NIFTI1
        header = nibabel.Nifti1Header() if small else nibabel.Nifti2Header()
        _place(header, geometry)
    header.set_data_dtype(dtype)
    header.set_intent(LABELS)  # opened again, they are masks
    return header


def _place(header: Any, geometry: Geometry) -> None:
    """Write the place and the sizes of an image that no header tells."""
    header.set_data_shape(geometry.file_shape)
    by_axis = sorted(zip(geometry.file_axes, geometry.spacing, geometry.units, strict=True))
    # NIfTI knows few units: of the others, lengths are brought to mm.
    unit = by_axis[0][2]
    known = unit if unit in ("mm", "um") else "mm"
    names = {"mm": "mm", "um": "micron", "s": "sec", "ms": "msec", "us": "usec"}
    time = header.get_xyzt_units()[1]
    if len(by_axis) > 3:
        time = names.get(by_axis[3][2], "unknown")
    header.set_xyzt_units(names[known] if unit in LENGTHS else "unknown", time)
    if geometry.affine is None:
        scale = 1 / LENGTHS[known]
        factors = [scale * LENGTHS.get(u, LENGTHS[known]) for *_, u in by_axis]
        zooms = [step * by for (_, step, _), by in zip(by_axis, factors, strict=True)]
        begins = [
            begin for _, begin in sorted(zip(geometry.file_axes, geometry.origin, strict=True))
        ]
        if any(begins[:3]):
            affine = np.eye(4)
            for axis, (zoom, begin, by) in enumerate(zip(zooms, begins, factors, strict=True)):
                if axis < 3:
                    affine[axis, axis], affine[axis, 3] = zoom, begin * by
            header.set_sform(affine, ALIGNED)
        header.set_zooms(zooms)
        return
    affine = np.array(geometry.affine)
    header.set_sform(affine, SCANNER)
    try:
        header.set_qform(affine, SCANNER, strip_shears=False)
    except need_nibabel().spatialimages.HeaderDataError:
        header.set_qform(affine, 0)
    header.set_zooms([step for _, step, _ in by_axis])
