"""Which DICOM files are one series, and where each of its images lies. No pixel is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.data.lazy import INSTALL
from napari_sam_adapter.errors import ImageError

DICOM_SUFFIXES = (".dcm", ".dicom")
# What a header is read for; the rest is skipped.
_TAGS = [
    *("SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "InstanceNumber", "Modality"),
    *("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored"),
    *(
        "PixelRepresentation",
        "PhotometricInterpretation",
        "NumberOfFrames",
        "RescaleSlope",
        "RescaleIntercept",
    ),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing"),
    *("SliceThickness", "SpacingBetweenSlices", "FrameTime", "PatientID"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
# Files with rows and columns that are no pictures of a patient.
_NO_IMAGES = {"SEG", "RTDOSE"}
# Scanners write directions and sizes with few digits, and each image by itself.
SAME_DIRECTION = 2e-3  # a tenth of a degree
SAME_SIZE = 1e-3  # relative
DARK_IS_HIGH = "MONOCHROME1"


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a series.

    Attributes
    ----------
    path : Path
    number : int
        In its file, from 0.
    instance : int
        Where its file stands in the series, by the scanner's count.
    slope, intercept : float
        From stored values to those of the modality, for instance Hounsfield units.
    position : tuple of 3 floats, or None
        Of the first pixel's middle: left, posterior, superior (LPS), in mm.
    """

    path: Path
    number: int
    instance: int
    slope: float
    intercept: float
    position: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Series:
    """Images of one kind, size and orientation.

    Attributes
    ----------
    title : str
        For people.
    shape : tuple of 2 ints
        (Y, X).
    dtype : str
        Which holds the stored values of all files.
    is_colour : bool
    photometric : str
        What the values stand for, in DICOM's words.
    bits : int
        Of a stored value.
    syntax : str
        UID of the transfer syntax, which says how the pixels are compressed.
    orientation : tuple of 6 floats, or None
        Directions in which the column, then the row, grows: LPS.
    pixel_spacing : tuple of 2 floats, or None
        (Y, X) in mm, as the files say.
    thickness : float
        Distance of slices where their positions do not tell, in mm; 0 where it is not known.
    frame_time : float
        From one frame to the next, in ms; 0 where it is not known.
    frames : tuple of Frame
        By instance and number.
    patient_id : str
        As the hospital has it; never written anywhere. See `patient.patient_group`.
    """

    title: str
    shape: tuple[int, int]
    dtype: str
    is_colour: bool
    photometric: str
    bits: int
    syntax: str
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    thickness: float
    frame_time: float
    frames: tuple[Frame, ...]
    patient_id: str = field(default="", repr=False)

    def __str__(self) -> str:
        n = len(self.frames)
        return f"{self.title!r} ({n} image{'s'[: n != 1]})"


def is_dicom(path: Path) -> bool:
    """Tell by its first bytes whether a file is a DICOM file, whatever it is called.

    Of one that may not be read only the name tells: a slice must not be missing without a word.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return path.name.lower().endswith(DICOM_SUFFIXES)


def dicom_files(folder: Path, *, but_named: tuple[str, ...] = ()) -> Iterator[Path]:
    """Find the DICOM files that lie directly in a folder, by name.

    Parameters
    ----------
    folder : Path
    but_named : tuple of str
        Endings of the names of files that need not be looked at.
    """
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        # DICOMDIR is an index of others.
        is_other = name == "dicomdir" or name.endswith(but_named)
        if not is_other and path.is_file() and is_dicom(path):
            yield path


def series_in(paths: Iterable[Path]) -> list[Series]:
    """Sort DICOM files into series, the one of the most images first.

    Images of a series that differ in size, colour, orientation or size of the pixels, as localizers
    do, are several; so are files of several frames.

    Raises
    ------
    ImageError
        If pydicom is missing, or a file is damaged.
    """
    groups: dict[tuple[Any, ...], list[list[tuple[Any, list[Frame]]]]] = {}
    for path in paths:
        header = _header(path)
        if "Rows" not in header or header.get("Modality") in _NO_IMAGES:
            continue
        frames = list(_frames(path, header))
        key = (
            header.get("SeriesInstanceUID"),
            header.Rows,
            header.Columns,
            header.get("SamplesPerPixel", 1),
            header.file_meta.TransferSyntaxUID,
            header.get("PhotometricInterpretation") == DARK_IS_HIGH,
            path if len(frames) > 1 else None,
        )
        alike = groups.setdefault(key, [])
        files = next((one for one in alike if _are_parallel(one[0][0], header)), None)
        if files is None:
            alike.append(files := [])
        files.append((header, frames))
    series = [
        _series([header for header, _ in files], [frame for _, frames in files for frame in frames])
        for alike in groups.values()
        for files in alike
    ]
    return sorted(series, key=lambda one: -len(one.frames))


def _series(headers: Sequence[Any], frames: list[Frame]) -> Series:
    header = headers[0]
    measures = _of_frame(header, 0, "PixelMeasuresSequence")
    thickness = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0.0
    title = header.get("SeriesDescription") or header.get("Modality") or "series"
    number = header.get("SeriesNumber")
    return Series(
        title=str(title) if number is None else f"{number} {title}",
        shape=(int(header.Rows), int(header.Columns)),
        dtype=np.result_type(*map(_stored_type, headers)).str,
        is_colour=int(header.get("SamplesPerPixel", 1)) == 3,
        photometric=str(header.get("PhotometricInterpretation", "")),
        bits=int(header.get("BitsStored") or header.get("BitsAllocated", 16)),
        syntax=str(header.file_meta.TransferSyntaxUID),
        orientation=_orientation(header),
        pixel_spacing=_pixel_spacing(header),
        thickness=abs(float(thickness)),
        frame_time=float(header.get("FrameTime") or 0.0),
        frames=tuple(sorted(frames, key=lambda frame: (frame.instance, frame.number))),
        patient_id=str(header.get("PatientID") or "").strip(),
    )


def _stored_type(header: Any) -> str:
    bits = int(header.get("BitsAllocated", 16))
    if bits >= 32 and "PixelRepresentation" not in header:
        return f"f{bits // 8}"  # only of whole numbers a header says if they are signed
    return f"{'i' if header.get('PixelRepresentation', 0) else 'u'}{max(1, bits // 8)}"


def _frames(path: Path, header: Any) -> Iterator[Frame]:
    for number in range(int(header.get("NumberOfFrames") or 1)):
        values = _of_frame(header, number, "PixelValueTransformationSequence")
        position = _of_frame(header, number, "PlanePositionSequence").get("ImagePositionPatient")
        slope, intercept = values.get("RescaleSlope"), values.get("RescaleIntercept")
        yield Frame(
            path,
            number,
            int(header.get("InstanceNumber") or 0),
            1.0 if slope is None else float(slope),
            0.0 if intercept is None else float(intercept),
            tuple(map(float, position)) if position else None,
        )


def _orientation(header: Any) -> tuple[float, ...] | None:
    plane = _of_frame(header, 0, "PlaneOrientationSequence")
    found = plane.get("ImageOrientationPatient")
    return tuple(map(float, found)) if found else None


def _pixel_spacing(header: Any) -> tuple[float, ...] | None:
    measures = _of_frame(header, 0, "PixelMeasuresSequence")
    found = measures.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    return tuple(map(float, found)) if found else None


def _are_parallel(one: Any, other: Any) -> bool:
    """Tell whether two images have one orientation and size of pixels, but for rounding."""
    return _alike(_orientation(one), _orientation(other), atol=SAME_DIRECTION) and _alike(
        _pixel_spacing(one), _pixel_spacing(other), rtol=SAME_SIZE
    )


def _alike(
    one: Sequence[float] | None, other: Sequence[float] | None, atol: float = 0, rtol: float = 0
) -> bool:
    if one is None or other is None:
        return one is other
    return len(one) == len(other) and np.allclose(one, other, atol=atol, rtol=rtol)


def _of_frame(header: Any, number: int, name: str) -> Any:
    """Return what a header says of a frame: in newer files in groups, in others directly."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        sequence = header.get(groups) or []
        at = number if groups.startswith("Per") else 0
        if at < len(sequence) and sequence[at].get(name):
            return sequence[at].get(name)[0]
    return header


def _header(path: Path) -> Any:
    pydicom = need_pydicom()
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        header.file_meta.TransferSyntaxUID  # noqa: B018 - without it nothing can be read
        return header
    except Exception as error:
        raise ImageError(f"{path} could not be read as a DICOM file: {error}") from error


def need_pydicom() -> Any:
    """Return the module pydicom.

    Raises
    ------
    ImageError
        If it is not installed.
    """
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise ImageError(
            f"DICOM files need pydicom 3 or newer, which is not installed: {INSTALL}"
        ) from error
    return pydicom
