"""The pixels of a project's images: from their files, or from the copy of one that has no file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.errors import ImageError, SamAdapterError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.storage import write_atomically
from napari_sam_adapter.volume import SliceSource

COPY = "image.tif"
LARGEST_COPY = 2**30  # bytes; what is larger has a file, or its owner knows where it came from


def keep_copy(record: Path, data: Any) -> bool:
    """Keep the pixels of an image that has no file, if they are in memory and not too large.

    Parameters
    ----------
    record : Path
        Folder of the image's record.
    data : array-like, shape (..., Y, X) or (..., Y, X, 3 or 4)

    Returns
    -------
    bool
        Whether there is a copy now.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    if (record / COPY).exists():
        return True
    if not isinstance(data, np.ndarray) or data.nbytes > LARGEST_COPY:
        return False
    buffer = io.BytesIO()
    photometric = "rgb" if data.shape[-1] in (3, 4) and data.ndim > 2 else "minisblack"
    tifffile.imwrite(buffer, data, compression="zlib", photometric=photometric)
    write_atomically(record / COPY, buffer.getvalue(), makes_folder=False)
    return True


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
    if (record / COPY).exists():
        return _copied(record, identity)
    if identity.source is None:
        raise ImageError(
            f"{identity.name} was opened from no file, and was too large for a copy in the project."
        )
    path = Path(identity.source)
    places = [path] if moved_to is None else [moved_to / path.name, moved_to]
    for place in places:
        image = _opened(place)
        if image is not None and _is_same(image, identity):
            return image
    raise ImageError(
        f"{identity.name} is not at {places[0]}, or has changed since. Open it from where it is "
        "now; on the command line, say where with --images."
    )


def identity_of(record: Path, identity: ImageIdentity) -> ImageIdentity | None:
    """Read all that an image is known by from its copy or its file; None where neither is there."""
    try:
        found = _identified(image_of(record, identity))
    except (SamAdapterError, OSError):
        return None
    return found if found.is_same(identity) else None


def _copied(record: Path, identity: ImageIdentity) -> PlacedImage:
    # TIFF brings every number in this machine's byte order.
    pixels = tifffile.imread(record / COPY).astype(identity.dtype, copy=False)
    return PlacedImage(
        identity.name, (pixels,), Geometry.of_steps(identity.shape), identity.is_colour
    )


def _opened(path: Path) -> PlacedImage | None:
    try:
        return open_image(path)
    except SamAdapterError:
        return None


def _is_same(image: PlacedImage, identity: ImageIdentity) -> bool:
    try:
        return _identified(image).is_same(identity)
    except SamAdapterError:
        return False


def _identified(image: PlacedImage) -> ImageIdentity:
    return ImageIdentity.of(SliceSource(image.data, is_colour=image.is_colour), image.name)
