"""Slices in and out of images of any number of axes. Reads numpy, dask and zarr alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.depth import Depth, is_channel

SliceIndex = tuple[int, ...]
MINIMUM_SIDE = 8
NO_CONTRAST = (
    "Every pixel of this slice has the same value (or none is a finite number): there is nothing "
    "to segment in it."
)


def moved_to(index: SliceIndex, axis: int, position: int) -> SliceIndex:
    """Return the slice at another position of one slider axis."""
    return (*index[:axis], position, *index[axis + 1 :])


class SliceSource:
    """An image seen as slices (Y, X) or (Y, X, 3), one per position of the slider axes.

    Parameters
    ----------
    data : array-like
        Shape (..., Y, X), or (..., Y, X, 3 or 4) with ``is_colour``. Nothing is read here.
    is_colour : bool
        Whether the last axis holds colours.
    axes : sequence of str, optional
        Names of the axes, colours aside, see `Depth.of`; those of another number of axes, or none,
        say nothing.

    Attributes
    ----------
    depth : Depth
        Along which slider axis slices are neighbours.

    Raises
    ------
    ImageError
        If there are fewer than two image axes, an axis is empty, or the slices are too small.
    """

    def __init__(self, data: Any, *, is_colour: bool, axes: Sequence[str] = ()) -> None:
        self._data = data
        self.is_colour = is_colour
        shape = tuple(int(size) for size in data.shape)
        self.shape = shape[:-1] if is_colour else shape
        if len(self.shape) < 2:
            raise ImageError(
                f"The image has shape {shape}: expected at least two axes, (Y, X), with any number "
                "of slider axes before them."
            )
        if 0 in self.shape:
            raise ImageError(f"The image has shape {shape}: it holds no pixel.")
        _check_size_and_type(self.slice_shape, np.dtype(data.dtype))
        names = axes if len(axes) == len(self.shape) else ("",) * len(self.shape)
        self._slider_names = self._called = tuple(names[:-2])
        self.depth = Depth.of(self._slider_names, self.slider_shape)
        # Space, time, and what nobody knows: along any of them shapes go over into each other.
        self.axes_of_neighbours = [
            axis for axis, name in enumerate(self._slider_names) if not is_channel(name)
        ]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(Y, X) of a slice."""
        return self.shape[-2], self.shape[-1]

    @property
    def slider_shape(self) -> tuple[int, ...]:
        """Sizes of the axes before the last two."""
        return self.shape[:-2]

    @property
    def n_deep(self) -> int:
        """Number of slices along the depth; 1 where there is none."""
        return 1 if self.depth.axis is None else self.slider_shape[self.depth.axis]

    @property
    def n_across_axes(self) -> int:
        """Number of slices of one volume across all three of its axes."""
        return self.n_deep + sum(self.slice_shape)

    @property
    def bytes_per_pixel(self) -> int:
        """Memory of a pixel, all its colours included."""
        colours = int(self._data.shape[-1]) if self.is_colour else 1
        return colours * int(np.dtype(self._data.dtype).itemsize)

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return int(np.prod(self.slider_shape, dtype=int))

    def indices(self) -> Iterator[SliceIndex]:
        """Iterate over all slices, the last slider axis fastest."""
        yield from np.ndindex(*self.slider_shape)

    def flat(self, index: SliceIndex) -> int:
        """Return the position of a slice in `indices`."""
        return int(np.ravel_multi_index(index, self.slider_shape)) if index else 0

    def index_of(self, flat: int) -> SliceIndex:
        """Return the slice at a position in `indices`."""
        if not self.slider_shape:
            return ()
        return tuple(int(i) for i in np.unravel_index(flat, self.slider_shape))

    def call_sliders(self, names: Sequence[str]) -> None:
        """Describe slices by other names of the sliders; which axis is the depth stays.

        Parameters
        ----------
        names : sequence of str
            One for each slider; where one is but a number, as napari calls those without a name,
            the name that the image came with stays.
        """
        named = zip(names, self._slider_names, strict=True)
        self._called = tuple(new if _names_axis(new) else own for new, own in named)

    def describe(self, index: SliceIndex) -> str:
        """Name a slice for people, see `slice_name`; sliders that cannot move are left out."""
        moves = [axis for axis, size in enumerate(self.slider_shape) if size > 1]
        return slice_name([index[axis] for axis in moves], [self._called[axis] for axis in moves])

    def read(self, index: SliceIndex) -> np.ndarray:
        """Read one slice, whatever the array is made of; without the alpha of a coloured one.

        Programs differ in whether they drop a picture's transparency, and it is no part of what is
        seen, learned from or compared.

        Returns
        -------
        ndarray, shape (Y, X) or (Y, X, 3)

        Raises
        ------
        ImageError
            If a lazy source fails.
        """
        return self._seen(self.read_stored(index))

    def read_stored(self, index: SliceIndex) -> np.ndarray:
        """Read one slice with all that it has, for a copy: (Y, X) or (Y, X, 3 or 4).

        Raises
        ------
        ImageError
            If a lazy source fails.
        """
        return self._read(index, index if index else ...)

    def read_part(self, index: SliceIndex, window: tuple[slice, slice]) -> np.ndarray:
        """Read a window (rows, columns) of a slice, and no more where the array can do with that.

        Raises
        ------
        ImageError
            If a lazy source fails.
        """
        return self._seen(self._read(index, (*index, *window)))

    def _seen(self, pixels: np.ndarray) -> np.ndarray:
        return pixels[..., :3] if self.is_colour else pixels

    def _read(self, index: SliceIndex, key: Any) -> np.ndarray:
        try:
            return np.asarray(self._data[key])
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"{self.describe(index)} could not be read: {error}") from error


def slice_name(index: Sequence[int], axes: Sequence[str] = ()) -> str:
    """Name a slice for people: ``slice 7``, and of several sliders ``slice t 2, z 7``.

    Parameters
    ----------
    index : sequence of int
        Where the sliders are; none of them for a picture, which is ``the image``.
    axes : sequence of str, optional
        What the sliders are called. Where one has no name (but a number, as napari calls those),
        it is ``slice (2, 7)``.
    """
    if not index:
        return "the image"
    if len(index) == 1:
        return f"slice {index[0]}"
    if len(axes) == len(index) and all(map(_names_axis, axes)):
        return f"slice {', '.join(f'{name} {at}' for name, at in zip(axes, index, strict=True))}"
    return f"slice ({', '.join(map(str, index))})"


def _names_axis(name: str) -> bool:
    return any(letter.isalpha() for letter in name)


def check_slice(image: np.ndarray) -> tuple[float, float]:
    """Refuse a slice that nothing can be predicted from.

    Parameters
    ----------
    image : ndarray, shape (Y, X) or (Y, X, 3 or 4)

    Returns
    -------
    low, high : float
        Smallest and largest finite value, alpha aside; they differ.

    Raises
    ------
    ImageError
        With what is wrong: shape, size, type, or no contrast at all.
    """
    is_colour = image.ndim == 3 and image.shape[-1] in (3, 4)
    if image.ndim != 2 and not is_colour:
        raise ImageError(
            f"A slice must be (Y, X) grey or (Y, X, 3) colour, this one has shape {image.shape}."
        )
    _check_size_and_type(image.shape[:2], image.dtype)
    limits = value_range(image[..., :3] if is_colour else image)
    if limits is None:
        raise ImageError(NO_CONTRAST)
    return limits


def value_range(image: np.ndarray) -> tuple[float, float] | None:
    """Return (minimum, maximum) of the finite values, or None where they do not differ."""
    if image.dtype.kind == "f":
        image = image[np.isfinite(image)]
    if image.size == 0:
        return None
    low, high = float(image.min()), float(image.max())
    return (low, high) if high > low else None


def connected_objects(labels: np.ndarray) -> np.ndarray:
    """Give the objects of each slice numbers from 1 on; pixels that touch at a corner are one.

    Parameters
    ----------
    labels : ndarray of int or bool, shape (..., Y, X)
        Any value but 0 is a class. Objects of two classes are two, even where they touch; those of
        the lower class come first.

    Returns
    -------
    ndarray of uint32, same shape
    """
    from scipy import ndimage

    slices = labels.reshape(-1, *labels.shape[-2:])
    objects = np.zeros(slices.shape, np.uint32)
    for one, numbered in zip(slices, objects, strict=True):
        for value in np.unique(one[one != 0]):
            found, _ = ndimage.label(one == value, structure=np.ones((3, 3)))
            numbered[found > 0] = found[found > 0] + numbered.max()
    return objects.reshape(labels.shape)


def _check_size_and_type(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    height, width = shape
    if min(height, width) < MINIMUM_SIDE:
        raise ImageError(
            f"The image is {height} x {width} pixels; at least {MINIMUM_SIDE} x {MINIMUM_SIDE} are "
            "needed."
        )
    if dtype.kind not in "uifb":
        raise ImageError(f"Pixel values must be integers or real numbers, not {dtype}.")
