"""Smoothing across slices: what the neighbouring slices say counts, too, the nearer the more.

Slices are predicted one by one, so their masks flicker from slice to slice. Memory holds the slices
under the kernel, never the volume.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import numpy as np

from napari_sam_adapter.errors import ImageError

KERNEL_END = 3.0  # widths; 0.3 % of a Gaussian lies beyond


def smooth_across(
    slices: Iterable[np.ndarray | None], width: float, spacing: float = 1.0
) -> Iterator[np.ndarray | None]:
    """Average maps of neighbouring slices with the weights of a Gaussian.

    Parameters
    ----------
    slices : iterable of ndarray of float, shape (K, Y, X), or None
        Logits or probabilities of the slices of a volume, in their order. None stands for a slice
        that could not be predicted: it has no say, and stays None.
    width : float
        Standard deviation of the Gaussian, in the unit of ``spacing``; 0 changes nothing.
    spacing : float
        From one slice to the next. With 1, the width is in slices.

    Yields
    ------
    ndarray of float32, shape (K, Y, X), or None
        One for each slice, when as many more as the kernel's radius were read
        (`kernel_radius`). Before the first slice and after the last, these two go on.

    Raises
    ------
    ImageError
        If the width is negative, the spacing is not positive, or the slices differ in shape.

    Notes
    -----
    ``sum_i w_i x_i / sum_i w_i`` with ``w_i = exp(-(i spacing / width)^2 / 2)``. At most
    ``2 radius + 1`` slices are held at a time.
    """
    radius = kernel_radius(width, spacing)
    offsets = spacing * np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / width) ** 2) if radius else np.ones(1)
    return _smoothed(slices, weights)


def kernel_radius(width: float, spacing: float = 1.0) -> int:
    """Return how many slices on either side a Gaussian takes into account.

    Raises
    ------
    ImageError
        If the width is negative or the spacing is not positive.
    """
    if not (math.isfinite(width) and width >= 0):
        raise ImageError(f"The width of smoothing across slices must be 0 or more, got {width}.")
    if not (math.isfinite(spacing) and spacing > 0):
        raise ImageError(f"The distance from slice to slice must be positive, got {spacing}.")
    return math.ceil(KERNEL_END * width / spacing)


def _smoothed(
    slices: Iterable[np.ndarray | None], weights: np.ndarray
) -> Iterator[np.ndarray | None]:
    window: deque[np.ndarray | None] = deque(maxlen=len(weights))
    for one in _with_ends(slices, len(weights) // 2):
        window.append(one)
        if len(window) == len(weights):
            yield _weighted_mean(window, weights)


def _with_ends(slices: Iterable[np.ndarray | None], count: int) -> Iterator[np.ndarray | None]:
    """Repeat the first and the last of some slices so many times more."""
    number, one = 0, None
    for number, one in enumerate(slices, start=1):
        yield from repeat(one, 1 + count if number == 1 else 1)
    yield from repeat(one, count if number else 0)


def _weighted_mean(window: Sequence[np.ndarray | None], weights: np.ndarray) -> np.ndarray | None:
    """Average those that are there; None where the middle one is not."""
    middle = window[len(weights) // 2]
    if middle is None:
        return None
    total, weight = np.zeros(middle.shape, np.float32), 0.0
    for one, share in zip(window, weights, strict=True):
        if one is None:
            continue
        if one.shape != middle.shape:
            raise ImageError(
                f"The slices of a volume must be alike, but {one.shape} follows on {middle.shape}."
            )
        total += np.float32(share) * one
        weight += float(share)
    return total / np.float32(weight)
