"""Between a record's slices and a masks layer: what fits, comes back, or is to be written down."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam_adapter.project.image_record import ImageRecord, Restored
    from napari_sam_adapter.slice_history import SliceHistory
    from napari_sam_adapter.widgets.binding import LayerBinding

# Which record a masks layer belongs to outlives the dock: it may be closed and opened again.
FOLDERS: WeakKeyDictionary[Labels, Path] = WeakKeyDictionary()


def fits(binding: LayerBinding, restored: Restored) -> bool:
    """Whether a layer is the one of a record: nothing in it was adopted that the record lacks."""
    if binding.labels in FOLDERS:
        return True
    for index in binding.tracker.known():
        known, there = binding.tracker.history_of(index), restored.slices.get(index)
        if known is None or known.now.adapter is not None or known.now.number == 0:
            continue
        if there is None or not np.array_equal(there.seen, known.seen):
            return False
    return True


def bring_back(binding: LayerBinding, restored: Restored) -> int:
    """Write slices into the layer that nothing was done to since; return how many."""
    count = 0
    is_first = binding.labels not in FOLDERS  # else more is known here: undo and redo
    for index, history in restored.slices.items():
        known = binding.tracker.history_of(index)
        if known is None or (is_first and np.array_equal(known.seen, history.seen)):
            binding.labels.data[index] = history.seen
            binding.tracker.restore(index, history)
            count += 1
    binding.labels.refresh()
    return count


def state_what_differs(binding: LayerBinding, record: ImageRecord, restored: Restored) -> None:
    """Write down what happened to slices before their record was open."""
    for index in binding.tracker.known():
        known, there = binding.tracker.history_of(index), restored.slices.get(index)
        if known is not None and (there is None or not _are_alike(known, there)):
            record.state(index, known)


def _are_alike(one: SliceHistory, other: SliceHistory) -> bool:
    return (
        np.array_equal(one.seen, other.seen)
        and (one.now.number, one.accepted) == (other.now.number, other.accepted)
        and np.array_equal(one.human(one.seen), other.human(other.seen))
    )


def summary(restored: Restored, n_back: int) -> str:
    """Say what came back."""
    strokes = "1 stroke" if restored.n_strokes == 1 else f"{restored.n_strokes} strokes"
    slices = "1 slice" if n_back == 1 else f"{n_back} slices"
    more = "".join(f" {line}" for line in restored.troubles[:3])
    return f"Restored {strokes} on {slices}.{more}"
