"""The pixels of a project's images: from their files, or from a copy where no file brings them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath

import numpy as np
import tifffile

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.data.tiff import open_tiff
from napari_sam_adapter.errors import ImageError, SamAdapterError, StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.storage import forget_unfinished, replaced_when_done
from napari_sam_adapter.volumes.slice_source import SliceSource

COPY = "image.tif"
LARGEST_COPY = 2**30  # bytes; its owner knows where what is larger came from


class _Stopped(Exception):
    """Nobody wants the copy any more."""


def keep_pixels(
    record: ImageRecord,
    opened: ImageIdentity,
    source: SliceSource,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """See to it that an image can be opened again: by the path of its file, or by a copy.

    A path is not enough: napari names one also where it has stacked several files, split one by
    channels, or reads what nothing else here can read, and a layer's pixels may have been changed.

    Parameters
    ----------
    record : ImageRecord
        Learns of the path that the image was opened from, where that brings it.
    opened : ImageIdentity
        As it was opened now.
    source : SliceSource
        Its pixels.
    should_stop : callable
        Whether to leave off copying.

    Raises
    ------
    ImageError
        If neither is possible; a sentence for the person.
    StorageError
        If the copy or the path cannot be written.
    """
    forget_unfinished(record.folder)  # copies of programs that were killed
    known = record.identity
    if opened.source is not None and _at(Path(opened.source), known) is not None:
        record.say_where(opened.source)
    elif _has_copy(record.folder, known, should_stop):
        return
    elif known.source is None or _at(Path(known.source), known) is None:
        try:
            keep_copy(record.folder, source, should_stop)
        except StorageError:
            raise
        except SamAdapterError as error:
            raise ImageError(
                f"No file brings {known.name} as it is here, and the project has no copy: {error} "
                "Masks are recorded, and come back when you open it as you did now. To open it "
                "from the project, or to learn from it while it is closed, save it as TIFF and "
                "open that file."
            ) from error


def keep_copy(
    record: Path, source: SliceSource, should_stop: Callable[[], bool] = lambda: False
) -> None:
    """Keep the pixels of an image, slice by slice.

    Parameters
    ----------
    record : Path
        Folder of the image's record.
    source : SliceSource
    should_stop : callable
        Whether to leave off; there is no copy then.

    Raises
    ------
    ImageError
        If it is too large, cannot be read, or TIFF has no such pixels.
    StorageError
        If it cannot be written.
    """
    n_bytes = source.bytes_per_pixel * math.prod(source.shape)
    if n_bytes > LARGEST_COPY:
        raise ImageError(_too_large(n_bytes))
    first = source.read_stored(source.index_of(0))
    native = first.dtype.newbyteorder("=")

    def slices() -> Iterator[np.ndarray]:
        for index in source.indices():
            if should_stop():
                raise _Stopped
            yield np.ascontiguousarray(source.read_stored(index), native)

    try:
        with replaced_when_done(record / COPY, makes_folder=False) as path:
            tifffile.imwrite(
                path,
                slices(),
                shape=(*source.slider_shape, *first.shape),
                dtype=native,
                compression="zlib",
                photometric="rgb" if source.is_colour else "minisblack",
            )
            if tifffile.imread(path, key=0).tobytes() != first.astype(native).tobytes():
                raise ValueError("it comes back changed")
    except _Stopped:
        return
    except SamAdapterError:
        raise
    except Exception as error:
        raise ImageError(
            f"Pixels of type {native.name} could not be kept as TIFF ({error})."
        ) from error


def image_of(record: Path, identity: ImageIdentity, moved_to: Path | None = None) -> PlacedImage:
    """Find an image and open it where it lies.

    Parameters
    ----------
    record : Path
        Folder of its record.
    identity : ImageIdentity
    moved_to : Path, optional
        A folder where its file may lie now.

    Raises
    ------
    ImageError
        If it is not found, or is another than the one that was worked on.
    """
    copied = _copied(record, identity)
    if copied is not None:
        return copied
    is_damaged = (record / COPY).exists()
    if identity.source is None:
        colours = 3 if identity.is_colour else 1
        n_bytes = math.prod(identity.shape) * colours * np.dtype(identity.dtype).itemsize
        reason = (
            _too_large(n_bytes)
            if n_bytes > LARGEST_COPY and not is_damaged
            else "Open it once more as you did then, and a copy is kept."
        )
        lack = (
            f"its copy {record / COPY} is damaged"
            if is_damaged
            else "the project has no copy of it"
        )
        raise ImageError(f"{identity.name} was opened from no file, and {lack}. {reason}")
    path = Path(identity.source)
    # It may be Windows', which other systems do not take apart; Windows takes apart all.
    names = dict.fromkeys((PureWindowsPath(identity.source).name, path.name))
    places = [path] if moved_to is None else [*(moved_to / name for name in names), moved_to]
    for place in places:
        image = _at(place, identity)
        if image is not None:
            return image
    damage = f", and its copy {record / COPY} is damaged" if is_damaged else ""
    raise ImageError(
        f"{identity.name} is not at {places[0]}, or what is there has other pixels{damage}. Open "
        "it from where it is now, as you did then; on the command line, say where with --images."
    )


def identity_of(record: Path, identity: ImageIdentity) -> ImageIdentity | None:
    """Read all that an image is known by from its copy or its file; None where neither is there."""
    try:
        found = _identified(image_of(record, identity))
    except (SamAdapterError, OSError):
        return None
    return found if found.is_same(identity) else None


def _copied(record: Path, identity: ImageIdentity) -> PlacedImage | None:
    """Return the copy of an image; None where there is none, or a damaged one.

    It is in memory, so that the image stays when the project is moved, and has its alpha.
    """
    if not (record / COPY).exists():
        return None
    try:
        # TIFF brings every number in this machine's byte order.
        pixels = tifffile.imread(record / COPY).astype(identity.dtype, copy=False)
        geometry = Geometry.of_steps(identity.shape)
        image = PlacedImage(identity.name, (pixels,), geometry, identity.is_colour)
        return image if _identified(image).is_same(identity) else None
    except Exception:  # noqa: BLE001 - tifffile and the decoders it uses raise what they like
        return None


def _has_copy(record: Path, identity: ImageIdentity, should_stop: Callable[[], bool]) -> bool:
    """Tell whether there is a copy without damage; it is read slice by slice, and not kept."""
    try:
        pixels = open_tiff(record / COPY).data.astype(identity.dtype)
        source = SliceSource(pixels, is_colour=identity.is_colour)
        for index in source.indices():
            if should_stop():
                return True
            source.read(index)
        return ImageIdentity.of(source, identity.name).is_same(identity)
    except ImageError:
        return False


def _at(path: Path, identity: ImageIdentity) -> PlacedImage | None:
    """Return the image that lies at a path, if it is this one, in the order of axes it had."""
    try:
        if not path.exists():
            return None
        image = open_image(path)
        turned = _orders(image, identity)
        return next((one for one in turned if _identified(one).is_same(identity)), None)
    except (SamAdapterError, OSError):
        return None


def _orders(image: PlacedImage, identity: ImageIdentity) -> Iterator[PlacedImage]:
    """Yield an image as its file has it, then in all orders of its axes that have this shape."""
    shape = image.geometry.shape
    for order in itertools.permutations(range(len(shape))):
        if tuple(shape[axis] for axis in order) == identity.shape:
            yield image.transposed(order)


def _too_large(n_bytes: int) -> str:
    size, most = (f"{value / 2**30:.1f} GiB" for value in (n_bytes, LARGEST_COPY))
    return f"It holds {size}, too much for a copy (up to {most})."


def _identified(image: PlacedImage) -> ImageIdentity:
    return ImageIdentity.of(SliceSource(image.data, is_colour=image.is_colour), image.name)
