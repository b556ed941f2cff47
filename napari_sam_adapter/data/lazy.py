"""Images whose slices are read when they are looked at."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.errors import ImageError, SamAdapterError
from napari_sam_adapter.volumes.slice_source import SliceIndex, slice_name

Window = tuple[slice, slice]
"""Rows and columns of a slice, each a range without steps."""

INSTALL = 'pip install "napari-sam-adapter[volumes]"'


class LazyStack:
    """An array of slices that are made by a function, each time they are asked for.

    It has what napari and numpy ask of an array, and keeps nothing.

    Parameters
    ----------
    shape : sequence of int
        (..., Y, X), or (..., Y, X, 3) with ``is_colour``.
    dtype : dtype-like
    read : callable
        Takes the index of a slice and returns it, (Y, X) or (Y, X, 3).
    is_colour : bool
    read_part : callable, optional
        Takes the index of a slice and a `Window` smaller than it, and returns that part of the
        slice: for large pictures of which less than all can be read.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any,
        read: Callable[[SliceIndex], np.ndarray],
        *,
        is_colour: bool = False,
        read_part: Callable[[SliceIndex, Window], np.ndarray] | None = None,
    ) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.dtype = np.dtype(dtype)
        self._read, self._read_part, self._is_colour = read, read_part, is_colour
        self._n_sliders = len(self.shape) - (3 if is_colour else 2)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=int))

    def astype(self, dtype: Any) -> LazyStack:
        """Return the same slices in another type, each converted when it is asked for."""
        return LazyStack(
            self.shape, dtype, self._read, is_colour=self._is_colour, read_part=self._read_part
        )

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype=dtype)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read what a key needs; of integers and slices, no slice more than that.

        Nor more of a slice than a window of it, where the source can read less than all.
        """
        keys = key if isinstance(key, tuple) else (key,)
        if not all(k is Ellipsis or isinstance(k, int | np.integer | slice) for k in keys):
            return np.asarray(self[...][key])
        keys = one_key_per_axis(key, self.ndim)
        sliders, inside = keys[: self._n_sliders], keys[self._n_sliders :]
        picked = [np.arange(n)[k] for n, k in zip(self.shape, sliders, strict=False)]
        indices = list(itertools.product(*(np.atleast_1d(one).tolist() for one in picked)))
        if len(indices) == 1:
            found = self._cut(indices[0], inside)[None]
        else:
            # A view of one number: its shape is what is left of a slice.
            slice_shape = self.shape[self._n_sliders :]
            part = np.broadcast_to(np.empty((), self.dtype), slice_shape)[inside]
            found = np.empty((len(indices), *part.shape), self.dtype)
            for number, index in enumerate(indices):
                found[number] = self._cut(index, inside)
        sizes = [one.size for one in picked if one.ndim]
        return found.reshape((*sizes, *found.shape[1:]))

    def _cut(self, index: SliceIndex, inside: tuple[Any, ...]) -> np.ndarray:
        """Read a slice, or a window of it, and return what is asked for in it."""
        size = self.shape[self._n_sliders : self._n_sliders + 2]
        window = _window(inside[:2], size)
        if self._read_part is None or window is None:
            found, rest = self._read(index), inside
        else:
            found, rest = self._read_part(index, window), (..., *inside[2:])
        return np.asarray(np.asarray(found, self.dtype)[rest])


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """An image and where it lies.

    Attributes
    ----------
    name : str
        Of the file or folder.
    levels : tuple of array-like
        The image, then smaller copies of it, if the file has them. Shape (..., Y, X), or
        (..., Y, X, 3) with ``is_colour``.
    geometry : Geometry
        Of the image.
    is_colour : bool
    notes : tuple of str
        What the person should know: sentences.
    patient : str or None
        Alike for images of one patient, and tells nothing else of them; None where it is not known.
    is_labels : bool
        Whether the file says that its values are labels: masks, and not an image.
    """

    name: str
    levels: tuple[Any, ...]
    geometry: Geometry
    is_colour: bool = False
    notes: tuple[str, ...] = ()
    patient: str | None = None
    is_labels: bool = False

    @property
    def data(self) -> Any:
        """The image at its full size."""
        return self.levels[0]

    def transposed(self, order: Sequence[int]) -> PlacedImage:
        """Return the same image with its axes in another order; its colours stay the last."""
        levels = tuple(transposed(level, order) for level in self.levels)
        return replace(self, levels=levels, geometry=self.geometry.transposed(order))


def stack_of(
    name: str,
    shape: Sequence[int],
    dtype: Any,
    read: Callable[[SliceIndex], np.ndarray],
    *,
    is_colour: bool = False,
    read_part: Callable[[SliceIndex, Window], np.ndarray] | None = None,
) -> LazyStack:
    """Make a `LazyStack` of a file: what fails later is an `ImageError` that names it."""

    def read_or_tell(index: SliceIndex, *window: Window) -> np.ndarray:
        try:
            return read_part(index, *window) if read_part and window else read(index)
        except SamAdapterError:
            raise
        except Exception as error:
            where = f", {slice_name(index)}," if index else ""
            raise ImageError(f"{name}{where} could not be read: {error}") from error

    part = None if read_part is None else read_or_tell
    return LazyStack(shape, dtype, read_or_tell, is_colour=is_colour, read_part=part)


def transposed(array: Any, order: Sequence[int]) -> Any:
    """Put the axes of an array in another order; nothing is copied, and nothing is read yet.

    Parameters
    ----------
    array : array-like
        Of two axes or more, and perhaps colours after them.
    order : sequence of int
        Which of its axes each axis of the result is. Colours are not among them and stay the last.
    """
    if tuple(order) == tuple(range(len(order))):
        return array
    if hasattr(array, "transpose"):
        return array.transpose((*order, *range(len(order), array.ndim)))
    *sliders, y, x = order

    def read(index: SliceIndex) -> np.ndarray:
        at = dict(zip(sliders, index, strict=True))
        found = np.asarray(array[tuple(at.get(axis, slice(None)) for axis in range(len(order)))])
        return found if y < x else found.swapaxes(0, 1)

    colours = array.shape[len(order) :]
    shape = [*(array.shape[axis] for axis in order), *colours]
    return LazyStack(shape, array.dtype, read, is_colour=bool(colours))


def slices_transposed(array: Any, order: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the slices of an array with its axes in another order; its own are read once, in order.

    Only where they are cut across are they kept meanwhile, in a temporary file.

    Parameters
    ----------
    array : array-like, shape (..., Y, X)
        Without colours.
    order : sequence of int
        Which of its axes each axis of the result is.
    """
    *sliders, y, x = order
    shape = array.shape
    slices = (np.asarray(array[index]) for index in np.ndindex(*shape[:-2]))
    if sliders == list(range(len(sliders))):
        yield from (one if y < x else one.swapaxes(0, 1) for one in slices)
        return
    with tempfile.TemporaryFile() as kept:
        for one in slices:
            kept.write(np.ascontiguousarray(one, array.dtype).tobytes())
        kept.flush()
        for index in np.ndindex(*(shape[axis] for axis in sliders)):
            # A view of its own for each: parts of the file that were seen do not add up.
            yield np.memmap(kept, array.dtype, "r", shape=shape).transpose(order)[index]


def _window(keys: Sequence[Any], size: Sequence[int]) -> Window | None:
    """Return rows and columns that keys ask for; None for all, or for others than plain ranges."""
    if not all(isinstance(key, slice) and key.step in (None, 1) for key in keys):
        return None
    rows, columns = (slice(*key.indices(n)[:2]) for key, n in zip(keys, size, strict=True))
    is_all = (rows, columns) == (slice(0, size[0]), slice(0, size[1]))
    return None if is_all else (rows, columns)


def one_key_per_axis(key: Any, ndim: int) -> tuple[Any, ...]:
    """Spell out the ellipsis of an index, and the axes that were left out."""
    keys = key if isinstance(key, tuple) else (key,)
    if Ellipsis not in keys:
        keys = (*keys, Ellipsis)
    if len(keys) - 1 > ndim:
        raise IndexError(f"{len(keys) - 1} indices are too many for {ndim} axes")
    at = keys.index(Ellipsis)
    return (*keys[:at], *(slice(None),) * (ndim - len(keys) + 1), *keys[at + 1 :])
