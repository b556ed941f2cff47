"""Which pixels of a labels image are the person's, and which a prediction's.

A person's pixels are never overwritten, so they have to be known, although napari's events miss
undo, redo and writes from the console. The truth used here is a comparison: whatever differs from
what the last prediction left in a slice was done by the person. Numpy only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np

from napari_sam_adapter.annotations.packed_labels import PackedLabels
from napari_sam_adapter.annotations.slice_history import (
    FILLED,
    Action,
    LabelChange,
    SliceChange,
    SliceHistory,
    Snapshot,
    Step,
)
from napari_sam_adapter.volumes.slice_source import SliceIndex

STEPS_KEPT = 100  # the length of napari's undo history


class SliceState(Enum):
    """What has happened to a slice."""

    UNTOUCHED = "untouched"
    PREDICTED = "predicted"
    CORRECTED = "corrected"
    ACCEPTED = "accepted"


# What a person stands behind.
READY = (SliceState.CORRECTED, SliceState.ACCEPTED)


class SliceTracker:
    """States of the slices of one labels image.

    Parameters
    ----------
    slice_shape : tuple of int
        (Y, X).

    Attributes
    ----------
    listener : callable or None
        Called with a `SliceChange` for everything that happens to a slice.
    n_human : int
        How often the person has painted in a slice, undone something, or judged one, since the
        layers were bound; what was restored does not count.
    """

    def __init__(self, slice_shape: tuple[int, int]) -> None:
        self.slice_shape = slice_shape
        self.listener: Callable[[SliceChange], None] | None = None
        self.n_human = 0
        self._slices: dict[SliceIndex, SliceHistory] = {}
        self._written: deque[SliceHistory] = deque()
        self._n_predictions = 0

    def adopt(self, index: SliceIndex, labels: np.ndarray) -> None:
        """Take over a slice that was annotated before: what is marked in it is the person's."""
        if index in self._slices or not labels.any():
            return
        self._n_predictions += 1
        change = LabelChange.between(np.zeros_like(labels), labels)
        seen = PackedLabels.of(labels)
        now = Snapshot(seen, PackedLabels.of(labels != 0), None, None, self._n_predictions)
        self._slices[index] = SliceHistory(now, seen, corrected=True)
        self._tell(index, "adopted", change)

    def restore(self, index: SliceIndex, slice_: SliceHistory) -> None:
        """Bring back what was known of a slice when it was worked on last."""
        self._slices[index] = slice_
        self._n_predictions = max(self._n_predictions, slice_.now.number)

    def observe(
        self, index: SliceIndex, labels: np.ndarray, *, painted: bool, stroke: int | None = 0
    ) -> bool:
        """Compare a slice with what is known of it.

        Parameters
        ----------
        index : tuple of int
        labels : ndarray of int, shape (Y, X)
            The slice as it is now.
        painted : bool
            Whether the last thing done was an edit, and not undo or redo. Only after an undo does a
            slice that is again what it was before a prediction mean that the prediction was undone.
        stroke : int or None
            Number of the stroke that an edit belongs to, if that is known, else 0: it may be looked
            at several times while it is drawn, and reach several slices. None: it was redone.

        Returns
        -------
        bool
            Whether the slice's state changed, or whether it is trained on, see `ready`.
        """
        if index not in self._slices and not labels.any():
            return False
        state = self.state(index)
        known = self._slice(index, labels)
        before = state, known.holds_below_0
        seen_before, was = known.seen, known.seen.unpacked()
        if np.array_equal(labels, was):
            if painted:
                known.forget_future()  # an edit elsewhere has emptied napari's redo history
            return False
        change = LabelChange.between(was, labels)
        known.seen = PackedLabels.of(labels)
        if painted:
            known.follow_redo(labels)  # the last redo empties napari's redo history
            known.follow_painting(labels)
        else:
            known.follow_history(seen_before, labels)
        known.look()
        if painted and stroke is not None:
            self._tell(index, "painted", change, stroke=stroke)
        else:
            self._tell(index, "undone", change)
        return (self.state(index), known.holds_below_0) != before

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
        wanted = np.where(free, predicted.astype(labels.dtype), labels)
        return LabelChange.between(labels, wanted)

    def prediction_written(
        self,
        index: SliceIndex,
        labels: np.ndarray,
        change: LabelChange,
        adapter_id: str,
        confidence: float | None = None,
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        """Take note that a planned change is now in the labels.

        Parameters
        ----------
        labels : ndarray of int, shape (Y, X)
            The slice as it is now, the change included.
        made_with : mapping, optional
            What it was predicted from besides the image.
        """
        before = change.undone(labels)
        self._catch_up(index, before)
        known = self._slice(index, labels)
        human = known.human(before)
        self._n_predictions += 1
        after = Snapshot(
            PackedLabels.of(labels),
            PackedLabels.of(human),
            adapter_id,
            confidence,
            self._n_predictions,
            made_with or {},
        )
        if change.positions.size:
            known.past.append(Step(known.seen, known.now, after))
            self._forget_oldest(known)
            known.forget_future()
            known.erased = None
        known.now, known.seen = after, after.written
        known.look()
        self._tell(index, "predicted", change, after.made_with)

    def set_accepted(self, index: SliceIndex, labels: np.ndarray, accepted: bool) -> None:
        """Accept a slice as it is, or take that back. An accepted slice is wholly the person's."""
        self._catch_up(index, labels)
        known = self._slice(index, labels)
        known.accepted, known.accepted_before = accepted, None
        self._tell(index, "accepted" if accepted else "reopened", _NO_CHANGE)

    def state(self, index: SliceIndex) -> SliceState:
        """Return the state of a slice, as of the last `observe`."""
        known = self._slices.get(index)
        if known is None:
            return SliceState.UNTOUCHED
        if known.accepted:
            return SliceState.ACCEPTED
        if known.corrected:
            return SliceState.CORRECTED
        return SliceState.UNTOUCHED if known.now.adapter is None else SliceState.PREDICTED

    def adapter_of(self, index: SliceIndex) -> str | None:
        """Return who predicted a slice, see `slice_history.Snapshot`; None for nobody."""
        known = self._slices.get(index)
        return None if known is None else known.now.adapter

    def is_filled(self, index: SliceIndex) -> bool:
        """Whether a slice shows what lies between corrected ones, and nobody has judged that."""
        return self.state(index) is SliceState.PREDICTED and self.adapter_of(index) == FILLED

    def confidence_of(self, index: SliceIndex) -> float | None:
        """Return the confidence of the prediction that a slice shows; None where there is none."""
        known = self._slices.get(index)
        return None if known is None else known.now.confidence

    def is_judged(self, index: SliceIndex) -> bool:
        """Whether a person stands behind the mask of a slice as it is.

        So it is where it is accepted, or corrected since a model or a filling wrote into it last.
        """
        return self.state(index) in READY

    def human_pixels(self, index: SliceIndex, labels: np.ndarray) -> np.ndarray:
        """Return which pixels of a slice are the person's, as bool (Y, X)."""
        known = self._slices.get(index)
        if known is None:
            return np.asarray(labels != 0)
        if known.accepted:
            return np.full(self.slice_shape, True)
        return known.human(labels)

    def known(self) -> Iterator[SliceIndex]:
        """Iterate over the slices that were ever predicted, painted or accepted."""
        yield from sorted(self._slices)

    def history_of(self, index: SliceIndex) -> SliceHistory | None:
        """Return what is known of a slice; None for one nothing happened to."""
        return self._slices.get(index)

    def ready(self) -> list[SliceIndex]:
        """List the corrected and accepted slices to train on: those without a label below 0."""
        return [index for index in self._judged() if not self._slices[index].holds_below_0]

    def left_out(self) -> list[SliceIndex]:
        """List the corrected and accepted slices that hold a label below 0."""
        return [index for index in self._judged() if self._slices[index].holds_below_0]

    def count(self, state: SliceState) -> int:
        """Count the known slices in a state."""
        return sum(self.state(index) is state for index in self._slices)

    def _judged(self) -> Iterator[SliceIndex]:
        yield from (index for index in self.known() if self.state(index) in READY)

    def _tell(
        self,
        index: SliceIndex,
        action: Action,
        change: LabelChange,
        details: Mapping[str, Any] | None = None,
        stroke: int = 0,
    ) -> None:
        self.n_human += action in _HUMAN
        if self.listener is not None:
            known = self._slices[index]
            now = known.now
            self.listener(
                SliceChange(
                    index,
                    action,
                    change,
                    known.seen.unpacked(),
                    now.number,
                    now.adapter,
                    now.confidence,
                    known.accepted,
                    details or {},
                    stroke,
                )
            )

    def _forget_oldest(self, known: SliceHistory) -> None:
        """Keep as many predictions as napari keeps edits: older ones cannot be undone any more."""
        self._written.append(known)
        if len(self._written) > STEPS_KEPT:
            oldest = self._written.popleft()
            del oldest.past[:1]

    def _catch_up(self, index: SliceIndex, labels: np.ndarray) -> None:
        """Follow what was painted and not looked at yet; else nothing that was undone is lost."""
        known = self._slices.get(index)
        if known is None or not np.array_equal(labels, known.seen.unpacked()):
            self.observe(index, labels, painted=True)

    def _slice(self, index: SliceIndex, labels: np.ndarray) -> SliceHistory:
        if index not in self._slices:
            empty = PackedLabels.of(np.zeros_like(labels))
            nobody = PackedLabels.of(np.zeros(self.slice_shape, bool))
            self._slices[index] = SliceHistory(Snapshot(empty, nobody, None), empty)
        return self._slices[index]


_HUMAN = frozenset[Action]({"painted", "undone", "accepted", "reopened"})
_NO_CHANGE = LabelChange(*(np.zeros(0, np.int32) for _ in range(3)))
