"""What each round of corrections cost the person: seconds per slice, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_sam_adapter.project.effort import Round
from napari_sam_adapter.widgets.training_curve import AXIS_COLOUR, empty_plot

BAR_COLOUR = "#009e73"
HEIGHT = 90
Rounds = Sequence[Round]


class EffortPlot(QWidget):
    """A bar per round and a sentence; hidden until there is something to show.

    The plot is made for the second round, as one bar compares with nothing.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rounds: Rounds = ()
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self._plot: Any = None
        self._bars: Any = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.summary)
        self.show_rounds(())

    def show_rounds(self, rounds: Rounds) -> None:
        """Show the rounds, the last of which may still go on.

        Parameters
        ----------
        rounds : sequence of Round
        """
        self.rounds = tuple(rounds)
        self.setVisible(bool(rounds))
        if self._plot is not None:
            self._plot.setVisible(len(rounds) > 1)
        if not rounds:
            return
        self.summary.setText(_sentence(rounds))
        self.summary.setToolTip("\n".join(_line(n, one) for n, one in enumerate(rounds, 1)))
        if len(rounds) > 1:
            self._show_bars(rounds)

    def _show_bars(self, rounds: Rounds) -> None:
        if self._plot is None:
            self._make_plot()
        numbers = list(range(1, len(rounds) + 1))
        seconds = [one.effort.seconds / len(one.slices) for one in rounds]
        self._bars.setOpts(x=numbers, height=seconds)
        self._plot.getAxis("bottom").setTicks([[(n, f"round {n}") for n in numbers]])
        self._plot.setYRange(0, max(*seconds, 1.0), padding=0.05)

    def _make_plot(self) -> None:
        from pyqtgraph import BarGraphItem

        self._plot = empty_plot(HEIGHT)
        self._plot.setLabel("left", "s / slice", color=AXIS_COLOUR)
        self._bars = BarGraphItem(x=[], height=[], width=0.7, brush=BAR_COLOUR, pen=None)
        self._plot.addItem(self._bars)
        self.layout().addWidget(self._plot)


def _sentence(rounds: Rounds) -> str:
    last = f"Round {len(rounds)}: {_per_slice(rounds[-1])}"
    return f"{last} (round 1: {_per_slice(rounds[0])})." if len(rounds) > 1 else f"{last}."


def _per_slice(one: Round) -> str:
    count, effort = len(one.slices), one.effort
    return f"{effort.seconds / count:.0f} s and {effort.strokes / count:.1f} strokes per slice"


def _line(number: int, one: Round) -> str:
    count, effort = len(one.slices), one.effort
    return (
        f"Round {number}: {count} slices, {effort.strokes} strokes, {effort.pixels} pixels, "
        f"{effort.seconds:.0f} s"
    )
