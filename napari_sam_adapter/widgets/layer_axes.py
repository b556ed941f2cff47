"""What the axes of an image layer are called: by its labels, or by the file napari read it from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_sam_adapter.data.tiff import TIFF_SUFFIXES, named_axes

if TYPE_CHECKING:
    from napari.layers import Image

# napari calls the axes of a layer -3, -2 and -1 where nobody names them.
_UNNAMED = re.compile(r"-?\d+")
# What a file says does not change while its layer is open.
_IN_FILE: WeakKeyDictionary[Image, tuple[str, ...]] = WeakKeyDictionary()


def axes_of(image: Image) -> tuple[str, ...]:
    """Return names of all axes of an image, colours aside; none where nobody tells."""
    labels = tuple(map(str, image.axis_labels))
    if not all(map(_UNNAMED.fullmatch, labels)):
        return labels
    # napari's own reader of TIFF files forgets the names that OME and ImageJ write there.
    if image not in _IN_FILE:
        path = image.source.path
        is_tiff = path is not None and Path(path).suffix.lower() in TIFF_SUFFIXES
        _IN_FILE[image] = named_axes(Path(path), _shape_of(image)) if is_tiff else ()
    return _IN_FILE[image]


def _shape_of(image: Image) -> tuple[int, ...]:
    data = image.data[0] if image.multiscale else image.data
    return tuple(data.shape[: image.ndim])
