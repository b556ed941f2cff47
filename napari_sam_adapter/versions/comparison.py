"""What a retraining changed in a slice: where it was put right, and where it was made wrong."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from napari_sam_adapter.errors import ImageError


class Change(IntEnum):
    """Labels of a change map; 0 is where both are right, or alike."""

    FIXED = 1
    BROKEN = 2
    STILL_WRONG = 3
    ADDED = 4
    REMOVED = 5
    RENAMED = 6

    @property
    def words(self) -> str:
        """What it is called: ``still wrong``."""
        return self.name.lower().replace("_", " ")


# What they are drawn in, and how that is called: of Okabe & Ito's palette, which colour-blind
# people can tell apart.
COLOURS = {
    Change.FIXED: ("#009e73", "green"),
    Change.BROKEN: ("#d55e00", "red"),
    Change.STILL_WRONG: ("#f0e442", "yellow"),
    Change.ADDED: ("#56b4e9", "blue"),
    Change.REMOVED: ("#cc79a7", "pink"),
    Change.RENAMED: ("#e69f00", "orange"),
}


@dataclass(frozen=True, slots=True)
class ChangeMap:
    """Two predictions of a slice compared.

    Attributes
    ----------
    labels : ndarray of uint8, shape (Y, X)
        See `Change`.
    is_judged : bool
        Whether a person's mask says what is right.
    """

    labels: np.ndarray
    is_judged: bool

    def count(self, change: Change) -> int:
        """Count the pixels of a kind."""
        return int(np.count_nonzero(self.labels == change))

    @property
    def sentence(self) -> str:
        """Sum it up for people."""
        kinds = [Change.ADDED, Change.REMOVED, Change.RENAMED]
        if self.is_judged:
            kinds = [Change.FIXED, Change.BROKEN, Change.STILL_WRONG]
        counts = [(self.count(kind), kind) for kind in kinds]
        found = ", ".join(
            f"{count:,} {'pixel' if count == 1 else 'pixels'} {kind.words} ({COLOURS[kind][1]})"
            for count, kind in counts
            if count
        )
        return found or ("both are right everywhere" if self.is_judged else "no pixel differs")


def change_map(before: np.ndarray, after: np.ndarray, truth: np.ndarray | None = None) -> ChangeMap:
    """Compare two predictions of a slice.

    Parameters
    ----------
    before, after : ndarray of integer, shape (Y, X)
        Labels of the classes.
    truth : ndarray of integer, shape (Y, X), optional
        The mask a person stands behind. Without it, the map tells where the two differ.

    Raises
    ------
    ImageError
        If they differ in shape.
    """
    shapes = {one.shape for one in (before, after, truth) if one is not None}
    if len(shapes) > 1:
        raise ImageError(f"Masks that are compared must be alike in shape, not {sorted(shapes)}.")
    labels = np.zeros(after.shape, np.uint8)
    if truth is None:
        labels[(before == 0) & (after != 0)] = Change.ADDED
        labels[(before != 0) & (after == 0)] = Change.REMOVED
        labels[(before != 0) & (after != 0) & (before != after)] = Change.RENAMED
        return ChangeMap(labels, is_judged=False)
    was_right, is_right = before == truth, after == truth
    labels[~was_right & is_right] = Change.FIXED
    labels[was_right & ~is_right] = Change.BROKEN
    labels[~was_right & ~is_right] = Change.STILL_WRONG
    return ChangeMap(labels, is_judged=True)
