"""Whether a new adapter takes the place of the one it was trained from.

Both are scored on the same slices, so the differences are paired: what makes a slice hard makes it
hard for both. Held-out slices tell what it has learned, earlier ones what it has forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_sam_adapter.metrics.bootstrap import bootstrap_mean

# A slice that is worse by more than this is named; training itself takes two states for equally
# good within it.
TOLERANCE = 0.02
# Fewer slices tell nothing of how sure a mean is. Of versions that a single slice spoke against by
# more than 0.02, eight of nine were better on other images (docs/results.md, "Forgetting").
ENOUGH = 4
# What falls so far has broken down, however few slices say so.
COLLAPSE = 0.2
# How far the mean of earlier slices may fall. No interval here: this is not about other images, it
# is these slices that a person has seen right.
FORGETTING = 0.01
CONFIDENCE = 0.9
LEAKS = (
    "These scores are too kind: the held-out slices are of the same volume, video or patient as "
    "slices it learned from. A whole image is held out where three or more are known and at most "
    "half of the new slices are in it: correct several images before you retrain."
)
SLICES_NAMED = 3
Scores = Sequence[Sequence[Any]]
Changes = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the held-out slices say of a new version.

    Attributes
    ----------
    promoted : bool
        Whether it may take the old one's place.
    n : int
        Held-out slices.
    difference : float
        Mean Dice after minus before; nan without held-out slices.
    low, high : float
        90 % interval of the difference; nan with fewer than `ENOUGH` slices.
    worse : tuple of (str, float)
        Slices on which it is worse by more than `TOLERANCE`, by how much, the worst first: held-out
        ones, or earlier ones if it has forgotten them.
    leaks : bool
        Whether held-out slices are of a volume, video or patient it learned from.
    new_classes : tuple of str
        What it has learned to tell apart that the one before cannot.
    n_earlier : int
        Slices that the one before knew, of those it was trained on.
    earlier : float
        Mean Dice after minus before on these; nan without any.
    """

    promoted: bool
    n: int = 0
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    worse: tuple[tuple[str, float], ...] = ()
    leaks: bool = False
    new_classes: tuple[str, ...] = ()
    n_earlier: int = 0
    earlier: float = math.nan

    @property
    def has_forgotten(self) -> bool:
        """Whether the mean of earlier slices has fallen too far."""
        return self.earlier < -FORGETTING

    @property
    def in_short(self) -> str:
        """Say in half a sentence by how much it is better or worse, and where it is worst."""
        if self.has_forgotten and not self.promoted:
            fall = f"It has forgotten: {_change(self.earlier, 3)} on {_slices(self.n_earlier)}"
            fall += " that it knew"
        else:
            fall = f"{_change(self.difference)} on {_slices(self.n, 'held-out ')}"
        return f"{fall}, most on {_named(*self.worse[0])}" if self.worse else fall

    @property
    def lines(self) -> list[str]:
        """Sentences: by how much it is better or worse, how sure that is, and where it is worse."""
        lines = []
        if self.new_classes:
            lines.append(f"It knows {', '.join(self.new_classes)}, which the one before does not.")
        lines.append(self._judged())
        if self.worse:
            named = ", ".join(_named(*one) for one in self.worse[:SLICES_NAMED])
            more = len(self.worse) - SLICES_NAMED
            lines.append(f"Worse on {named}{f' and {more} more' if more > 0 else ''}.")
        return [*lines, LEAKS] if self.leaks else lines

    @property
    def reason(self) -> str:
        """All `lines` as one text."""
        return " ".join(self.lines)

    def _judged(self) -> str:
        if self.has_forgotten and not self.promoted:
            held_out = f", {_signed(self.difference)} on what is held out" if self.n else ""
            return (
                f"It has forgotten: Dice {_signed(self.earlier, 3)} on {_slices(self.n_earlier)} "
                f"that it knew{held_out}."
            )
        if self.n == 0:
            return "No slice was held out to compare by, so it is taken on trust."
        text = f"Dice {_signed(self.difference)} on {_slices(self.n, 'held-out ')}"
        if self.n < ENOUGH:
            rule = "too few to be sure, so only a fall of more than 0.2 would hold it back"
            if not self.promoted:
                rule = "too few to be sure, but a fall of more than 0.2 holds it back"
            return f"{text}: {rule}."
        return f"{text} (90 % interval {_signed(self.low)} to {_signed(self.high)})."


def judge(scores: Scores, earlier: Scores = ()) -> Verdict:
    """Decide by the scores of a run.

    Parameters
    ----------
    scores, earlier : sequence of (name, Dice before, Dice after)
        One for each held-out slice, and for each that the one before knew already, see
        `training.events.PairedScore`.

    Returns
    -------
    Verdict
        Held back if four or more held-out slices show a fall: the whole 90 % interval of the mean
        difference (paired bootstrap) lies below 0; or if their mean falls by more than 0.2; or if
        the mean of the earlier slices falls by more than 0.01. Where a version knows more classes
        than the one before, earlier slices are scored by those that both know; held-out ones by
        all, which can only favour the new one.
    """
    verdict = _judge_held_out(_changes(scores))
    changes = _changes(earlier)
    if not changes:
        return verdict
    fall = math.fsum(by for _, by in changes) / len(changes)
    verdict = replace(verdict, n_earlier=len(changes), earlier=fall)
    if verdict.has_forgotten:
        verdict = replace(verdict, promoted=False, worse=_worse(changes))
    return verdict


def _judge_held_out(changes: Changes) -> Verdict:
    if not changes:
        return Verdict(promoted=True)
    found = bootstrap_mean([by for _, by in changes], confidence=CONFIDENCE)
    low, high = (found.low, found.high) if found.n >= ENOUGH else (math.nan, math.nan)
    # A nan is not below 0: where there is no interval, the mean alone decides.
    promoted = found.mean >= -COLLAPSE and not high < 0
    return Verdict(promoted, found.n, found.mean, low, high, _worse(changes))


def _changes(scores: Scores) -> Changes:
    return tuple((str(name), float(after) - float(before)) for name, before, after in scores)


def _worse(changes: Changes) -> Changes:
    return tuple(sorted((c for c in changes if c[1] < -TOLERANCE), key=lambda change: change[1]))


def verdict_of(training: Mapping[str, Any]) -> Verdict:
    """Return the verdict on the adapter whose training summary this is."""
    verdict = judge(training.get("held_out_scores", ()), training.get("earlier_scores", ()))
    new = tuple(str(name) for name in training.get("new_classes", ()))
    leaks = bool(verdict.n and training.get("held_out_leaks"))
    return replace(verdict, leaks=leaks, new_classes=new)


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _change(value: float, digits: int = 2) -> str:
    return f"Dice {'fell' if value < 0 else 'rose'} by {abs(value):.{digits}f}"


def _slices(count: int, kind: str = "") -> str:
    return f"{count} {kind}slice{'s'[: count != 1]}"


def _named(name: str, by: float) -> str:
    return f'"{name}" ({_signed(by)})'
