"""Which slider axis of an image is its depth: along it slices are neighbours, and help each other.

The one place that answers this, for smoothing, heeding, filling, three axes and the next slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# Along channels one place is seen again and again: what is bright in one may be dark in the next.
NO_DEPTH = (
    "The only slider goes along channels, which show the same place again: there are no "
    "neighbouring slices that could help."
)
ONLY_TIME = (
    "Neighbouring slices are moments of one place: there is no volume to be seen from other sides."
)
# Of an image that is shown in another orientation than its file, the slider is called x or y.
_SPACE = {"z", "y", "x", "depth", "slice", "plane"}
_TIME = {"t", "time", "frame"}
_CHANNEL = {"c", "ch", "channel"}


@dataclass(frozen=True, slots=True)
class Depth:
    """Slices as lines of neighbours, and places along them.

    Attributes
    ----------
    axis : int or None
        The slider axis along which slices are neighbours. None where there is none: each slice is a
        line by itself then.
    is_time : bool
        Whether neighbours are moments of one place: no volume that could be seen from other sides.
    """

    axis: int | None
    is_time: bool = False

    def __bool__(self) -> bool:
        return self.axis is not None

    @classmethod
    def of(cls, slider_names: Sequence[str], slider_shape: Sequence[int]) -> Depth:
        """Find the depth among slider axes.

        Parameters
        ----------
        slider_names : sequence of str
            Of the axes before Y and X: letters or words, as z, time, Channel. A name that says none
            of these, like "" or "-3", is that of an axis nobody knows.
        slider_shape : sequence of int
            Their sizes. An axis of a single slice has no neighbours, so others come first.

        Returns
        -------
        Depth
            Space where there is such an axis, else time, else the last axis that nobody knows;
            never channels.
        """
        kinds = [_kind(name) for name in slider_names]
        ranked = [
            (size > 1, "?tz".index(kind), axis)
            for axis, (kind, size) in enumerate(zip(kinds, slider_shape, strict=True))
            if kind != "c"
        ]
        if not ranked:
            return cls(None)
        axis = max(ranked)[2]
        return cls(axis, kinds[axis] == "t")

    @classmethod
    def last(cls, n_sliders: int) -> Depth:
        """Take the last of some slider axes for the depth."""
        return cls(n_sliders - 1 if n_sliders else None)

    def line(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Return the position of a slice on all slider axes but the depth."""
        return index if self.axis is None else (*index[: self.axis], *index[self.axis + 1 :])

    def place(self, index: tuple[int, ...]) -> int:
        """Return the position of a slice along the depth; 0 where there is none."""
        return 0 if self.axis is None else index[self.axis]

    def at(self, line: tuple[int, ...], place: int) -> tuple[int, ...]:
        """Return the slice at a place of a line."""
        return line if self.axis is None else (*line[: self.axis], place, *line[self.axis :])

    def lines(
        self, indices: Iterable[tuple[int, ...]]
    ) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
        """Group slices by their line, lines and slices in the order in which they come."""
        lines: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for index in indices:
            lines.setdefault(self.line(index), []).append(index)
        return lines

    def ascending(self, indices: Iterable[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
        """Divide slices, in their order, where they do not ascend along the depth in their line."""
        turns: list[tuple[int, ...]] = []
        last: dict[tuple[int, ...], int] = {}
        for index in indices:
            line, place = self.line(index), self.place(index)
            if place <= last.get(line, -1):
                yield turns
                turns, last = [], {}
            turns.append(index)
            last[line] = place
        if turns:
            yield turns


def is_channel(name: str) -> bool:
    """Tell whether an axis of this name goes along channels."""
    return _kind(name) == "c"


def _kind(name: str) -> str:
    """Return z, t or c, or ? for an axis nobody knows."""
    word = name.strip().lower().removesuffix("s")
    kinds = {"z": _SPACE, "t": _TIME, "c": _CHANNEL}
    return next((kind for kind, words in kinds.items() if word in words), "?")
