"""PNG and JPEG files. Pillow does the decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_sam_adapter.errors import ImageError

JPEG_SUFFIXES = (".jpg", ".jpeg")
PICTURE_SUFFIXES = (".png", *JPEG_SUFFIXES)


def read_picture(path: Path, *, palette_as_indices: bool = False) -> np.ndarray:
    """Read a PNG or JPEG file: (Y, X) grey or (Y, X, 3) colour; alpha is dropped.

    Parameters
    ----------
    path : Path
    palette_as_indices : bool
        Return the numbers of a palette image instead of its colours.

    Raises
    ------
    ImageError
        If it is damaged.
    """
    try:
        with Image.open(path) as picture:
            if palette_as_indices and picture.mode == "P":
                return np.asarray(picture)
            array = np.asarray(_without_palette(picture))
    except Exception as error:
        raise ImageError(f"{path} could not be read as an image: {error}") from error
    return array[..., :3] if array.ndim == 3 else array


def _without_palette(picture: Image.Image) -> Image.Image:
    """Replace palette colours, which numbers alone do not show, and two-channel greys."""
    replacement = {"P": "RGB", "PA": "RGB", "CMYK": "RGB", "LA": "L"}.get(picture.mode)
    return picture.convert(replacement) if replacement else picture
