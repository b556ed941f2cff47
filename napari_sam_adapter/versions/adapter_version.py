"""One adapter version, and how it is told to people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.versions.promotion import Verdict, verdict_of

_JUDGED_BY = {
    "held_out_scores": "Held-out slices",
    "earlier_scores": "Slices known before",
}


@dataclass(frozen=True)
class AdapterVersion:
    """One adapter of a store.

    Attributes
    ----------
    number : int
        From 1 on, never reused within a store.
    path : Path
    card : AdapterCard
    name, note : str
        Given by the person.
    """

    number: int
    path: Path
    card: AdapterCard
    name: str = ""
    note: str = ""

    @property
    def title(self) -> str:
        """``v3``, with its name if it has one."""
        return f"v{self.number} {self.name}".rstrip()

    @property
    def label(self) -> str:
        """Short description, e.g. ``v3 · full · 12 slices · held-out Dice 0.81``."""
        training = self.card.training
        parts = [self.title, self.card.gear]
        n_slices = training.get("n_slices")
        if n_slices is not None:
            parts.append("1 slice" if n_slices == 1 else f"{n_slices} slices")
        if training.get("held_out_dice_after") is not None:
            parts.append(f"held-out Dice {training['held_out_dice_after']:.2f}")
        if training.get("imported_from"):
            parts.append(f"from {training['imported_from']}")
        return " · ".join(parts)

    @property
    def scores(self) -> str:
        """Held-out Dice before and after, ``0.81 → 0.86``; empty where none was taken."""
        before, after = (
            self.card.training.get(f"held_out_dice_{when}") for when in ("before", "after")
        )
        if before is None or after is None:
            return ""
        return f"{before:.2f} → {after:.2f}"

    @property
    def made(self) -> datetime | None:
        """When, in local time; None where the card does not say."""
        try:
            return datetime.fromisoformat(self.card.created).astimezone()
        except ValueError:
            return None

    @cached_property
    def verdict(self) -> Verdict:
        """What its held-out slices say of it, against what it was trained from."""
        return verdict_of(self.card.training)

    def details(self, parent: str = "") -> str:
        """More about it, in lines: what it was trained from, when, the verdict, classes, its note.

        Parameters
        ----------
        parent : str
            Name of what it was trained from, if that is known.
        """
        lines = [self.label]
        if parent:
            lines.append(f"trained from {parent}")
        if self.made is not None:
            lines.append(f"made {self.made:%Y-%m-%d %H:%M}")
        if not self.verdict.promoted:
            lines.append("held back:")
        if self.verdict.n or not self.verdict.promoted:
            lines += self.verdict.lines
        scores, names = self.card.training.get("held_out_dice_classes", {}), self.card.class_names
        if len(names) > 1 and any(isinstance(dice, float) for dice in scores.values()):
            lines += [f"{name}: {_score(scores.get(name))}" for name in names]
        elif len(names) > 1:  # no slice was held out
            lines.append(f"classes: {', '.join(names)}")
        return "\n".join([*lines, self.note] if self.note else lines)

    @property
    def scores_of_slices(self) -> str:
        """Dice before and after of every slice that it was judged by, in lines."""
        lines = []
        for key, title in _JUDGED_BY.items():
            scores = self.card.training.get(key, ())
            lines += [f"{title}:"] if scores else []
            lines += [f"{name}: Dice {before:.2f} → {after:.2f}" for name, before, after in scores]
        return "\n".join(lines)


def _score(dice: object) -> str:
    return f"held-out Dice {dice:.2f}" if isinstance(dice, float) else "not in the held-out slices"
