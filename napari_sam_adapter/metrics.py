"""Scores of a mask against the truth, at original size. One formula per function, numpy only."""

from __future__ import annotations

import numpy as np


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return ``2 |A and B| / (|A| + |B|)`` of two boolean masks; 1 if both are empty."""
    total = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    if total == 0:
        return 1.0
    return 2.0 * int(np.count_nonzero(np.logical_and(mask, truth))) / total


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return ``|A and B| / |A or B|`` of two boolean masks; 1 if both are empty."""
    union = int(np.count_nonzero(np.logical_or(mask, truth)))
    if union == 0:
        return 1.0
    return int(np.count_nonzero(np.logical_and(mask, truth))) / union
