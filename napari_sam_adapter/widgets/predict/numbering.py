"""Objects of a predicted slice with a label of their own, as far as a masks layer can count."""

from __future__ import annotations

import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import connected_objects


def numbered(labels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Give each connected object of a slice a label that masks of a type can hold.

    Raises
    ------
    ImageError
        If there are more than the type can number.
    """
    objects = connected_objects(labels)
    count, highest = int(objects.max()), np.iinfo(dtype).max
    if count > highest:
        raise ImageError(
            f"There are {count} objects in a slice, and the masks layer can number {highest}. "
            "Predict without numbering them, or into a masks layer of type "
            f"{np.min_scalar_type(count)}."
        )
    return objects.astype(dtype)
