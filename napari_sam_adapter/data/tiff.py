"""TIFF files: pages read lazily, with the sizes of OME and ImageJ; labels written page by page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import LazyStack, PlacedImage, Window, slices_transposed, stack_of
from napari_sam_adapter.data.tiff_metadata import ome_metadata, origin_in, sizes_in
from napari_sam_adapter.data.tiff_segments import read_window
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import replaced_when_done
from napari_sam_adapter.volumes.slice_source import SliceIndex

TIFF_SUFFIXES = (".tif", ".tiff")
OME_SUFFIXES = (".ome.tif", ".ome.tiff")
# From this size on a TIFF needs 64-bit offsets; some room is left for the rest of the file.
BIG = 2**32 - 2**25


def open_tiff(path: Path) -> PlacedImage:
    """Open the first series of a TIFF file; its pages are read when they are looked at.

    Of a part of a page only the tiles or strips that it touches are read. Only a series whose pages
    are no slices is read as a whole, when it is first looked at.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ImageError
        If it is no TIFF file, or a damaged one, or has pixels of two or five channels.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            shape, known, is_colour = _axes(series)
            names = known or Geometry.of_steps(shape).axes
            sizes = sizes_in(file)
            steps = [sizes.get(name, (1.0, "pixel")) for name in names]
            origin = origin_in(file, names, steps)
            lock = threading.Lock()  # levels share the files that their pages lie in
            levels = tuple(_stack(path.name, lock, level, is_colour) for level in series.levels)
    except Exception as error:
        raise ImageError(f"{path} could not be read as an image: {error}") from error
    spacing, units = zip(*steps, strict=True) if steps else ((), ())
    geometry = Geometry.of_steps(shape, "".join(names), spacing, units, origin)
    return PlacedImage(path.name, levels, geometry, is_colour)


def named_axes(path: Path, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names that a TIFF file gives the axes of an image, colours aside.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of the image, colours aside.

    Returns
    -------
    tuple of str
        One letter per axis; none where the file names none, holds another image, or is not there.
    """
    try:
        with tifffile.TiffFile(path) as file:
            if not (file.is_ome or file.is_imagej):
                return ()
            found, names, _ = _axes(file.series[0])
            return names if found == shape else ()
    except Exception:  # noqa: BLE001 - it is only asked for names; tifffile raises what it likes
        return ()


def tells_sizes(path: Path) -> bool:
    """Tell whether a TIFF file says how large its pixels or its steps in time are."""
    try:
        with tifffile.TiffFile(path) as file:
            return any(unit != "pixel" for _, unit in sizes_in(file).values())
    except Exception:  # noqa: BLE001 - whoever opens it hears of what is wrong
        return False


def _axes(series: Any) -> tuple[tuple[int, ...], tuple[str, ...], bool]:
    """Return the shape of a series without colours, its axes if they have names, and if it has."""
    # Colours in planes of their own, before Y and X, look like a stack of three pages.
    is_colour = series.axes.endswith("S") and series.shape[-1] in (3, 4)
    if series.axes.endswith("S") and not is_colour:
        raise ImageError(
            f"its pixels have {series.shape[-1]} channels, and only grey images, three channels of "
            "colour and a fourth of opacity are understood. Save the channel that matters by itself"
        )
    axes = series.axes.removesuffix("S") if is_colour else series.axes
    shape = series.shape[:-1] if is_colour else series.shape
    known = set(axes) <= set("TZCYX") and axes.endswith("YX")
    return tuple(shape), tuple(axes.lower()) if known else (), is_colour


def _stack(name: str, lock: threading.Lock, series: Any, is_colour: bool) -> LazyStack:
    """Return the lazy slices of a series, and find out how they are read best.

    Its pages may lie in several files (OME-TIFF), and in others than the one that was opened.
    """
    shape = series.shape[:-1] if is_colour else series.shape
    in_page = series.shape[len(shape) - 2 :]
    pages = list(series.pages)
    files = {page.parent for page in pages if page is not None}
    read: Callable[..., np.ndarray]  # a slice, or a window of it
    if series.dataoffset is not None and len(files) == 1:
        (file,) = files
        dtype = np.dtype(file.byteorder + series.dtype.char)
        read = partial(_mapped, file.filehandle.path, dtype, series.dataoffset, series.shape)
    elif len(pages) == np.prod(shape[:-2], dtype=int) and all(
        page is not None and page.shape == in_page for page in pages
    ):
        read = partial(_page, lock, pages, shape[:-2])
    else:
        read = _Whole(lock, series).part
    full = (*shape, 3) if is_colour else shape

    def part(*of: Any) -> np.ndarray:
        return read(*of)[..., :3] if is_colour else read(*of)

    return stack_of(name, full, series.dtype, part, is_colour=is_colour, read_part=part)


def _mapped(
    path: str,
    dtype: np.dtype[Any],
    offset: int,
    shape: tuple[int, ...],
    index: SliceIndex,
    window: Window | tuple[()] = (),
) -> np.ndarray:
    """Read a slice by a view of the disk of its own: parts that were seen do not add up."""
    return np.array(np.memmap(path, dtype, "r", offset, shape)[(*index, *window)])


def _page(
    lock: threading.Lock,
    pages: Sequence[Any],
    sliders: tuple[int, ...],
    index: SliceIndex,
    window: Window | None = None,
) -> np.ndarray:
    page = pages[int(np.ravel_multi_index(index, sliders)) if sliders else 0]
    with lock, _opened(page.parent.filehandle):
        return np.asarray(page.asarray()) if window is None else read_window(page, window)


class _Whole:
    """A series that is read as a whole, once."""

    def __init__(self, lock: threading.Lock, series: Any) -> None:
        self._lock, self._series = lock, series
        self._array: np.ndarray | None = None

    def part(self, index: SliceIndex, window: Window | tuple[()] = ()) -> np.ndarray:
        with self._lock:
            if self._array is None:
                with _opened(self._series.keyframe.parent.filehandle):
                    self._array = self._series.asarray()
            return np.asarray(self._array[(*index, *window)])


@contextmanager
def _opened(handle: Any) -> Iterator[None]:
    """Open a file for one look only: some systems let nobody rename or delete an open file."""
    handle.open()
    try:
        yield
    finally:
        handle.close()


def write_tiff(path: Path, labels: Any, geometry: Geometry | None = None) -> None:
    """Write labels as a compressed TIFF, page by page.

    Parameters
    ----------
    path : Path
    labels : array-like of an integer type, shape (..., Y, X)
        Each slice is read once, in order, see `lazy.slices_transposed`.
    geometry : Geometry, optional
        Write OME-TIFF, with these axes, sizes and units, and where the image begins in space. Its
        pages are (y, x) whatever orientation is shown.

    Raises
    ------
    ImageError
        If OME-TIFF has no such axes.
    StorageError
        If the file cannot be written.
    """
    metadata = {}
    order = list(range(len(labels.shape)))
    if geometry is not None:
        axes = geometry.axes
        order.sort(key=lambda at: "yx".find(axes[at]))
        metadata = ome_metadata(path, geometry.transposed(order))
    shape, dtype = tuple(labels.shape[axis] for axis in order), np.dtype(labels.dtype)
    pages = map(np.ascontiguousarray, slices_transposed(labels, order))
    with (
        replaced_when_done(path) as temporary,
        tifffile.TiffWriter(
            temporary,
            bigtiff=int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > BIG,
            ome=geometry is not None,
        ) as writer,
    ):
        writer.write(
            pages,
            shape=shape,
            dtype=dtype,
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
        )
