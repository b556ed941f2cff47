"""Changed pixels of a slice as runs: start, length and value, which JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sam_adapter.annotations.packed_labels import PackedLabels
from napari_sam_adapter.annotations.slice_history import LabelChange

MAX_LABEL = int(np.iinfo(np.int64).max)


def runs_of(change: LabelChange) -> tuple[int, ...]:
    """Return what a change writes.

    Returns
    -------
    tuple of int
        Start, length, value; start, length, value; and so on. A start counts the pixels of the
        slice row by row. COCO's run lengths hold masks of a single class; these hold any labels
        up to `MAX_LABEL`.
    """
    positions, values = change.positions.astype(np.int64), change.new.astype(np.int64)
    if not positions.size:
        return ()
    breaks = (np.diff(positions) != 1) | (np.diff(values) != 0)
    starts = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    lengths = np.diff(np.append(starts, positions.size))
    runs = np.stack((positions[starts], lengths, values[starts]), axis=1)
    return tuple(runs.ravel().tolist())


def runs_of_labels(labels: PackedLabels) -> tuple[int, ...]:
    """Return the runs that write a slice into an empty one, see `runs_of`."""
    held = (labels.starts, labels.lengths, labels.values)
    runs = np.stack([column[labels.values != 0].astype(np.int64) for column in held], axis=1)
    return tuple(runs.ravel().tolist())


def written(labels: np.ndarray, runs: Sequence[int]) -> np.ndarray:
    """Return a copy of a slice (Y, X) with runs written into it.

    Raises
    ------
    ValueError
        If they are no runs, or do not fit the slice or its type.
    """
    changed = labels.copy()
    write_runs(changed, runs)
    return changed


def write_runs(labels: np.ndarray, runs: Sequence[int]) -> None:
    """Write runs into a slice (Y, X) that lies row by row in memory.

    Raises
    ------
    ValueError
        If they are no runs, or do not fit the slice or its type. Nothing was written then.
    """
    if len(runs) % 3:
        raise ValueError(f"{len(runs)} numbers are not start, length and value")
    triples = np.asarray(runs, np.int64).reshape(-1, 3)
    starts, lengths, values = triples.T
    if (starts < 0).any() or (lengths < 1).any() or (starts + lengths > labels.size).any():
        raise ValueError(f"a run lies outside of the {labels.size} pixels of the slice")
    limits = np.iinfo(labels.dtype)
    if (values < limits.min).any() or (values > limits.max).any():
        raise ValueError(f"a label does not fit {labels.dtype}")
    pixels = labels.reshape(-1)
    for start, length, value in triples.tolist():
        pixels[start : start + length] = value
