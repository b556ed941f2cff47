"""Whether a masks layer fits an image, and can be written."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volume import SliceSource


def check_labels(labels: Labels, source: SliceSource) -> None:
    """Refuse a masks layer that does not fit or cannot be written.

    Raises
    ------
    ImageError
        With what to do.
    """
    in_memory = not labels.multiscale and isinstance(labels.data, np.ndarray)
    if not in_memory or not labels.data.flags.writeable:
        raise ImageError(
            f"The masks layer {labels.name!r} cannot be written to (it is read-only, or not in "
            "memory). Choose (new masks layer)."
        )
    if tuple(labels.data.shape) != source.shape:
        raise ImageError(
            f"The masks layer {labels.name!r} has shape {labels.data.shape}, the image "
            f"{source.shape}. Choose another layer, or (new masks layer)."
        )
