"""Which pixels of a labels image are the person's, and which a prediction's.

A person's pixels are never overwritten, so they have to be known, although napari's events miss
undo, redo and writes from the console. The truth used here is a comparison: whatever differs from
what the last prediction left in a slice was done by the person. Numpy only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from napari_sam_adapter.volume import SliceIndex

STEPS_KEPT = 100  # the length of napari's undo history


class SliceState(Enum):
    """What has happened to a slice."""

    UNTOUCHED = "untouched"
    PREDICTED = "predicted"
    CORRECTED = "corrected"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Pixels of one slice to write, for one undoable edit.

    Attributes
    ----------
    positions : ndarray of int32
        Where, counted through the slice row by row.
    old, new : ndarray
        Values there before and after.
    """

    positions: np.ndarray
    old: np.ndarray
    new: np.ndarray

    def rows_and_columns(self, slice_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions as napari indexes them."""
        rows, columns = np.unravel_index(self.positions, slice_shape)
        return rows, columns

    def holds(self, labels: np.ndarray, values: np.ndarray) -> bool:
        """Whether the slice has these values at every one of the positions."""
        return bool(np.array_equal(labels.ravel()[self.positions], values))


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What a slice was right after a prediction.

    Attributes
    ----------
    written : ndarray
        The labels then; zeros where no prediction was made. Never changed in place.
    human : ndarray of bool
        Pixels that were the person's already.
    adapter : str or None
        Who predicted: an adapter id, "" for the base model, None for nobody.
    confidence : float or None
        Of that prediction, see `confidence`.
    """

    written: np.ndarray
    human: np.ndarray
    adapter: str | None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """A prediction that was written, so that undoing it can be told from erasing it by hand."""

    change: LabelChange
    before: _Snapshot
    after: _Snapshot


@dataclass(slots=True)
class _Record:
    now: _Snapshot
    # The slice as it was accepted, or as the person has painted on it since; None: not accepted.
    accepted: np.ndarray | None = None
    corrected: bool = False
    # The slice as a person left it who erased a prediction by hand: looks undone, is a correction.
    erased: np.ndarray | None = None
    past: list[_Step] = field(default_factory=list)
    future: list[_Step] = field(default_factory=list)

    def human(self, labels: np.ndarray) -> np.ndarray:
        """Person's pixels: theirs already at the last prediction, or different since."""
        human: np.ndarray = self.now.human | (labels != self.now.written)
        return human

    def follow_painting(self, labels: np.ndarray) -> None:
        """Take note of a stroke: nothing can be redone, and equal pixels are no undo."""
        self.future.clear()
        erased = self.past and self.past[-1].change.holds(labels, self.past[-1].change.old)
        self.erased = labels.copy() if erased else None
        if self.accepted is not None:
            self.accepted = labels.copy()

    def follow_history(self, labels: np.ndarray) -> None:
        """Follow undo and redo, unless the slice is still as a person's stroke left it."""
        if self.erased is not None and np.array_equal(labels, self.erased):
            return
        self.erased = None
        if self.accepted is not None and not np.array_equal(labels, self.accepted):
            self.accepted = None  # what was accepted is no longer there
        self.follow_undo(labels)
        self.follow_redo(labels)

    def follow_undo(self, labels: np.ndarray) -> None:
        """Step back over predictions whose every pixel is again what it was before."""
        while self.past and self.past[-1].change.holds(labels, self.past[-1].change.old):
            step = self.past.pop()
            self.now = step.before
            self.future.append(step)

    def follow_redo(self, labels: np.ndarray) -> None:
        """Step forward over undone predictions whose pixels are there again."""
        while self.future and self.future[-1].change.holds(labels, self.future[-1].change.new):
            step = self.future.pop()
            self.now = step.after
            self.past.append(step)


class SliceTracker:
    """States of the slices of one labels image.

    Parameters
    ----------
    slice_shape : tuple of int
        (Y, X).
    """

    def __init__(self, slice_shape: tuple[int, int]) -> None:
        self.slice_shape = slice_shape
        self._records: dict[SliceIndex, _Record] = {}
        self._written: deque[_Record] = deque()

    def adopt(self, index: SliceIndex, labels: np.ndarray) -> None:
        """Take over a slice that was annotated before: what is marked in it is the person's."""
        if index not in self._records and labels.any():
            self._records[index] = _Record(_Snapshot(labels.copy(), labels != 0, None))
            self._records[index].corrected = True

    def observe(self, index: SliceIndex, labels: np.ndarray, *, painted: bool) -> bool:
        """Compare a slice with what is known of it.

        Parameters
        ----------
        index : tuple of int
        labels : ndarray of int, shape (Y, X)
            The slice as it is now.
        painted : bool
            Whether the last thing done was an edit, and not undo or redo. Only after an undo does a
            slice that is again what it was before a prediction mean that the prediction was undone.

        Returns
        -------
        bool
            Whether the slice's state changed.
        """
        if index not in self._records and not labels.any():
            return False
        before = self.state(index)
        record = self._record(index, labels)
        if painted:
            record.follow_redo(labels)  # the last redo empties napari's redo history
            record.follow_painting(labels)
        else:
            record.follow_history(labels)
        record.corrected = bool(record.human(labels).any())
        return self.state(index) is not before

    def plan_prediction(
        self, index: SliceIndex, labels: np.ndarray, predicted: np.ndarray
    ) -> LabelChange:
        """Work out which pixels a new prediction may write.

        Parameters
        ----------
        labels : ndarray of int, shape (Y, X)
            The slice as it is now.
        predicted : ndarray of uint8, shape (Y, X)
            The labels a model predicts.

        Returns
        -------
        LabelChange
            Without the person's pixels; empty for an accepted slice.
        """
        free = ~self.human_pixels(index, labels)
        wanted = predicted.astype(labels.dtype)
        positions = np.flatnonzero(free & (wanted != labels)).astype(np.int32)
        return LabelChange(positions, labels.ravel()[positions], wanted.ravel()[positions])

    def prediction_written(
        self,
        index: SliceIndex,
        labels: np.ndarray,
        change: LabelChange,
        adapter_id: str,
        confidence: float | None = None,
    ) -> None:
        """Take note that a planned change is now in the labels.

        Parameters
        ----------
        labels : ndarray of int, shape (Y, X)
            The slice as it is now, the change included.
        """
        record = self._record(index, labels)
        before = labels.copy()
        before.ravel()[change.positions] = change.old
        after = _Snapshot(labels.copy(), record.human(before), adapter_id, confidence)
        if change.positions.size:
            record.past.append(_Step(change, record.now, after))
            self._forget_oldest(record)
            record.future.clear()
            record.erased = None
        record.now = after
        record.corrected = bool(after.human.any())

    def set_accepted(self, index: SliceIndex, labels: np.ndarray, accepted: bool) -> None:
        """Accept a slice as it is, or take that back. An accepted slice is wholly the person's."""
        self._record(index, labels).accepted = labels.copy() if accepted else None

    def state(self, index: SliceIndex) -> SliceState:
        """Return the state of a slice, as of the last `observe`."""
        record = self._records.get(index)
        if record is None:
            return SliceState.UNTOUCHED
        if record.accepted is not None:
            return SliceState.ACCEPTED
        if record.corrected:
            return SliceState.CORRECTED
        return SliceState.UNTOUCHED if record.now.adapter is None else SliceState.PREDICTED

    def adapter_of(self, index: SliceIndex) -> str | None:
        """Return who predicted a slice: an adapter id, "" for the base model, None for nobody."""
        record = self._records.get(index)
        return None if record is None else record.now.adapter

    def confidence_of(self, index: SliceIndex) -> float | None:
        """Return the confidence of the prediction that a slice shows; None where there is none."""
        record = self._records.get(index)
        return None if record is None else record.now.confidence

    def human_pixels(self, index: SliceIndex, labels: np.ndarray) -> np.ndarray:
        """Return which pixels of a slice are the person's, as bool (Y, X)."""
        record = self._records.get(index)
        if record is None:
            return np.asarray(labels != 0)
        if record.accepted is not None:
            return np.full(self.slice_shape, True)
        return record.human(labels)

    def known(self) -> Iterator[SliceIndex]:
        """Iterate over the slices that were ever predicted, painted or accepted."""
        yield from sorted(self._records)

    def ready(self) -> list[SliceIndex]:
        """List the corrected and accepted slices: those to train on."""
        ready = (SliceState.CORRECTED, SliceState.ACCEPTED)
        return [index for index in self.known() if self.state(index) in ready]

    def count(self, state: SliceState) -> int:
        """Count the known slices in a state."""
        return sum(self.state(index) is state for index in self._records)

    def _forget_oldest(self, record: _Record) -> None:
        """Keep as many predictions as napari keeps edits: older ones cannot be undone any more."""
        self._written.append(record)
        if len(self._written) > STEPS_KEPT:
            oldest = self._written.popleft()
            del oldest.past[:1]

    def _record(self, index: SliceIndex, labels: np.ndarray) -> _Record:
        if index not in self._records:
            nothing = _Snapshot(np.zeros_like(labels), np.zeros(self.slice_shape, bool), None)
            self._records[index] = _Record(nothing)
        return self._records[index]
