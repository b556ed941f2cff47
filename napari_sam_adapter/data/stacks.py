"""Slices from folders of pictures and stacks, for training and for the demo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from napari_sam_adapter.data.pairs import read_pair
from napari_sam_adapter.volume import value_range


def read_slices(
    pairs: Iterable[tuple[Path, Path]], class_names: Sequence[str] = ("object",)
) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Read pictures as they are and stacks slice by slice; a slice without contrast is left out.

    Parameters
    ----------
    pairs : iterable of (image path, mask path)
    class_names : sequence of str

    Yields
    ------
    image : ndarray, shape (Y, X) or (Y, X, 3)
    labels : ndarray of bool or uint8, shape (Y, X)
    name : str
        Of the file, and of the slice in a stack.

    Raises
    ------
    ImageError
        If a pair cannot be read or does not fit.
    """
    for image_path, mask_path in pairs:
        pair = read_pair(image_path, mask_path, class_names)
        image, labels = pair.image, pair.labels
        if labels.ndim == 2:
            yield image, labels, image_path.name
            continue
        for index, (one, one_labels) in enumerate(zip(image, labels, strict=True)):
            if value_range(one) is not None:
                yield one, one_labels, f"{image_path.name}, slice {index}"
