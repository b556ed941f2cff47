"""Where the pixels of an image lie: axes, sizes, units, and the place in the world. numpy only.

Images are shown as (Z, Y, X) or (T, Z, Y, X), slices on the last two axes. Their files have other
orders, and medical ones say where in the patient each voxel is. `Geometry` keeps both, so that a
mask is written back exactly onto its image.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Affine = tuple[tuple[float, ...], ...]

# Lengths in mm and times in s. What is none of them is "pixel", which also stands for a step.
LENGTHS = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "nm": 1e-6, "angstrom": 1e-7}
TIMES = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_SPELLINGS = {
    **{"meter": "m", "centimeter": "cm", "millimeter": "mm", "nanometer": "nm", "Å": "angstrom"},
    **dict.fromkeys(("micrometer", "micron", "microns", "µm", "μm"), "um"),
    **{"hour": "h", "minute": "min", "second": "s", "sec": "s", "millisecond": "ms", "msec": "ms"},
    **dict.fromkeys(("microsecond", "usec", "µs", "μs"), "us"),
}
SLIDER_RATIO = 1.5


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the pixels of an image lie.

    Attributes
    ----------
    shape : tuple of int
        Of the image as it is shown, colours aside.
    axes : tuple of str
        A name for each axis of ``shape``: z, y and x for space, t for time, c for channels.
    spacing : tuple of float
        Distance between neighbours along each axis.
    units : tuple of str
        Of each axis: a key of `LENGTHS` or `TIMES`, or "pixel".
    origin : tuple of float
        Position of the first pixel along each axis, in its unit.
    file_axes : tuple of int
        Which axis of the file each shown axis is, counted as NIfTI counts them: i, j, k, t.
    affine : tuple of 4 rows of 4 floats, or None
        Maps (i, j, k, 1) in the file to right, anterior, superior (RAS), as NIfTI has it, in the
        unit of the spatial axes. None where an image has no place in a patient.
    nifti_header : bytes, or None
        Header of the NIfTI file the image is from: its masks get the same codes and units.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    spacing: tuple[float, ...]
    units: tuple[str, ...]
    origin: tuple[float, ...]
    file_axes: tuple[int, ...]
    affine: Affine | None = None
    nifti_header: bytes | None = None

    def __post_init__(self) -> None:
        parts = (self.axes, self.spacing, self.units, self.origin, self.file_axes)
        if any(len(part) != len(self.shape) for part in parts):
            raise ValueError(f"not one value per axis of {self.shape}: {parts}")

    @classmethod
    def of_steps(
        cls,
        shape: Sequence[int],
        axes: str | None = None,
        spacing: Sequence[float] | None = None,
        units: Sequence[str] | None = None,
        origin: Sequence[float] | None = None,
    ) -> Geometry:
        """Describe an image that lies in no patient: sizes of its steps, or mere pixels.

        Parameters
        ----------
        shape : sequence of int
            Colours aside.
        axes : str, optional
            A letter per axis.
        spacing, units, origin : sequences, optional
            Values that are no positive finite size become one pixel.
        """
        n = len(shape)
        names = axes or ("qpctzyx"[-n:] if n <= 7 else "?" * (n - 2) + "yx")
        sizes = (1.0,) * n if spacing is None else spacing
        named = ("",) * n if units is None else units
        steps = [_step(size, unit) for size, unit in zip(sizes, named, strict=True)]
        return cls(
            shape=tuple(map(int, shape)),
            axes=tuple(names),
            spacing=tuple(size for size, _ in steps),
            units=tuple(unit for _, unit in steps),
            origin=(0.0,) * n if origin is None else tuple(map(float, origin)),
            file_axes=tuple(reversed(range(n))),
        )

    @classmethod
    def of_affine(
        cls,
        file_shape: Sequence[int],
        affine: np.ndarray,
        file_axes: Sequence[int],
        *,
        unit: str = "mm",
        time: tuple[float, str] = (1.0, "pixel"),
    ) -> Geometry:
        """Describe an image whose place in a patient is known.

        Parameters
        ----------
        file_shape : sequence of int
            (i, j), (i, j, k) or (i, j, k, t).
        affine : ndarray, shape (4, 4)
            See `Geometry`. It can be inverted.
        file_axes : sequence of int
            See `Geometry`, for instance of `shown_order`.
        unit : str
            Of the affine.
        time : (float, str)
            Step and unit of the axis t.
        """
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        # Along the image's own axes, which need not be at right angles: a tilted gantry.
        first = np.linalg.solve(affine[:3, :3] / sizes, affine[:3, 3])
        # Files hold single precision: 0.7, not 0.699999988.
        steps = [(float(f"{size:.6g}"), unit) for size in sizes] + [_step(*time)]
        origin = [*first.tolist(), 0.0]
        return cls(
            shape=tuple(int(file_shape[axis]) for axis in file_axes),
            axes=tuple("tzyx"[-len(file_axes) :]),
            spacing=tuple(steps[axis][0] for axis in file_axes),
            units=tuple(steps[axis][1] for axis in file_axes),
            origin=tuple(origin[axis] for axis in file_axes),
            file_axes=tuple(file_axes),
            affine=tuple(tuple(map(float, row)) for row in affine),
        )

    @property
    def file_shape(self) -> tuple[int, ...]:
        """Sizes of the file's axes: i, j, k, t."""
        return tuple(self.shape[self.file_axes.index(axis)] for axis in range(len(self.shape)))

    def in_patient(self, index: Sequence[float]) -> np.ndarray:
        """Return where a pixel lies, by its index as it is shown: ndarray (3,), RAS.

        Raises
        ------
        ValueError
            If the place is not known.
        """
        if self.affine is None:
            raise ValueError("the place of the image is not known")
        position = np.array([0.0, 0.0, 0.0, 1.0])
        for shown, axis in enumerate(self.file_axes):
            if axis < 3:
                position[axis] = index[shown]
        return np.asarray(np.array(self.affine) @ position)[:3]

    def lies_on(self, other: Geometry) -> bool:
        """Tell whether both have one shape and each pixel lies on its like, to half a pixel.

        Where one of them does not know its place, only the shapes can differ.
        """
        if self.shape != other.shape:
            return False
        if self.affine is None or other.affine is None:
            return True
        corners = itertools.product(*((0, size - 1) for size in self.shape))
        apart = [self.in_patient(corner) - other.in_patient(corner) for corner in corners]
        pixel = min(s for s, axis in zip(self.spacing, self.file_axes, strict=True) if axis < 3)
        return bool(np.linalg.norm(apart, axis=-1).max() <= pixel / 2)

    def transposed(self, order: Sequence[int]) -> Geometry:
        """Return the same place for an image that is shown with its axes in another order."""
        return replace(
            self,
            shape=tuple(self.shape[axis] for axis in order),
            axes=tuple(self.axes[axis] for axis in order),
            spacing=tuple(self.spacing[axis] for axis in order),
            units=tuple(self.units[axis] for axis in order),
            origin=tuple(self.origin[axis] for axis in order),
            file_axes=tuple(self.file_axes[axis] for axis in order),
        )

    def voxel_size(self, depth: int, *, is_time: bool = False) -> tuple[float, float, float]:
        """Return the sizes along a slider axis, Y and X in one unit, whichever it is.

        Where the depth cannot be compared with Y and X, as a time or a step of unknown length
        beside millimetres, a step of it counts like a pixel.
        """
        z, y, x = (self.spacing[axis] for axis in (depth, -2, -1))
        units = [self.units[axis] for axis in (depth, -2, -1)]
        if is_time:
            return min(y, x), y, x
        if len(set(units)) == 1:
            return z, y, x
        if not LENGTHS.keys() >= set(units):
            return min(y, x), y, x
        to_z, to_y, to_x = (LENGTHS[unit] for unit in units)
        return z * to_z, y * to_y, x * to_x

    def surface_spacing(self) -> tuple[float, ...] | None:
        """Return the spacing if every axis is a length in one unit, else None."""
        unit = self.units[0]
        return self.spacing if unit in LENGTHS and set(self.units) == {unit} else None


def slider_axis(spacing: Sequence[float], sizes: Sequence[int]) -> int:
    """Choose which of a volume's three axes the slider walks along.

    Parameters
    ----------
    spacing : sequence of 3 floats
    sizes : sequence of 3 ints

    Returns
    -------
    int
        The axis of a single voxel, if one is; else the one along which voxels are more than 1.5
        times as long as along both others, for slices across it are the sharp ones; else the third.
    """
    single = [axis for axis in range(3) if sizes[axis] == 1]
    if len(single) == 1:
        return single[0]
    *_, second, coarsest = sorted(range(3), key=lambda axis: spacing[axis])
    return coarsest if spacing[coarsest] > SLIDER_RATIO * spacing[second] else 2


def shown_order(n_axes: int, slider: int = 2) -> tuple[int, ...]:
    """Return a file's axes in the order they are shown: t, the slider, and the later one first."""
    if n_axes == 2:
        return 1, 0
    in_slice = tuple(axis for axis in (2, 1, 0) if axis != slider)
    return (*range(n_axes - 1, 2, -1), slider, *in_slice)


def unit_named(name: Any) -> str:
    """Return a unit of `LENGTHS` or `TIMES` by any of its spellings, else "pixel"."""
    text = str(name or "")
    unit = _SPELLINGS.get(text.lower(), _SPELLINGS.get(text, text))
    return unit if unit in LENGTHS or unit in TIMES else "pixel"


def _step(size: float, unit: str) -> tuple[float, str]:
    """Return a step and its unit, or one pixel where it is no size."""
    return (float(size), unit_named(unit)) if np.isfinite(size) and size > 0 else (1.0, "pixel")
