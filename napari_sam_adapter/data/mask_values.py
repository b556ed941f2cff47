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
        found = self._found(name, mask)
        if found:
            self._said = True
            self._say(
                f"{name} holds {found}: all that is not 0 counts as one class. If they are several "
                "classes, train with their names: --classes a,b."
            )

    def _found(self, name: str, mask: np.ndarray) -> str:
        """Say which values a mask holds that may be several classes, alone or with the first."""
        if is_colour(mask):
            n_colours = int(np.unique(mask.reshape(-1, 3), axis=0).any(axis=1).sum())
            return f"{n_colours} colours" if n_colours > 1 else ""
        marked = mask[(mask != 0) & (mask == mask)]
        if not marked.size:
            return ""
        if (marked != marked[0]).any():
            return _several(np.unique(marked))
        value = float(marked[0])
        first, before = self._first = self._first or (name, value)
        if before == value or {before, value} == _OBJECT:
            return ""
        return f"the value {value:g}, and {first} {before:g}"


def _several(values: np.ndarray) -> str:
    if len(values) > _SHOWN:
        return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
    return f"the values {', '.join(f'{value:g}' for value in values)}"
