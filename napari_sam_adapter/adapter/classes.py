"""Names and colours of the classes that labels stand for. Plain data; imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam_adapter.adapter.card import AdapterCard

MAX_CLASSES = 32
# Okabe & Ito's palette, then Tol's "muted" scheme: colour-blind people can tell them apart. The
# second half of 32 classes repeats them darker.
_BRIGHT = (
    *("#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#d55e00", "#0072b2", "#e69f00"),
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255"),
    "#aa4499",
)


def _darker(color: str) -> str:
    return "#" + "".join(f"{int(color[i : i + 2], 16) * 6 // 10:02x}" for i in (1, 3, 5))


CLASS_COLORS = _BRIGHT + tuple(_darker(color) for color in _BRIGHT)


@dataclass(frozen=True, slots=True)
class Classes:
    """What the labels 1, 2, ... stand for, and how they are drawn.

    Attributes
    ----------
    names : tuple of str
    colors : tuple of str
        As ``#rrggbb``, one per name.

    Raises
    ------
    ValueError
        If the names cannot tell classes apart.
    """

    names: tuple[str, ...] = ("object",)
    colors: tuple[str, ...] = CLASS_COLORS[:1]

    def __post_init__(self) -> None:
        check_class_names(self.names)
        if len(self.colors) != len(self.names):
            raise ValueError(f"{len(self.names)} classes have {len(self.colors)} colours")

    @classmethod
    def of(cls, card: AdapterCard) -> Classes:
        """Return the classes of an adapter, with default colours where it brings none."""
        given = dict(enumerate(card.class_colors))
        colors = tuple(
            color if _is_color(color := given.get(number, "")) else default
            for number, default in zip(range(len(card.class_names)), CLASS_COLORS, strict=False)
        )
        return cls(card.class_names, colors)

    def __len__(self) -> int:
        return len(self.names)

    def with_one_more(self) -> Classes:
        """Return these classes and a new one at the end, named after its number.

        Raises
        ------
        ValueError
            If there are too many.
        """
        number = len(self) + 1
        if number > MAX_CLASSES:
            raise ValueError(f"{MAX_CLASSES} classes are the most that can be told apart")
        name = next(n for i in range(number + 1) if (n := f"class {number + i}") not in self.names)
        unused = [color for color in CLASS_COLORS if color not in self.colors]
        return Classes((*self.names, name), (*self.colors, (unused or CLASS_COLORS)[0]))

    def without_last(self) -> Classes:
        """Return all but the last class.

        Raises
        ------
        ValueError
            If there is only one.
        """
        return Classes(self.names[:-1], self.colors[:-1])

    def with_further(self, others: Classes) -> Classes:
        """Return these classes, and those of others for the labels beyond, if names stay apart."""
        names = (*self.names, *others.names[len(self) :])
        if len(set(names)) != len(names):
            return self
        return Classes(names, (*self.colors, *others.colors[len(self) :]))

    def renamed(self, label: int, name: str) -> Classes:
        """Return the classes with another name for a label.

        Raises
        ------
        ValueError
            If the name is empty or another class has it.
        """
        names = list(self.names)
        names[label - 1] = name.strip()
        return replace(self, names=tuple(names))

    def recolored(self, label: int, color: str) -> Classes:
        """Return the classes with another colour, ``#rrggbb``, for a label.

        Raises
        ------
        ValueError
            If it is no such colour.
        """
        if not _is_color(color):
            raise ValueError(f"a colour is written as #rrggbb, got {color!r}")
        colors = list(self.colors)
        colors[label - 1] = color
        return replace(self, colors=tuple(colors))


def _is_color(text: str) -> bool:
    return re.fullmatch("#[0-9a-fA-F]{6}", text) is not None


def check_class_names(names: tuple[str, ...]) -> None:
    """Refuse names that cannot tell classes apart.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"between 1 and {MAX_CLASSES} classes can be told apart, got {len(names)}")
    if len({name.strip() for name in names} - {""}) != len(names):
        raise ValueError(f"each class needs a name of its own, got {', '.join(map(repr, names))}")


def differences(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """Say which labels have another name than before; "" where none has."""
    said = []
    for number, (old, new) in enumerate(zip_longest(before, after), start=1):
        if new is None:
            said.append(f"label {number} is no class any more ({old} before)")
        elif new != old:
            said.append(f"label {number} is {new}" + (f" ({old} before)" if old else ""))
    return ", ".join(said)


def renamings(known: tuple[str, ...], names: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """List the classes that get another name.

    Parameters
    ----------
    known : tuple of str
        Of the labels 1, 2, ... so far.
    names : tuple of str
        The ones to come; there may be more of them.

    Returns
    -------
    list of (int, str, str)
        Label, name so far, and new name.

    Raises
    ------
    ValueError
        If a known name is given to another label: whoever writes that has masks in another order.
    """
    for label, name in enumerate(names, start=1):
        before = known.index(name) + 1 if name in known else label
        if before != label:
            raise ValueError(f"{name} is label {before} there, and would become label {label}")
    pairs = enumerate(zip(known, names, strict=False), start=1)
    return [(label, before, after) for label, (before, after) in pairs if before != after]
