"""Scores that count pixels: which are in the mask, in the truth, in both. Numpy only."""

from __future__ import annotations

import math

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


def balanced_error_rate(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean of the false positive rate and the false negative rate, in percent.

    Parameters
    ----------
    mask, truth : ndarray of bool, any shape, alike

    Returns
    -------
    float
        0 (best) to 100; nan where the truth is all object or all background, since one of the two
        rates is then 0 / 0.

    Notes
    -----
    ``BER = 100 (FP / (FP + TN) + FN / (FN + TP)) / 2``. It is the measure of shadow detection
    (Vicente et al., "Large-scale training of shadow detectors with noisily-annotated shadow
    examples", ECCV 2016). SAM-Adapter's ``calc_ber`` averages it over images, as is done here, but
    keeps the nan; its cut at 125 / 255 is 0.490 of probability, where masks here are cut at 0.5.
    """
    n_object = int(np.count_nonzero(truth))
    n_background = truth.size - n_object
    if n_object == 0 or n_background == 0:
        return math.nan
    hits = int(np.count_nonzero(np.logical_and(mask, truth)))
    false_positive_rate = (int(np.count_nonzero(mask)) - hits) / n_background
    false_negative_rate = (n_object - hits) / n_object
    return 50.0 * (false_positive_rate + false_negative_rate)
