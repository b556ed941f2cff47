"""Which slices edits and undo of a Labels layer reached, and which stroke they belong to.

All by napari's own history, which is private to it. Where another version keeps it in another
form, nothing is found here: `binding`'s walk over all slices finds the edit a little later, and all
that a look finds counts as one stroke.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_sam_adapter.volumes.slice_source import SliceIndex


class EditedSlices:
    """Tells which slices the stroke being drawn, edits, undo and redo reached since the last look.

    There may be several edits where the window is busy, and the look comes late.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._known = self._steps()

    def since_last_look(self, n_sliders: int) -> set[SliceIndex]:
        """Return the slices; ``n_sliders`` is the number of axes before the last two."""
        steps, known = self._steps(), self._known
        self._known = steps
        drawn = getattr(self._labels, "_staged_history", [])
        new = (step for key, step in steps.items() if key not in known)
        return _reached(itertools.chain(drawn, *new), n_sliders)

    def _steps(self) -> dict[int, list[Any]]:
        # Undo and redo make another list of a step. Held, so that no id is given twice.
        names = ("_undo_history", "_redo_history")
        return {id(step): step for name in names for step in getattr(self._labels, name, ())}


def _reached(atoms: Iterable[Any], n_sliders: int) -> set[SliceIndex]:
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
    # As one number per pixel: a large slice that was predicted has millions.
    shape = tuple(int(axis.max()) + 1 for axis in positions)
    found = np.flatnonzero(
        np.bincount(np.ravel_multi_index(np.broadcast_arrays(*positions), shape))
    )
    yield from zip(*(axis.tolist() for axis in np.unravel_index(found, shape)), strict=True)


class StepsTakenBack:
    """Tells which slices undo, or redo, has reached since it was asked last."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._known = self._redo_history()

    @property
    def is_undone(self) -> bool:
        """Whether undo has taken a step back since it was asked last."""
        return bool(_only_in(self._redo_history(), self._known))

    def slices(self, n_sliders: int) -> tuple[str, set[SliceIndex]]:
        """Return the key that was pressed, and the slices; none after an edit."""
        steps, known = self._redo_history(), self._known
        self._known = steps
        undone, redone = _only_in(steps, known), _only_in(known, steps)
        if redone and self._is_back(redone[0]):
            return "Ctrl+Shift+Z", _reached(itertools.chain.from_iterable(redone), n_sliders)
        return "Ctrl+Z", _reached(itertools.chain.from_iterable(undone), n_sliders)

    def _is_back(self, step: list[Any]) -> bool:
        """Whether a step is the last one done; napari turns its parts around with each move."""
        last = list(getattr(self._labels, "_undo_history", ()))[-1:]
        return bool(last and last[0] and step) and last[0][0] is step[-1]

    def _redo_history(self) -> list[Any]:
        return list(getattr(self._labels, "_redo_history", ()))


def _only_in(steps: list[Any], others: list[Any]) -> list[Any]:
    return [step for step in steps if not any(step is other for other in others)]


class Strokes:
    """Numbers the strokes on a Labels layer as its undo does, also the one that is being drawn.

    What a look finds that no step of undo explains (it was written from the console) has a number
    of its own.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._step = self._made = self._last_step()
        self._number, self._is_told = 0, True

    def step_made(self, step: object) -> None:
        """Take note of a step that came onto the undo history, but not by redo."""
        self._made = step

    def number(self) -> int | None:
        """Return the number of the stroke that explains what differs now; None is a redo."""
        step = self._last_step()
        is_another = step is not self._step
        if is_another or self._is_told:
            self._number += 1
        self._step, self._is_told = step, self._is_told and not is_another
        is_redone = not self._is_told and not self._drawn_step() and step is not self._made
        return None if is_redone else self._number

    def told(self) -> None:
        """Take note that all slices that the last step reached were looked at."""
        self._is_told = not self._drawn_step()

    def _last_step(self) -> object:
        """Return the step that is being drawn; it stays the same list once it is done."""
        steps = getattr(self._labels, "_undo_history", ())
        return self._drawn_step() or (steps[-1] if steps else None)

    def _drawn_step(self) -> object:
        return getattr(self._labels, "_staged_history", None)
