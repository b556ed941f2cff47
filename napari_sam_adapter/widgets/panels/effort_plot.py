"""What each round of corrections cost the person: seconds, strokes and pixels, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_sam_adapter.project.effort import Effort, Round
from napari_sam_adapter.volumes.slice_source import SliceIndex
from napari_sam_adapter.widgets.panels.effort_bars import Bar, EffortBars
from napari_sam_adapter.widgets.panels.slice_words import at_start
from napari_sam_adapter.widgets.panels.small import let_shrink

SLICES_NAMED = 5
_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that work costs.

    Attributes
    ----------
    title : str
        In the list of quantities.
    of : callable
        Its value in an `Effort`.
    short : callable
        A value for people, with its unit.
    """

    title: str
    of: Callable[[Effort], float]
    short: Callable[[float], str]


def _short_pixels(value: float) -> str:
    return f"{value / _THOUSAND:.1f}k px" if value >= _THOUSAND else f"{value:.0f} px"


QUANTITIES = (
    Quantity("Seconds per slice", lambda effort: effort.seconds, lambda value: f"{value:.0f} s"),
    Quantity("Strokes per slice", lambda effort: effort.strokes, lambda value: f"{value:.1f}"),
    Quantity("Pixels per slice", lambda effort: effort.pixels, _short_pixels),
)


class EffortPlot(QWidget):
    """A sentence, bars of the quantity that is chosen, and the slices of the round in focus.

    Hidden until there is something to show.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rounds: tuple[Round, ...] = ()
        self._describe: Callable[[SliceIndex], str] = str
        self._chosen = 0
        self.setToolTip("What slices have cost you, from one retraining to the next")
        self.summary = QLabel()
        self.quantity_box = QComboBox()
        self.quantity_box.addItems([quantity.title for quantity in QUANTITIES])
        self.quantity_box.setToolTip("What the bars and dots show")
        self.quantity_box.setAccessibleName("Effort shown")
        let_shrink(self.quantity_box)
        self.bars = EffortBars()
        self.slices = QLabel()
        for label in (self.summary, self.slices):
            label.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.summary, self.quantity_box, self.bars, self.slices):
            layout.addWidget(widget)
        self.quantity_box.currentIndexChanged.connect(self._show_chosen)
        self.bars.position_chosen.connect(self.choose_round)
        self.show_rounds(())

    @property
    def quantity(self) -> Quantity:
        """What the bars and dots show."""
        return QUANTITIES[self.quantity_box.currentIndex()]

    def show_rounds(
        self, rounds: Sequence[Round], describe: Callable[[SliceIndex], str] = str
    ) -> None:
        """Show the rounds, the last of which may still go on.

        The last one is in focus, unless the person has chosen another.

        Parameters
        ----------
        rounds : sequence of Round
        describe : callable
            Names a slice for people.
        """
        self._describe = describe
        was_last = self._chosen >= len(self.rounds) - 1
        self.rounds = tuple(rounds)
        last = len(rounds) - 1
        self._chosen = max(last if was_last else min(self._chosen, last), 0)
        self.setVisible(bool(rounds))
        if rounds:
            self.summary.setText(_sentence(rounds))
        self._show_chosen()

    def choose_round(self, position: int) -> None:
        """Bring a round into focus."""
        self._chosen = position
        self._show_chosen()

    def _show_chosen(self, *_: object) -> None:
        quantity = self.quantity
        bars = []
        for number, one in enumerate(self.rounds, 1):
            mean = quantity.of(one.effort) / len(one.slices)
            dots = tuple(float(quantity.of(one.slices[index])) for index in sorted(one.slices))
            bars.append(Bar(mean, quantity.short(mean), dots, _line(number, one)))
        self.bars.show_bars(bars, self._chosen)
        self.slices.setText(self._slices_in_words(self._chosen) if self.rounds else "")

    def _slices_in_words(self, position: int) -> str:
        """List the slices of a round that cost most, and what all of them cost."""
        one, of = self.rounds[position], self.quantity.of
        # Where several cost the same, in their order.
        dearest = sorted(one.slices, key=lambda index: (-of(one.slices[index]), index))
        lines = [_line(position + 1, one)]
        for index in dearest[:SLICES_NAMED]:
            name = at_start(self._describe(index))
            lines.append(f"{name}: {_cost(one.slices[index])}")
        more = len(dearest) - SLICES_NAMED
        return "<br>".join([*lines, f"and {more} that cost less"] if more > 0 else lines)


def _sentence(rounds: Sequence[Round]) -> str:
    last = f"Round {len(rounds)}: {_per_slice(rounds[-1])}"
    return f"{last} (round 1: {_per_slice(rounds[0])})." if len(rounds) > 1 else f"{last}."


def _per_slice(one: Round) -> str:
    count, effort = len(one.slices), one.effort
    return f"{effort.seconds / count:.0f} s and {effort.strokes / count:.1f} strokes per slice"


def _line(number: int, one: Round) -> str:
    count = len(one.slices)
    return f"Round {number}, {count} slice{'s'[: count != 1]}: {_cost(one.effort)}"


def _cost(effort: Effort) -> str:
    strokes = "1 stroke" if effort.strokes == 1 else f"{effort.strokes} strokes"
    return f"{effort.seconds:.0f} s, {strokes}, {effort.pixels:,} px"
