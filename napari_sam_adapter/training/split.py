"""Which samples a run learns from, and which tell how well it has learned."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.training.samples import TrainingSample

if TYPE_CHECKING:
    from napari_sam_adapter.adapter.card import AdapterCard

MINIMUM_FOR_HOLD_OUT = 6
FEWEST_GROUPS = 3  # of two, holding out one would leave one to learn from
MOST_EARLIER = 16  # enough for a mean, and few enough to encode them twice more
FEW_HELD_OUT = 2  # so few stand for all only if they are like most
MOST_HELD_OUT = 32  # more would say little more, and take slices and time from learning


@dataclass(frozen=True, slots=True)
class History:
    """What the adapter a run starts from has met before, as digests of slices.

    Attributes
    ----------
    trained_on : frozenset of str
        Never held out: the model would score too well on them, and no new state could beat the one
        it started from.
    held_out : frozenset of str
        Held out again where they are there, beside others to learn from: so new corrections are
        learned from, and scores compare from version to version.
    n_classes : int or None
        How many classes it knows; None where it is the base model.
    """

    trained_on: frozenset[str] = frozenset()
    held_out: frozenset[str] = frozenset()
    n_classes: int | None = None

    @classmethod
    def of(cls, parent: AdapterCard | None) -> History:
        """Return the history of an adapter; empty for the base model."""
        if parent is None:
            return NO_HISTORY
        summary = parent.training
        return cls(
            frozenset(summary.get("trained_on", ())),
            frozenset(summary.get("held_out", ())),
            len(parent.class_names),
        )


NO_HISTORY = History()


def earlier_samples(samples: Sequence[TrainingSample], history: History) -> list[TrainingSample]:
    """Return samples that the adapter a run starts from knows: at most 16, spread over all.

    They tell whether a run has forgotten something.
    """
    if history == NO_HISTORY:
        return []
    met = history.trained_on | history.held_out
    known = [sample for sample in samples if sample.digest in met]
    places = np.linspace(0, len(known) - 1, min(MOST_EARLIER, len(known)))
    return [known[place] for place in places.round().astype(int)]


@dataclass(frozen=True, slots=True)
class Split:
    """Which samples are learned from, and which tell how well.

    Attributes
    ----------
    training, held_out : list of TrainingSample
        Together all samples, each in their order.
    """

    training: list[TrainingSample]
    held_out: list[TrainingSample]

    @property
    def scored(self) -> list[TrainingSample]:
        """Held-out samples that tell how good a model is."""
        return those_that_tell(self.held_out)

    @property
    def leaks(self) -> bool:
        """Whether held-out slices are of a volume, video or patient that is learned from, too."""
        learned = {sample.group for sample in self.training if sample.group}
        return any(sample.group in learned for sample in self.held_out)


def those_that_tell(held_out: Sequence[TrainingSample]) -> list[TrainingSample]:
    """Leave out what was accepted as a model predicted it, where there is anything else."""
    return [sample for sample in held_out if not sample.is_as_predicted] or list(held_out)


def split_samples(
    samples: Sequence[TrainingSample],
    rng: np.random.Generator,
    *,
    history: History = NO_HISTORY,
) -> Split:
    """Split samples into training and held-out ones.

    One in eight is held out, at least one from six samples on, none below; more than 32 only where
    earlier runs held them out. Single ones show an object, and no more than half of the new ones
    that do are held out, or a single new one where nothing else is: of an empty slice the Dice is 0
    or 1, so that one alone, once predicted right, would outvote whatever else is learned. One or
    two are not the ones with the smallest objects.

    What was accepted as a model predicted it is not held out for its own sake: it would speak
    against all other models.

    Of samples whose groups are known, whole groups are held out: of three groups or more, those
    that the model has never met and that are no more than a third of all samples, and than half of
    the new ones: what a person has just corrected is learned from. Where that is not possible,
    neighbours are held out together, so that few of them have a neighbour that is learned from.

    Parameters
    ----------
    samples : sequence of TrainingSample
    rng : Generator
    history : History
    """
    if len(samples) < MINIMUM_FOR_HOLD_OUT:
        return Split(list(samples), [])
    wanted = min(max(1, len(samples) // 8), MOST_HELD_OUT)
    met = history != NO_HISTORY
    digests = [sample.digest if met else "" for sample in samples]
    held_out = {i for i, digest in enumerate(digests) if digest in history.held_out}
    # Both sides must show an object. Where all that do were held out before, as of one patient of
    # several who is now trained on alone, some are chosen anew: none of them was ever learned from.
    if len({i in held_out for i, sample in enumerate(samples) if sample.shows_object}) < 2:
        held_out = set()
    unseen = [i for i, d in enumerate(digests) if d not in history.trained_on and i not in held_out]
    candidates = [
        index
        for index in unseen
        if samples[index].shows_object and not samples[index].is_as_predicted
    ]
    # Of the new slices, most are to be learned from. But where nothing else tells how well, a
    # single new one does: for those who retrain after each correction nothing ever would.
    spared = len(candidates) // 2
    telling = {index for index in held_out if not samples[index].is_as_predicted}
    if not telling and len(candidates) == 1:
        shown = [index for index, sample in enumerate(samples) if sample.shows_object]
        spared = int(_smallest(samples, shown).isdisjoint(candidates))
    missing = max(0, min(wanted - len(telling), spared))
    if missing:
        groups = _groups_to_hold_out(samples, set(unseen), set(candidates), missing, rng)
        held_out |= groups or _slices_to_hold_out(samples, candidates, missing, rng)
    return Split(
        [sample for index, sample in enumerate(samples) if index not in held_out],
        [sample for index, sample in enumerate(samples) if index in held_out],
    )


def _slices_to_hold_out(
    samples: Sequence[TrainingSample],
    candidates: Sequence[int],
    count: int,
    rng: np.random.Generator,
) -> set[int]:
    """Choose slices at random, side by side where they are of one volume or video.

    One or two are none of the quarter that shows least of the objects, such as the ends of a
    volume: an object of a few pixels is missed whole, and says nothing of the others.
    """
    small: set[int] = set()
    if count <= FEW_HELD_OUT and len(candidates) > count:
        small = _smallest(samples, candidates)
    if all(samples[index].group for index in candidates):
        places = [candidates[at : at + count] for at in range(len(candidates) - count + 1)]
        typical = [place for place in places if small.isdisjoint(place)] or places
        return set(typical[int(rng.integers(len(typical)))])
    typical_ones = [index for index in candidates if index not in small]
    return set(rng.choice(typical_ones, size=count, replace=False).tolist())


def _smallest(samples: Sequence[TrainingSample], indices: Sequence[int]) -> set[int]:
    """Return the quarter of some samples that shows least of the objects, at least one."""
    by_size = sorted(indices, key=lambda index: int(np.count_nonzero(samples[index].labels)))
    return set(by_size[: max(1, len(by_size) // 4)])


def _groups_to_hold_out(
    samples: Sequence[TrainingSample],
    unseen: Set[int],
    candidates: Set[int],
    count: int,
    rng: np.random.Generator,
) -> set[int]:
    """Choose whole groups, at random, until there are enough slices; none where that costs much."""
    members: dict[str, set[int]] = {}
    for index, sample in enumerate(samples):
        members.setdefault(sample.group, set()).add(index)
    if "" in members or len(members) < FEWEST_GROUPS:
        return set()
    most = min(len(samples) // 3, len(unseen) // 2)
    new = [name for name in members if members[name] <= unseen and members[name] & candidates]
    chosen: set[int] = set()
    for name in rng.permutation(sorted(new)).tolist():
        whole = chosen | members[name]
        left = any(s.shows_object for i, s in enumerate(samples) if i not in whole)
        if len(whole) <= most and left:
            chosen = whole
        if len(chosen & candidates) >= count:
            break
    return chosen
