"""Stacks from folders, for the demo."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sam_adapter.data.files import pair_by_stem
from napari_sam_adapter.evaluation import read_pair


def read_folders(images: Path, masks: Path) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Read paired folders.

    Returns
    -------
    images : list of ndarray, each (Y, X) or (Y, X, 3)
    masks : list of ndarray of bool, each (Y, X)
    names : list of str
    """
    pairs = pair_by_stem(images, masks)
    read = [read_pair(image, mask) for image, mask in pairs]
    return [r[0] for r in read], [r[1] for r in read], [image.name for image, _ in pairs]
