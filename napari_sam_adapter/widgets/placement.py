"""Where an image lies, for layers that are to lie exactly there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_sam_adapter.widgets.binding import source_of
from napari_sam_adapter.widgets.readers import GEOMETRY

if TYPE_CHECKING:
    import napari


def new_labels_layer(
    viewer: napari.Viewer, image: Image, dtype: np.dtype | type = np.uint8
) -> Labels:
    """Add an empty masks layer that lies on an image exactly, also when it is saved."""
    source = source_of(image)
    labels = Labels(
        np.zeros(source.shape, dtype),
        name=f"{image.name} masks",
        opacity=0.5,
        metadata={key: image.metadata[key] for key in (GEOMETRY,) if key in image.metadata},
        **placement_of(image),
    )
    viewer.add_layer(labels)
    return labels


def placement_of(image: Image) -> dict[str, Any]:
    """Return what puts a new layer exactly where an image lies."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return {name: getattr(image, name) for name in names}
