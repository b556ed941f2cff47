"""Which slices the last edit of a Labels layer reached, by napari's own history of it.

The history is private to napari. Where another version keeps it in another form, nothing is found
here, and `binding`'s walk over all slices finds the edit a little later.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_sam_adapter.volume import SliceIndex


def edited_slices(labels: Labels, n_sliders: int) -> set[SliceIndex]:
    """Return the slices that the stroke being drawn, the last edit, or the last undo reached.

    Parameters
    ----------
    labels : Labels
    n_sliders : int
        Axes before the last two.
    """
    atoms = list(getattr(labels, "_staged_history", []))
    for name in ("_undo_history", "_redo_history"):
        steps = list(getattr(labels, name, []))
        atoms += steps[-1] if steps else []
    try:
        return {index for atom in atoms for index in _slices_of(atom, n_sliders)}
    except (AttributeError, IndexError, TypeError, ValueError):
        return set()


def _slices_of(atom: Any, n_sliders: int) -> Iterator[SliceIndex]:
    if hasattr(atom, "slice_key"):  # painted: a box
        ranges = [range(key.start, key.stop) for key in atom.slice_key[:n_sliders]]
        yield from itertools.product(*ranges)
        return
    positions = [np.asarray(axis).ravel() for axis in atom[0][:n_sliders]]
    if not positions:
        yield ()
        return
    found = np.unique(np.stack(np.broadcast_arrays(*positions), axis=1), axis=0)
    yield from (tuple(int(i) for i in row) for row in found)
