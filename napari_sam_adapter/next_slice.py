"""Which slice to correct next: where the model is unsure, and far from what it was taught.

Numpy only. The answer depends on plain numbers, so the dock, a script and an experiment ask alike.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from napari_sam_adapter.annotations import SliceState, SliceTracker
from napari_sam_adapter.volume import SliceIndex

# Width of the discount, in distances between slices if those taught were spread evenly. Measured
# by docs/measure_next_slice.py; see docs/results.md.
WIDTH = 0.5


@dataclass(frozen=True, slots=True)
class NextSlice:
    """A slice worth correcting, and what speaks for it.

    Attributes
    ----------
    index : tuple of int
    score : float
        0 to 1; see `next_slice`.
    uncertainty : float or None
        As given; None for a slice nobody was asked about.
    distance : float
        To the nearest slice taught, in slices; infinite where none is taught in this volume.
    is_least_sure : bool
        Whether no other slice on offer has a higher uncertainty.
    """

    index: SliceIndex
    score: float
    uncertainty: float | None
    distance: float
    is_least_sure: bool = False


def next_slice(
    uncertainty: Mapping[SliceIndex, float | None],
    taught: Collection[SliceIndex],
    *,
    passed: Collection[SliceIndex] = (),
    width: float = WIDTH,
) -> NextSlice | None:
    """Return the slice where a correction would teach most.

    Parameters
    ----------
    uncertainty : mapping of slice index to float or None
        Of all slices of an image, 0 (sure) to 1: one minus the Dice to expect
        (`confidence`). None where nothing is known, because the slice was never predicted, or by a
        base model, which knows no task.
    taught : collection of slice index
        Corrected and accepted slices. They are not offered again.
    passed : collection of slice index
        Slices not to be offered, which teach nothing either.
    width : float
        Of the discount near slices taught, in even spacings; 0 is without.

    Returns
    -------
    NextSlice or None
        None when every slice is taught or passed over.

    Notes
    -----
    The score of slice ``i`` is ``u_i (1 - exp(-(d_i / (width s))^2 / 2))``. ``d_i`` is the distance
    to the nearest slice taught along the last slider axis; other positions of the other axes
    (volumes, time points) are infinitely far. ``s = n / (k + 1)`` is how far from each other ``k``
    slices lie that are spread over the ``n`` slices of that volume: the more are taught, the nearer
    may the next one be. Where ``u_i`` is not known, the mean of the known ones stands in, so that
    distance decides. Of equal slices, and where no uncertainty is known at all, the one with most
    room around it is taken, to slices taught and to either end: the middle of the largest gap,
    first in a volume without any.
    That spreads slices evenly, and the ends of a stack, which are often empty, do not come first.
    """
    known = [value for value in uncertainty.values() if value is not None]
    usual = float(np.mean(known)) if known else 1.0
    lengths, taught, passed = _lengths(uncertainty), set(taught), set(passed)
    offered = [index for index in uncertainty if index not in taught and index not in passed]
    highest = max((uncertainty[index] or 0.0 for index in offered), default=0.0)
    best: tuple[tuple[float, float, bool], NextSlice] | None = None
    for index in offered:
        own, length = uncertainty[index], lengths[index[:-1]]
        distance, k = _nearest(index, taught)
        near = _nearness(distance, width * length / (k + 1)) if known else 0.0
        score = (usual if own is None else own) * (1.0 - near)
        room = min(distance, index[-1] + 1, length - index[-1]) if index else distance
        rank = (score, room, math.isinf(distance))
        if best is None or rank > best[0]:
            best = rank, NextSlice(index, score, own, distance, own == highest)
    return None if best is None else best[1]


def uncertainty_of(
    tracker: SliceTracker, indices: Iterable[SliceIndex]
) -> dict[SliceIndex, float | None]:
    """Return how unsure the predictions are that slices show, for `next_slice`.

    Returns
    -------
    dict of slice index to float or None
        One minus the confidence; None for slices that are not predicted, or are taught.
    """
    unsure: dict[SliceIndex, float | None] = {}
    for index in indices:
        sure = tracker.confidence_of(index)
        predicted = tracker.state(index) is SliceState.PREDICTED
        unsure[index] = 1.0 - sure if predicted and sure is not None else None
    return unsure


def why(found: NextSlice) -> str:
    """Say in words why a slice was chosen, e.g. ``the adapter is least sure here (62 %)``."""
    far = "nothing near it is corrected"
    if math.isfinite(found.distance):
        slices = f"{found.distance:g} slice{'' if found.distance == 1 else 's'}"
        far = f"the nearest corrected one is {slices} away"
    if found.uncertainty is None:
        return f"how sure the model is here is not known, and {far}"
    confidence = f"confidence {1.0 - found.uncertainty:.0%}"
    if found.is_least_sure:
        return f"the adapter is least sure here ({confidence})"
    return f"the adapter is unsure here ({confidence}), and {far}"


def _lengths(indices: Iterable[SliceIndex]) -> dict[SliceIndex, int]:
    """Return how many slices each volume has."""
    lengths: dict[SliceIndex, int] = {}
    for index in indices:
        lengths[index[:-1]] = max(lengths.get(index[:-1], 0), index[-1] + 1 if index else 1)
    return lengths


def _nearest(index: SliceIndex, taught: Collection[SliceIndex]) -> tuple[float, int]:
    """Return the distance to the nearest slice taught in the same volume, and how many are."""
    distances = [abs(index[-1] - other[-1]) for other in taught if other[:-1] == index[:-1]]
    return min(distances, default=math.inf), len(distances)


def _nearness(distance: float, width: float) -> float:
    """Return 1 at a slice taught, falling to 0 far from it."""
    if width <= 0:
        return 0.0
    return math.exp(-0.5 * (distance / width) ** 2)
