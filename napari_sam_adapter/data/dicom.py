"""DICOM series as volumes: slices in their order in the patient, read when they are looked at.

The file's axes are counted i along a row of pixels, j down a column, k from slice to slice, as
NIfTI counts them; DICOM's left, posterior, superior becomes right, anterior, superior. pydicom
reads the files; it is installed with the extra ``volumes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sam_adapter.data.dicom_series import (
    DARK_IS_HIGH,
    DICOM_SUFFIXES,
    Frame,
    Series,
    dicom_files,
    need_pydicom,
    series_in,
)
from napari_sam_adapter.data.geometry import Geometry, shown_order
from napari_sam_adapter.data.lazy import PlacedImage, stack_of
from napari_sam_adapter.data.links import check_links
from napari_sam_adapter.data.patient import patient_group
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import SliceIndex

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Gaps between slices may differ by this share of the usual one: positions are rounded in files.
UNEVEN = 0.05


def open_dicom(path: Path) -> PlacedImage:
    """Open a DICOM series: a folder, or a file of one or more frames.

    Of several series in a folder the one of the most images is opened, and a note says so. Where
    each position has equally many images (times, echoes), they are the first axis. Values
    are rescaled, to float32 then, as the headers say. Where high values are dark (MONOCHROME1) they
    are turned round, for models and people expect dense to be bright.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ImageError
        If pydicom or a decoder is missing, there is no image, the largest series cannot be told,
        or some positions have more images than others.
    """
    series, notes = _chosen(path)
    _check_readable(path, series)
    series, sizes = _sizes_that_are_some(path, series)
    frames = series.frames
    affine, n_times = None, 1
    if series.orientation is not None and all(f.position is not None for f in frames):
        frames, along, n_times = _in_order(path, series)
        notes += _uneven(path, along)
        if n_times > 1:
            notes.append(
                f"{path.name} has {n_times} images at each position: times, echoes or copies. They "
                "are the first slider, in the order of the scanner's count."
            )
        if series.pixel_spacing is not None:
            affine = _affine(replace(series, frames=frames[: len(along)]))
    else:
        notes += _unplaced(path, series)
    notes += sizes
    if series.photometric == DARK_IS_HIGH:
        notes.append(
            f"{path.name}: high values are dark (MONOCHROME1). They are turned round, so that what "
            "is dense is bright as in other images; the numbers are not those of the file."
        )
    sliders = (n_times, len(frames) // n_times) if n_times > 1 else (len(frames),)
    shape = (*sliders, *series.shape) if len(frames) > 1 else series.shape
    rescaled = any((frame.slope, frame.intercept) != (1.0, 0.0) for frame in frames)

    def read(index: SliceIndex) -> np.ndarray:
        number = int(np.ravel_multi_index(index, sliders)) if index else 0
        return _pixels(series, frames[number], rescaled)

    data = stack_of(
        path.name,
        (*shape, 3) if series.is_colour else shape,
        np.float32 if rescaled else series.dtype,
        read,
        is_colour=series.is_colour,
    )
    geometry = _geometry(series, shape, affine)
    patient = patient_group(series.patient_id)
    return PlacedImage(path.name, (data,), geometry, series.is_colour, tuple(notes), patient)


def _chosen(path: Path) -> tuple[Series, list[str]]:
    """Return the series to open, and what to say if there are others."""
    if path.is_dir():
        check_links(path, DICOM_SUFFIXES)  # a slice would be missing
    found = series_in(dicom_files(path) if path.is_dir() else [path])
    if not found:
        raise ImageError(f"{path} holds no DICOM image.")
    if len(found) == 1:
        return found[0], []
    first, others = found[0], found[1:]
    named = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
    if len(others[0].frames) == len(first.frames):
        raise ImageError(
            f"{path} holds several DICOM series, and none is the largest: {first}, {named}. Put "
            "the one to open in a folder of its own."
        )
    parts = ""
    if any(one.title == first.title for one in others):
        parts = (
            " Images that differ in size, colour, orientation or size of the pixels are not of one "
            "series."
        )
    return first, [
        f"{path.name} holds {len(found)} DICOM series; the largest, {first}, was opened, and not "
        f"{named}.{parts} To open another one, put it in a folder of its own."
    ]


def _check_readable(path: Path, series: Series) -> None:
    """Refuse what will not be readable later, as early as it can be known."""
    if series.photometric.startswith("PALETTE"):
        raise ImageError(
            f"{path.name} is in palette colours, whose numbers mean nothing; expected grey or RGB. "
            "Save it as RGB."
        )
    uid = need_pydicom().uid.UID(series.syntax)
    try:
        is_available = not uid.is_deflated and need_pydicom().pixels.get_decoder(uid).is_available
    except NotImplementedError:
        is_available = False
    if not is_available:
        raise ImageError(
            f"{path.name} is compressed as {uid.name}, and pydicom finds nothing that decodes it. "
            "Install a decoder, 'pip install python-gdcm' or 'pip install pylibjpeg[all]', or save "
            "the images uncompressed."
        )


def _normal(series: Series) -> np.ndarray:
    along_row, down_column = np.array(series.orientation, float).reshape(2, 3)
    return np.asarray(np.cross(along_row, down_column))


def _in_order(path: Path, series: Series) -> tuple[tuple[Frame, ...], np.ndarray, int]:
    """Return the frames in their order in the patient, time by time.

    Returns
    -------
    frames : tuple of Frame
        Those of the first time, then those of the second, ...
    along : ndarray, shape (Z,)
        How far along the normal each position lies, in mm.
    n_times : int
        How many images each position has.
    """
    along = np.array([frame.position for frame in series.frames]) @ _normal(series)
    order = np.argsort(along, kind="stable")
    apart = np.diff(along[order]) >= 1e-3 * (series.thickness or 1.0)
    # At one position the scanner's count decides, not the last digit of the position.
    groups = [np.sort(group) for group in np.split(order, np.flatnonzero(apart) + 1)]
    counts = [len(group) for group in groups]
    if len(set(counts)) > 1:
        odd = groups[counts.index(max(counts))]
        raise ImageError(
            f"{path.name}: {series} has {len(odd)} images at {along[odd[0]]:.1f} mm and "
            f"{min(counts)} elsewhere; expected equally many at each position. Put one set of them "
            "(one time, one echo) in a folder of its own."
        )
    frames = tuple(series.frames[number] for time in zip(*groups, strict=True) for number in time)
    return frames, along[[group[0] for group in groups]], counts[0]


def _sizes_that_are_some(path: Path, series: Series) -> tuple[Series, list[str]]:
    """Return the series without a size of its pixels that is none, and what to say of that."""
    spacing = series.pixel_spacing
    if spacing is None or (len(spacing) == 2 and all(0 < size < np.inf for size in spacing)):
        return series, []
    return replace(series, pixel_spacing=None), [
        f"{path.name}: the files say {' x '.join(f'{size:g}' for size in spacing)} mm, which is no "
        "size of a pixel. Sizes and the place in the patient are taken as not known, and masks get "
        "none."
    ]


def _tells_distance(series: Series) -> bool:
    """Whether slices without positions have a known distance, and pixels in them a size, too."""
    is_film = series.frame_time > 0
    return series.thickness > 0 and series.pixel_spacing is not None and not is_film


def _unplaced(path: Path, series: Series) -> list[str]:
    """Say what becomes of slices of which some have a place in the patient, or part of one."""
    n, n_placed = len(series.frames), sum(f.position is not None for f in series.frames)
    if not n_placed and (n == 1 or not _tells_distance(series)):
        return []
    missing = n - n_placed if series.orientation is not None else n
    lie = "does not say where it lies" if missing == 1 else "do not say where they lie"
    apart = "how far apart they are is not known"
    if _tells_distance(series):
        apart = f"they are taken to be {series.thickness:g} mm apart, as the files say"
    return [
        f"{path.name}: {missing} of {n} images {lie}. Slices are in the order of the scanner's "
        f"count, {apart}, and masks get no place in the patient."
    ]


def _uneven(path: Path, along: np.ndarray) -> list[str]:
    """Say where slices are missing."""
    gaps = np.diff(along)
    usual = float(np.median(gaps)) if gaps.size else 0.0
    uneven = np.flatnonzero(np.abs(gaps - usual) > UNEVEN * usual)
    if not uneven.size:
        return []
    worst = int(uneven[np.argmax(np.abs(gaps[uneven] - usual))])
    return [
        f"{path.name}: slices are not evenly spaced, {usual:.2f} mm apart as a rule but "
        f"{gaps[worst]:.2f} mm between slices {worst} and {worst + 1}; some may be missing. They "
        "are shown one after the other, and a NIfTI mask places them evenly between the first and "
        "the last."
    ]


def _affine(series: Series) -> np.ndarray:
    """Return the map from (i, j, k, 1) to RAS in mm (DICOM PS3.3, C.7.6.2.1.1)."""
    down, along = series.pixel_spacing or (1.0, 1.0)
    along_row, down_column = np.array(series.orientation, float).reshape(2, 3)
    first, last = (np.array(series.frames[at].position) for at in (0, -1))
    n = len(series.frames)
    affine = np.eye(4)
    affine[:3, 0] = along_row * along
    affine[:3, 1] = down_column * down
    # With a tilted gantry the step from slice to slice is not along the normal.
    alone = _normal(series) * (series.thickness or 1.0)
    affine[:3, 2] = (last - first) / (n - 1) if n > 1 else alone
    affine[:3, 3] = first
    return np.asarray(LPS_TO_RAS @ affine)


def _geometry(series: Series, shape: Sequence[int], affine: np.ndarray | None) -> Geometry:
    if affine is not None:
        return Geometry.of_affine(shape[::-1], affine, shown_order(len(shape)))
    # Frames of no position are a film, if their time is known.
    is_film = len(shape) == 3 and series.frame_time > 0
    step = (series.thickness, "mm") if _tells_distance(series) else (1.0, "pixel")
    sliders = [(series.frame_time, "ms") if is_film else step]
    in_slice = [(size, "mm") for size in series.pixel_spacing or ()] or [(1.0, "pixel")] * 2
    steps = [(1.0, "pixel"), *sliders, *in_slice][-len(shape) :]
    spacing, units = zip(*steps, strict=True)
    names = "tyx" if is_film else "tzyx"
    return Geometry.of_steps(shape, names[-len(shape) :], spacing, units)


def _pixels(series: Series, frame: Frame, rescaled: bool) -> np.ndarray:
    pixels = np.asarray(need_pydicom().pixels.pixel_array(frame.path, index=frame.number))
    if series.photometric == DARK_IS_HIGH:
        # From the other end of the range of stored values.
        highest = (1 << series.bits) - 1 if pixels.dtype.kind == "u" else -1
        pixels = np.bitwise_xor(pixels, np.array(highest, pixels.dtype))
    if not rescaled:
        return pixels
    return np.asarray(pixels * np.float64(frame.slope) + frame.intercept, np.float32)
