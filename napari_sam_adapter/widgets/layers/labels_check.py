"""Whether a Labels layer can hold the masks of an image, and a project can hold its labels."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.project.runs import MAX_LABEL
from napari_sam_adapter.volumes.slice_source import SliceSource


def check_labels(labels: Labels, source: SliceSource) -> None:
    """Refuse a masks layer that does not fit, cannot be written to, or cannot be recorded.

    Raises
    ------
    ImageError
        With what to do.
    """
    check_shape(labels, source)
    if not is_writable(labels):
        raise ImageError(
            f"The masks layer {labels.name!r} cannot be written to (it is read-only, or not in "
            "memory). Choose (new masks layer)."
        )
    check_size(labels.data, labels.name)


def check_shape(labels: Labels, source: SliceSource) -> None:
    """Refuse a masks layer of another shape than the image, colours aside.

    Raises
    ------
    ImageError
        With what to do.
    """
    data = labels.data[0] if labels.multiscale else labels.data
    if tuple(data.shape) != source.shape:
        raise ImageError(
            f"The masks layer {labels.name!r} has shape {tuple(data.shape)}, the image "
            f"{source.shape}. Choose another layer, or (new masks layer)."
        )


def is_writable(labels: Labels) -> bool:
    """Whether what is painted in a layer stays there: it is one array in memory."""
    in_memory = not labels.multiscale and isinstance(labels.data, np.ndarray)
    return in_memory and bool(labels.data.flags.writeable)


def check_size(labels: np.ndarray, name: str) -> None:
    """Refuse labels that a journal cannot hold.

    Raises
    ------
    ImageError
        With what to do.
    """
    if labels.dtype == np.uint64 and labels.size and labels.max() > MAX_LABEL:
        raise ImageError(
            f"The masks layer {name!r} holds the label {labels.max()}; labels up to {MAX_LABEL} "
            "can be recorded. Give it a smaller one: until then its slice is not recorded."
        )
