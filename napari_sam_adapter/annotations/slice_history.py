"""What is known of one slice of a labels image: predictions, the person's pixels, undo and redo.

`slice_tracker.SliceTracker` keeps one `SliceHistory` per slice. Numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from napari_sam_adapter.annotations.packed_labels import PackedLabels
from napari_sam_adapter.volumes.slice_source import SliceIndex

# In place of an adapter's id, where masks were interpolated between slices (`fill_between`).
FILLED = "fill"
Action = Literal["adopted", "predicted", "painted", "undone", "accepted", "reopened"]


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Pixels of one slice to write, for one undoable edit.

    Attributes
    ----------
    positions : ndarray of int32
        Where, counted through the slice row by row, in ascending order.
    old, new : ndarray
        Values there before and after.
    """

    positions: np.ndarray
    old: np.ndarray
    new: np.ndarray

    @classmethod
    def between(cls, before: np.ndarray, after: np.ndarray) -> LabelChange:
        """Return what leads from one state of a slice to another, both (Y, X)."""
        positions = np.flatnonzero(before != after).astype(np.int32)
        return cls(positions, before.ravel()[positions], after.ravel()[positions])

    def where(self, index: SliceIndex, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        """Return the positions as napari indexes them in masks of a shape.

        They are of the smallest types: napari's undo keeps them for a hundred predictions, where 8
        bytes per pixel and axis would be more than a hundred MiB.
        """
        fixed = (np.broadcast_to(position, self.positions.shape) for position in index)
        axes = (*fixed, *np.unravel_index(self.positions, shape[-2:]))
        return tuple(
            axis.astype(np.min_scalar_type(-size)) for axis, size in zip(axes, shape, strict=True)
        )

    def undone(self, labels: np.ndarray) -> np.ndarray:
        """Return a copy of the slice (Y, X) as it was before the change."""
        before = labels.copy()
        before.ravel()[self.positions] = self.old
        return before


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a slice was right after a prediction.

    Attributes
    ----------
    written : PackedLabels
        The labels then; zeros where no prediction was made.
    human : PackedLabels
        Pixels that were the person's already, as bool.
    adapter : str or None
        Who predicted: an adapter id, "" for the base model, `FILLED`, None for nobody.
    confidence : float or None
        Of that prediction, see `confidence`.
    number : int
        Counts the predictions of a labels image from 1 on; 0 where no prediction was made.
    made_with : mapping
        What it was predicted from besides the image, see `made_with`; for JSON.
    """

    written: PackedLabels
    human: PackedLabels
    adapter: str | None
    confidence: float | None = None
    number: int = 0
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def human_in(self, labels: np.ndarray) -> np.ndarray:
        """Person's pixels in the slice (Y, X) now: theirs already then, or different since."""
        changed = labels != self.written.unpacked()
        return np.asarray(self.human.unpacked() | changed)


@dataclass(frozen=True, slots=True)
class Step:
    """A prediction that was written, so that undoing it can be told from erasing it by hand.

    Attributes
    ----------
    labels : PackedLabels
        What it was written into, strokes since the prediction before included.
    before, after : Snapshot
    """

    labels: PackedLabels
    before: Snapshot
    after: Snapshot

    def is_undone(self, labels: np.ndarray) -> bool:
        """Whether every pixel that was written is again what it was before."""
        old = self.labels.unpacked()
        return not (self._changed(old) & (labels != old)).any()

    def is_done(self, labels: np.ndarray) -> bool:
        """Whether every pixel that was written is there."""
        changed = self._changed(self.labels.unpacked())
        return not (changed & (labels != self.after.written.unpacked())).any()

    def _changed(self, old: np.ndarray) -> np.ndarray:
        return np.asarray(old != self.after.written.unpacked())


@dataclass(slots=True)
class SliceHistory:
    """One slice.

    Attributes
    ----------
    now : Snapshot
        What its labels are compared with.
    seen : PackedLabels
        The labels when they were looked at last.
    accepted : bool
    corrected : bool
        Whether the person has worked on it since a model or a filling wrote into it last: then they
        stand behind the rest of it, too.
    erased : PackedLabels or None
        The slice as a person left it who erased a prediction by hand: it looks undone, but is a
        correction.
    accepted_before : PackedLabels or None
        The slice as it was accepted, where an undo has changed it since: a redo brings the
        acceptance back with it.
    past, future : list of Step
        What napari's undo and redo may bring back.
    """

    now: Snapshot
    seen: PackedLabels
    accepted: bool = False
    corrected: bool = False
    erased: PackedLabels | None = None
    accepted_before: PackedLabels | None = None
    past: list[Step] = field(default_factory=list)
    future: list[Step] = field(default_factory=list)

    def human(self, labels: np.ndarray) -> np.ndarray:
        """Person's pixels: theirs already at the last prediction, or different since."""
        return self.now.human_in(labels)

    @property
    def holds_work(self) -> bool:
        """Whether a person has accepted it, or any pixel is theirs."""
        return self.accepted or self._holds_pixels

    @property
    def _holds_pixels(self) -> bool:
        return bool(self.human(self.seen.unpacked()).any())

    @property
    def is_as_predicted(self) -> bool:
        """Whether a person has accepted just what a model predicted: none is nearer to it."""
        is_model = self.now.adapter is not None and self.now.adapter != FILLED
        is_untouched = self.seen == self.now.written and not self.now.human.values.any()
        return self.accepted and is_model and is_untouched

    @property
    def holds_below_0(self) -> bool:
        """Whether a label is below 0: neither background nor object, so nothing learns from it."""
        return int(self.seen.values.min(initial=0)) < 0

    def look(self) -> None:
        """Find out whether the labels that were seen last are corrected."""
        is_written = self.now.adapter is not None and self.seen == self.now.written
        self.corrected = not is_written and self._holds_pixels

    def within_reach(self) -> Iterator[Snapshot]:
        """Iterate over the predictions that undo and redo may bring back, the present one aside."""
        steps = [*self.past, *reversed(self.future)]
        found = {one.number: one for step in steps for one in (step.before, step.after)}
        yield from (one for one in found.values() if one.number not in (0, self.now.number))

    def follow_painting(self, labels: np.ndarray) -> None:
        """Take note of a stroke: nothing can be redone, and equal pixels are no undo."""
        self.forget_future()
        erased = self.past and self.past[-1].is_undone(labels)
        self.erased = PackedLabels.of(labels) if erased else None

    def forget_future(self) -> None:
        """Take note that napari's redo history is empty."""
        self.future.clear()
        self.accepted_before = None

    def follow_history(self, before: PackedLabels, labels: np.ndarray) -> None:
        """Follow undo and redo, unless the slice is still as a person's stroke left it."""
        if self.erased is not None and self.erased.is_of(labels):
            return
        self.erased = None
        if self.accepted:
            self.accepted, self.accepted_before = False, before  # it is no longer there
        self.follow_undo(labels)
        self.follow_redo(labels)

    def follow_undo(self, labels: np.ndarray) -> None:
        """Step back over predictions whose every pixel is again what it was before."""
        while self.past and self.past[-1].is_undone(labels):
            step = self.past.pop()
            self.now = step.before
            self.future.append(step)

    def follow_redo(self, labels: np.ndarray) -> None:
        """Step forward over undone predictions whose pixels are there again.

        So does the acceptance of a slice that is again what was accepted.
        """
        if self.accepted_before is not None and self.accepted_before.is_of(labels):
            self.accepted, self.accepted_before = True, None
        while self.future and self.future[-1].is_done(labels):
            step = self.future.pop()
            self.now = step.after
            self.past.append(step)


@dataclass(frozen=True, slots=True)
class SliceChange:
    """Something that happened to a slice.

    Attributes
    ----------
    index : tuple of int
    action : str
        ``adopted`` (it was annotated before we came), ``predicted``, ``painted`` (an edit of any
        kind), ``undone`` (undo or redo), ``accepted``, ``reopened`` (no longer accepted).
    change : LabelChange
        Pixels that differ from what was known before; may be none.
    labels : ndarray, shape (Y, X)
        The slice now. Never changed in place.
    prediction : int
        Number of the prediction that the slice counts from now, see `Snapshot.number`.
    adapter : str or None
    confidence : float or None
        Of that prediction.
    is_accepted : bool
        Whether it is accepted now.
    details : mapping
        More about it, for JSON.
    stroke : int
        Changes of one number were made in one stroke, see `SliceTracker.observe`; 0 where it is not
        known which.
    """

    index: SliceIndex
    action: Action
    change: LabelChange
    labels: np.ndarray
    prediction: int
    adapter: str | None
    confidence: float | None
    is_accepted: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    stroke: int = 0
