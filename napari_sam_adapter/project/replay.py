"""From a journal back to the slices as they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import DTypeLike

from napari_sam_adapter.annotations.packed_labels import PackedLabels
from napari_sam_adapter.annotations.slice_history import SliceHistory, Snapshot
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.runs import write_runs, written
from napari_sam_adapter.volumes.slice_source import SliceIndex


def by_slice(events: Iterable[Event]) -> dict[SliceIndex, list[Event]]:
    """Sort the events of slices; slices do not depend on each other."""
    sorted_events: dict[SliceIndex, list[Event]] = defaultdict(list)
    for event in events:
        if event.slice is not None:
            sorted_events[event.slice].append(event)
    return dict(sorted_events)


def masks_dtype(events: Iterable[Event], preferred: DTypeLike | None = None) -> np.dtype:
    """Return a type that holds every label ever written: the preferred one, or the smallest."""
    lowest = highest = 0
    for event in events:
        for runs in (event.runs, event.details.get("written", ())):
            labels = runs[2::3]
            lowest, highest = min(lowest, *labels, 0), max(highest, *labels, 0)
    if preferred is not None:
        limits = np.iinfo(preferred)
        if limits.min <= lowest and highest <= limits.max:
            return np.dtype(preferred)
    return np.min_scalar_type(min(lowest, -highest - 1) if lowest < 0 else highest)


def replayed(
    events: Iterable[Event], slice_shape: tuple[int, int], dtype: np.dtype
) -> Iterator[tuple[SliceIndex, SliceHistory]]:
    """Bring back every slice that something happened to.

    Parameters
    ----------
    events : iterable of Event
        In the order in which they happened.
    slice_shape : tuple of int
        (Y, X).
    dtype : dtype
        Of the masks.

    Yields
    ------
    index : tuple of int
    history : SliceHistory
        Its ``seen`` are the labels. Undo and redo start anew.

    Raises
    ------
    ValueError
        If an event does not fit the slices.
    """
    for index, own in by_slice(events).items():
        yield index, _slice_after(own, np.zeros(slice_shape, dtype))


def _slice_after(events: Iterable[Event], labels: np.ndarray) -> SliceHistory:
    """Write events into an empty slice; in place, for each copy of a large one takes its time."""
    # Undo and redo go back and forth between predictions, which their numbers name.
    empty, nobody = PackedLabels.of(labels), PackedLabels.of(np.zeros(labels.shape, bool))
    snapshots = {0: Snapshot(empty, nobody, None)}
    now, accepted = snapshots[0], False
    for event in events:
        if event.do == "stated":
            labels[:] = 0
        theirs = now.human_in(labels) if event.do == "predicted" else None
        write_runs(labels, event.runs)
        if event.do == "stated":
            now = _stated(event, labels)
        elif event.do == "adopted":
            human = PackedLabels.of(labels != 0)
            now = Snapshot(PackedLabels.of(labels), human, None, None, event.prediction)
        elif theirs is not None:
            now = _snapshot(event, labels, theirs)
        else:
            now = snapshots.get(event.prediction, now)
        snapshots[now.number] = now
        accepted = event.accepted
    history = SliceHistory(now, PackedLabels.of(labels), accepted=accepted)
    history.look()
    return history


def _stated(event: Event, labels: np.ndarray) -> Snapshot:
    """Return what a line says that states all."""
    try:
        predicted = written(np.zeros_like(labels), event.details["written"])
        human = written(np.zeros(labels.shape, np.uint8), event.details["human"]).astype(bool)
    except KeyError as error:
        raise ValueError(f"line {event.n} does not say {error}") from error
    return _snapshot(event, predicted, human)


def _snapshot(event: Event, written: np.ndarray, human: np.ndarray) -> Snapshot:
    return Snapshot(
        PackedLabels.of(written),
        PackedLabels.of(human),
        event.adapter,
        event.confidence,
        event.prediction,
        event.made_with,
    )
