"""Means with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 2_000
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A mean over images and how far it may be trusted.

    Attributes
    ----------
    mean : float
        nan if there was no value.
    low, high : float
        Ends of the confidence interval; nan with fewer than two values.
    n : int
        Number of images that had a value.
    """

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Sequence[float] | np.ndarray, *, confidence: float = 0.95, seed: int = 0
) -> MeanInterval:
    """Return the mean of the values that are not nan, with its percentile bootstrap interval.

    Parameters
    ----------
    values : sequence of float, length n
        One per image.
    confidence : float
        Probability the interval is made for, in (0, 1).
    seed : int
        The same values and seed give the same interval.

    Returns
    -------
    MeanInterval

    Notes
    -----
    2,000 samples of n values are drawn with replacement; the interval holds the middle of their
    means (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). It stands for
    other images like these. Frames of one video or slices of one patient are alike: with such
    images the true interval is wider. With fewer than about twenty images it is too narrow, too.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if known.size < 2:
        mean = float(known[0]) if known.size else math.nan
        return MeanInterval(mean, math.nan, math.nan, known.size)
    generator = np.random.default_rng(seed)
    means = [
        known[generator.integers(known.size, size=(_CHUNK, known.size))].mean(axis=1)
        for _ in range(N_RESAMPLES // _CHUNK)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return MeanInterval(float(known.mean()), float(low), float(high), known.size)
