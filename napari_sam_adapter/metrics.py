"""Scores of a mask against the truth, at original size. One formula per function, numpy only."""

from __future__ import annotations

import numpy as np


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return ``2 |A and B| / (|A| + |B|)`` of two boolean masks; 1 if both are empty."""
    total = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    if total == 0:
        return 1.0
    return 2.0 * int(np.count_nonzero(np.logical_and(mask, truth))) / total


def mean_class_dice(labels: np.ndarray, truth: np.ndarray, n_classes: int) -> float:
    """Return the mean Dice of the classes that either labels image shows; 1 if both show none.

    Parameters
    ----------
    labels, truth : ndarray of int or bool, shape (Y, X)
        Label k is the k-th class. For a single class any label is the object.
    n_classes : int
    """
    if n_classes == 1:
        return dice(labels != 0, truth != 0)
    pairs = [(labels == k, truth == k) for k in range(1, n_classes + 1)]
    scores = [dice(one, other) for one, other in pairs if one.any() or other.any()]
    return float(np.mean(scores)) if scores else 1.0


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return ``|A and B| / |A or B|`` of two boolean masks; 1 if both are empty."""
    union = int(np.count_nonzero(np.logical_or(mask, truth)))
    if union == 0:
        return 1.0
    return int(np.count_nonzero(np.logical_and(mask, truth))) / union
