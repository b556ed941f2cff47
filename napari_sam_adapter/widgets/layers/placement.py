"""Where an image lies, for layers that are to lie exactly there."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.widgets.layers.binding import source_of
from napari_sam_adapter.widgets.readers import GEOMETRY, IMAGE_FILE, geometry_of

if TYPE_CHECKING:
    import napari


def new_labels_layer(
    viewer: napari.Viewer, image: Image, dtype: np.dtype | type = np.uint8
) -> Labels:
    """Add an empty masks layer that lies on an image exactly, also when it is saved."""
    source, geometry = source_of(image), geometry_of(image)
    labels = Labels(
        np.zeros(source.shape, dtype),
        name=f"{image.name} masks",
        opacity=0.5,
        metadata={} if geometry is None else {GEOMETRY: geometry},
        **placement_of(image),
    )
    viewer.add_layer(labels)
    return labels


def placement_of(image: Image) -> dict[str, Any]:
    """Return what puts a new layer exactly where an image lies."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return {name: getattr(image, name) for name in names}


def lies_on(labels: Labels, image: Image) -> bool:
    """Whether each pixel of one layer lies on its like, to half a pixel; both have one shape."""
    corners = _corners(labels)
    steps = [abs(float(step)) for step in image.scale]
    apart = _in_world(labels, corners) - _in_world(image, corners)
    return bool(np.linalg.norm(apart, axis=-1).max() <= min(steps) / 2)


def move_onto(labels: Labels, image: Image) -> None:
    """Put a masks layer exactly where an image lies."""
    for name, value in placement_of(image).items():
        setattr(labels, name, value)


def has_no_place(labels: Labels) -> bool:
    """Whether a layer lies where napari puts an array of which it knows nothing else."""
    corners = _corners(labels)
    return np.allclose(_in_world(labels, corners), corners)


def lay_onto(labels: Labels, image: Image) -> str:
    """Let a masks layer that was there before lie on its image, also when it is saved.

    It is moved only where it has no place of its own.

    Parameters
    ----------
    labels : Labels
        Of the image's shape.
    image : Image

    Returns
    -------
    str
        What was done, in a sentence; "" where it lies there already.

    Raises
    ------
    ImageError
        If it lies elsewhere: what is painted in it would count for other pixels than those in view.
    """
    geometry, own = geometry_of(image), geometry_of(labels)
    if own is not None and geometry is not None and not own.lies_on(geometry):
        raise ImageError(
            f"The masks layer {labels.name!r} lies elsewhere in the patient than the image "
            f"{image.name!r}: so their files say. Choose masks of this image, or (new masks layer)."
        )
    said = ""
    if not lies_on(labels, image):
        if not has_no_place(labels):
            raise ImageError(
                f"The masks layer {labels.name!r} lies elsewhere than the image {image.name!r}: "
                "their scale, translate, rotate, shear or affine differ. If it belongs there, "
                "right-click the image in the list of layers: Copy scale and transforms, Copy all; "
                "right-click the masks: Apply scale/transforms; and choose it again. Else choose "
                "another layer, or (new masks layer)."
            )
        move_onto(labels, image)
        said = f"{labels.name!r} had no place of its own: it lies on {image.name!r} now."
    if own is None:
        labels.metadata.pop(GEOMETRY, None)  # it was about something else
    if geometry is not None and (own is None or own.affine is None or geometry.affine is not None):
        labels.metadata[GEOMETRY] = geometry
    labels.metadata.pop(IMAGE_FILE, None)  # it may have been another image's
    if image.source.path is not None:
        labels.metadata[IMAGE_FILE] = Path(image.source.path).name
    return said


def _corners(layer: Layer) -> np.ndarray:
    data = layer.data[0] if layer.multiscale else layer.data
    ends = ((0, size - 1) for size in data.shape[: layer.ndim])
    return np.array(list(itertools.product(*ends)), float)


def _in_world(layer: Layer, positions: np.ndarray) -> np.ndarray:
    return np.array([layer.data_to_world(position) for position in positions])
