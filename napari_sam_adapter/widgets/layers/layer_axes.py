"""What the axes of an image layer are called, and which of them are in view."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_sam_adapter.data.tiff import TIFF_SUFFIXES, named_axes

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

# napari calls the axes of a layer -3, -2 and -1 where nobody names them.
_UNNAMED = re.compile(r"-?\d+")
# What a file says does not change while its layer is open.
_IN_FILE: WeakKeyDictionary[Image, tuple[str, ...]] = WeakKeyDictionary()


def axes_of(image: Image) -> tuple[str, ...]:
    """Return names of all axes of an image, colours aside; none where nobody tells.

    Its labels tell, or the file napari read it from.
    """
    labels = tuple(map(str, image.axis_labels))
    if not all(map(_UNNAMED.fullmatch, labels)):
        return labels
    # napari's own reader of TIFF files forgets the names that OME and ImageJ write there.
    if image not in _IN_FILE:
        path = image.source.path
        is_tiff = path is not None and Path(path).suffix.lower() in TIFF_SUFFIXES
        _IN_FILE[image] = named_axes(Path(path), _shape_of(image)) if is_tiff else ()
    return _IN_FILE[image]


def renamed_axes(viewer: napari.Viewer, ndim: int) -> list[str]:
    """Return what the person has called the last axes on napari's sliders.

    Returns
    -------
    list of str
        "" where the slider is called what a layer calls its axis: with several images in the
        viewer, that need not be the one in question.
    """
    names = []
    for back in range(ndim, 0, -1):
        name = viewer.dims.axis_labels[-back]
        of_layers = {layer.axis_labels[-back] for layer in viewer.layers if layer.ndim >= back}
        names.append("" if name in of_layers else name)
    return names


def _shape_of(image: Image) -> tuple[int, ...]:
    data = image.data[0] if image.multiscale else image.data
    return tuple(data.shape[: image.ndim])


def shows_last_axes(viewer: napari.Viewer) -> bool:
    """Whether the viewer shows its last two axes, those that are predicted."""
    ndim = viewer.dims.ndim
    return {ndim - 2, ndim - 1} <= set(viewer.dims.displayed)


def order_in_view(viewer: napari.Viewer, image: Image) -> tuple[int, ...] | None:
    """Return the axes of an image, colours aside, in the order that is shown, sliders first.

    Returns
    -------
    tuple of int, or None
        None where the last two axes of the image are in view anyway, or no two axes of it alone.
    """
    dims = viewer.dims
    first = dims.ndim - image.ndim
    is_slice = dims.ndisplay == 2 and image.ndim > 2
    if not is_slice or shows_last_axes(viewer) or min(dims.displayed) < first:
        return None
    # The sliders that are left stay in the order in which they lie.
    sliders = sorted(axis for axis in dims.not_displayed if axis >= first)
    return tuple(axis - first for axis in (*sliders, *dims.displayed))
