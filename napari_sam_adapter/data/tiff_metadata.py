"""Axes, sizes and places as OME and ImageJ write them into TIFF files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_sam_adapter.data.geometry import LENGTHS, Geometry, unit_named
from napari_sam_adapter.errors import ImageError

OME_UNITS = {"um": "µm", "angstrom": "Å", "us": "µs"}
Sizes = Mapping[str, tuple[float, str]]


def sizes_in(file: Any) -> Sizes:
    """Return step and unit of the axes z, y, x and t, as far as the file tells."""
    try:
        if file.is_ome:
            pixels = _pixels(file)
            sizes = {
                axis: (float(size), unit_named(pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm")))
                for axis in "zyx"
                if (size := pixels.get(f"PhysicalSize{axis.upper()}")) is not None
            }
            if "TimeIncrement" in pixels:
                unit = unit_named(pixels.get("TimeIncrementUnit", "s"))
                sizes["t"] = (float(pixels["TimeIncrement"]), unit)
            return sizes
        if file.is_imagej:
            return _imagej_sizes(file)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        pass  # what cannot be understood is as if it were not there
    return {}


def _imagej_sizes(file: Any) -> Sizes:
    told, tags = file.imagej_metadata, file.pages[0].tags
    unit = unit_named(str(told.get("unit", "")).replace("\\u00B5", "µ"))
    sizes: dict[str, tuple[float, str]] = {}
    if unit != "pixel":
        for axis in "xy":
            pixels, per = tags[f"{axis.upper()}Resolution"].value
            sizes[axis] = (per / pixels, unit)
        if "spacing" in told:
            sizes["z"] = (float(told["spacing"]), unit)
    if told.get("finterval"):
        sizes["t"] = (float(told["finterval"]), "s")
    return sizes


def origin_in(
    file: Any, names: Sequence[str], steps: Sequence[tuple[float, str]]
) -> tuple[float, ...]:
    """Return where the first plane begins along each axis, in the unit of its step.

    Parameters
    ----------
    file : tifffile.TiffFile
    names : sequence of str
    steps : sequence of (float, str)
        Of each axis.

    Returns
    -------
    tuple of float
        0 where an OME file says nothing, or speaks of a frame that nobody knows.
    """
    try:
        planes = _pixels(file)["Plane"] if file.is_ome else {}
        first = planes[0] if isinstance(planes, list) else planes
        return tuple(
            _begin(first, name, unit) for name, (_, unit) in zip(names, steps, strict=True)
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return (0.0,) * len(names)


def _begin(plane: Mapping[str, Any], axis: str, unit: str) -> float:
    value = float(plane.get(f"Position{axis.upper()}", 0.0))
    told = str(plane.get(f"Position{axis.upper()}Unit", "reference frame"))
    own = unit_named(told)
    if own == unit and (own in LENGTHS or told == "pixel"):
        return value
    return value * LENGTHS[own] / LENGTHS[unit] if own in LENGTHS and unit in LENGTHS else 0.0


def _pixels(file: Any) -> Mapping[str, Any]:
    """Return what an OME file says of its first image."""
    images = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    pixels: Mapping[str, Any] = (images[0] if isinstance(images, list) else images)["Pixels"]
    return pixels


def ome_metadata(path: Path, geometry: Geometry) -> dict[str, Any]:
    """Return what tifffile writes into an OME-TIFF of this geometry.

    Raises
    ------
    ImageError
        If OME-TIFF has no such axes.
    """
    axes = "".join(geometry.axes).upper()
    if set(axes) - set("TZCYX") or len(set(axes)) != len(axes):
        raise ImageError(
            f"{path.name} was not written: OME-TIFF holds the axes t, z, c, y and x, and the masks "
            f"have {', '.join(geometry.axes)}. Save them as plain TIFF (.tif)."
        )
    metadata: dict[str, Any] = {"axes": axes}
    for axis, step, unit in zip(axes, geometry.spacing, geometry.units, strict=True):
        if unit == "pixel" or axis == "C":
            continue
        name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        metadata |= {name: step, f"{name}Unit": OME_UNITS.get(unit, unit)}
    planes = _planes(geometry)
    return metadata | {"Plane": planes} if planes else metadata


def _planes(geometry: Geometry) -> dict[str, list[Any]]:
    """Return where each plane lies, in the order of the pages; nothing if the image begins at 0."""
    axes, shape = geometry.axes, geometry.shape
    if not any(begin for axis, begin in zip(axes, geometry.origin, strict=True) if axis in "zyx"):
        return {}
    pages = list(np.ndindex(shape[:-2]))
    planes: dict[str, list[Any]] = {}
    for at, axis in enumerate(axes):
        if axis not in "zyx":
            continue
        name, unit, begin = f"Position{axis.upper()}", geometry.units[at], geometry.origin[at]
        step = geometry.spacing[at] if axis == "z" else 0.0
        planes[name] = [begin + step * (page[at] if step else 0) for page in pages]
        planes[f"{name}Unit"] = [OME_UNITS.get(unit, unit)] * len(pages)
    return planes
