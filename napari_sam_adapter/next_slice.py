"""Which slice to correct next: where the model is unsure, and far from what it was taught.

Numpy only. The answer depends on plain numbers, so the dock, a script and an experiment ask alike.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_sam_adapter.annotations.slice_tracker import SliceState, SliceTracker
from napari_sam_adapter.volumes.depth import Depth
from napari_sam_adapter.volumes.slice_source import SliceIndex

# Width of the discount, in distances between slices if those taught were spread evenly. Measured
# by docs/measure_next_slice.py; see docs/results.md.
WIDTH = 1.0
# From how many slices taught on the model's own uncertainty counts by half: one that was shown two
# slices does not know what it does not know.
HALF_TRUSTED = 8
WELL_TRAINED = 100


@dataclass(frozen=True, slots=True)
class NextSlice:
    """A slice worth correcting, and what speaks for it.

    Attributes
    ----------
    index : tuple of int
    uncertainty : float or None
        As given; None for a slice nobody was asked about.
    distance : float
        To the nearest slice taught, in slices; infinite where none is taught in this volume.
    is_unsure : bool
        Whether the model is less sure of it than on average.
    is_least_sure : bool
        Whether no other slice on offer has a higher uncertainty.
    """

    index: SliceIndex
    uncertainty: float | None
    distance: float
    is_unsure: bool = False
    is_least_sure: bool = False


def next_slice(
    uncertainty: Mapping[SliceIndex, float | None],
    taught: Collection[SliceIndex],
    *,
    passed: Collection[SliceIndex] = (),
    learned_from: int | None = None,
    depth: Depth | None = None,
    width: float = WIDTH,
) -> NextSlice | None:
    """Return the slice that is worth correcting next.

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
    learned_from : int, optional
        How many slices the model has learned from, in this image and others; by default those
        taught.
    depth : Depth, optional
        Along which slider axis distances count; by default the last.
    width : float
        Of the discount near slices taught, in even spacings; 0 is without.

    Returns
    -------
    NextSlice or None
        None when every slice is taught or passed over.

    Notes
    -----
    The score of slice ``i`` is ``v_i (1 - exp(-(r_i / (width s))^2 / 2))``.

    ``v_i = m + k / (k + HALF_TRUSTED) (u_i - m)`` is its uncertainty ``u_i``, drawn towards the
    mean ``m`` of all on offer: the fewer slices ``k`` the model has learned from, the more, since
    one that has seen little does not know where it is wrong. Where ``u_i`` is not known, it is
    ``m``.

    ``r_i`` is the room around it: the distance along the depth to the nearest slice taught, or to
    just beyond either end of the stack, whose end slices are often empty. Other positions of the
    other axes (volumes, time points, channels) are not near. ``s = n / (j + 1)`` is how far
    from each other ``j`` slices taught lie if they are spread over all ``n``: the more are taught,
    the nearer may the next one be.

    So the first slices are spread evenly, each in the middle of the largest gap, and later ones are
    more and more those where the model is unsure. Of equal slices, the one with most room is
    taken, first in a volume without any taught.
    """
    if depth is None:
        depth = Depth.last(len(next(iter(uncertainty), ())))
    places = _places(depth, taught)
    lengths = {line: max(own) + 1 for line, own in _places(depth, uncertainty).items()}
    taught, passed = set(taught), set(passed)
    offered = [index for index in uncertainty if index not in taught and index not in passed]
    known = [value for index in offered if (value := uncertainty[index]) is not None]
    mean = float(np.mean(known)) if known else 1.0
    k = len(taught) if learned_from is None else learned_from
    trust = k / (k + HALF_TRUSTED)
    spacing = len(uncertainty) / (len(taught) + 1)
    highest = max((uncertainty[index] or 0.0 for index in offered), default=0.0)
    best: tuple[tuple[float, float, bool], NextSlice] | None = None
    for index in offered:
        own, line, place = uncertainty[index], depth.line(index), depth.place(index)
        distance = min((abs(place - other) for other in places.get(line, ())), default=math.inf)
        room = min(distance, place + 1, lengths[line] - place)
        value = mean if own is None else mean + trust * (own - mean)
        score = value * (1.0 - _nearness(room, width * spacing))
        rank = (score, room, math.isinf(distance))
        if best is None or rank > best[0]:
            unsure = own is not None and own >= mean
            best = rank, NextSlice(index, own, distance, unsure, own == highest)
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


def slices_learned_from(training: Mapping[str, Any] | None) -> int:
    """Return how many slices an adapter has learned from, by the training summary on its card.

    An adapter that does not say so (made elsewhere) is taken for well trained; None, the base
    model, has learned from none.
    """
    if training is None:
        return 0
    listed = training.get("trained_on")
    return len(listed) if isinstance(listed, Collection) and listed else WELL_TRAINED


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
    if found.is_unsure:
        return f"the adapter is unsure here ({confidence}), and {far}"
    return f"{far} ({confidence})"


def _places(depth: Depth, indices: Iterable[SliceIndex]) -> dict[SliceIndex, list[int]]:
    """Return where slices lie along the depth, by their line."""
    return {line: list(map(depth.place, own)) for line, own in depth.lines(indices).items()}


def _nearness(distance: float, width: float) -> float:
    """Return 1 at a slice taught, falling to 0 far from it."""
    if width <= 0:
        return 0.0
    return math.exp(-0.5 * (distance / width) ** 2)
