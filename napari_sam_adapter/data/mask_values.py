"""Say where the values of masks become one class, though they may be meant as several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_sam_adapter.data.files import is_colour

_SHOWN = 8
# Both are how programs write "object": a folder may hold masks of either.
_OBJECT = {1.0, 255.0}


class MergedValues:
    """Looks at the masks of a folder, one after the other, and says it once.

    The values may be classes. They may also be the numbers of objects, or soft edges: so nothing is
    refused.

    Parameters
    ----------
    say : callable
        Told the sentence.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = False
        self._first: tuple[str, float] | None = None

    def __call__(self, name: str, mask: np.ndarray) -> None:
        """Look at a mask as its file holds it, before its values become one."""
        if self._said:
            return
        found = several_values(mask)
        if not found and (value := _only_value(mask)) is not None:
            self._first = self._first or (name, value)
            if self._first[1] != value and {self._first[1], value} != _OBJECT:
                found = f"the value {value:g}, and {self._first[0]} {self._first[1]:g}"
        if found:
            self._said = True
            self._say(
                f"{name} holds {found}: all that is not 0 counts as one class. If they are several "
                "classes, train with their names: --classes a,b."
            )


def several_values(mask: np.ndarray) -> str:
    """Say which values besides 0 a mask holds; "" where there is one, or none."""
    if is_colour(mask):
        n_colours = int(np.unique(mask.reshape(-1, 3), axis=0).any(axis=1).sum())
        return f"{n_colours} colours" if n_colours > 1 else ""
    marked = mask[(mask != 0) & (mask == mask)]
    if not marked.size or (marked == marked[0]).all():
        return ""
    values = np.unique(marked)
    if len(values) > _SHOWN:
        return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
    return f"the values {', '.join(f'{value:g}' for value in values)}"


def _only_value(mask: np.ndarray) -> float | None:
    """Return the value besides 0 of a mask that holds one; None of colours and empty masks."""
    marked = mask[(mask != 0) & (mask == mask)]
    return None if is_colour(mask) or not marked.size else float(marked[0])
