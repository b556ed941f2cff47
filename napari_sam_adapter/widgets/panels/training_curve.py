"""The live curve of a training run: the loss, and the Dice on the held-out slices."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

# The blue and orange of the colour-blind, darkened until they stand out from a light ground, too.
LOSS_COLOUR = "#2a85c4"
DICE_COLOUR = "#b86f00"
LEGEND = (
    f'<small><span style="color: {LOSS_COLOUR}">▬</span> loss &nbsp; '
    f'<span style="color: {DICE_COLOUR}">●</span> held-out Dice</small>'
)
SMOOTHING = 0.8
HEIGHT = 140
MOST_POINTS = 400  # even, so that all have a neighbour to be merged with
MOMENT_MS = 100
# The first steps from the base model lose more; what matters is how they come down.
HIGHEST_SHOWN = 2.0


class TrainingCurve(QWidget):
    """A small plot; loss and Dice share one axis, both are easiest to read from 0 to 1.

    The plot is made for the first run: its library is half of what opening the dock would cost.

    Attributes
    ----------
    losses : list of (int, float)
        Steps and smoothed losses. Where they would be too many, neighbours are merged: each is the
        mean up to its step then.
    dices : list of (int, float)
        Steps and scores of the held-out slices.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot: Any = None
        self._lines: tuple[Any, Any] | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._moment = QTimer(self)
        self._moment.setSingleShot(True)
        self._moment.setInterval(MOMENT_MS)
        # Not `guarded`: of a curve that nobody keeps, it is gone while the timer still runs.
        self._moment.timeout.connect(self._catch_up)
        self._forget()

    def _forget(self) -> None:
        self.losses: list[tuple[int, float]] = []
        self.dices: list[tuple[int, float]] = []
        self._n_steps, self._steps_per_point, self._smoothed = 0, 1, 0.0
        self._is_behind = False

    def clear(self) -> None:
        """Forget the last run."""
        self._forget()
        self._moment.stop()
        self._draw()

    def add_loss(self, step: int, loss: float) -> None:
        """Add a step's loss, smoothed: single slices differ much from each other."""
        # The first steps average evenly, so that the curve does not start from one slice.
        weight = min(SMOOTHING, 1.0 - 1.0 / (self._n_steps + 1))
        self._smoothed = weight * self._smoothed + (1.0 - weight) * loss
        n_in_last = self._n_steps % self._steps_per_point
        self._n_steps += 1
        if n_in_last:
            mean = self.losses[-1][1]
            self.losses[-1] = step, mean + (self._smoothed - mean) / (n_in_last + 1)
        else:
            if len(self.losses) == MOST_POINTS:
                self._merge_neighbours()
            self.losses.append((step, self._smoothed))
        self._draw()

    def add_dice(self, step: int, dice: float) -> None:
        """Add a score of the held-out slices."""
        self.dices.append((step, dice))
        self._draw()

    def _merge_neighbours(self) -> None:
        pairs = zip(self.losses[::2], self.losses[1::2], strict=True)
        self.losses = [(step, (before + loss) / 2) for (_, before), (step, loss) in pairs]
        self._steps_per_point *= 2

    def _draw(self) -> None:
        """Draw what there is; what is added within a moment of it is drawn at its end."""
        if self._moment.isActive():
            self._is_behind = True
            return
        self._is_behind = False
        for line, points in zip(self._drawn(), (self.losses, self.dices), strict=True):
            line.setData([step for step, _ in points], [value for _, value in points])
        self._moment.start()

    def _catch_up(self) -> None:
        if self._is_behind:
            self._draw()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._colour_axes()

    def _colour_axes(self) -> None:
        if self._plot is None:
            return
        colour = self.palette().text().color()
        for name in ("left", "bottom"):
            axis = self._plot.getAxis(name)
            axis.setPen(colour)
            axis.setTextPen(colour)

    def _drawn(self) -> tuple[Any, Any]:
        """Return the lines of loss and Dice, in the plot that they are made with."""
        if self._lines is None:
            self._plot = plot = _empty_plot(HEIGHT)
            self._lines = _lines_in(plot)
            self._colour_axes()
            # A label of its own: its words have the theme's colour, and are read on any ground.
            legend = QLabel(LEGEND, alignment=Qt.AlignmentFlag.AlignHCenter)
            for widget in (legend, plot):
                self.layout().addWidget(widget)
        return self._lines


def _empty_plot(height: int) -> Any:
    """Return a plot without menu and mouse, on the ground of whatever theme there is."""
    import pyqtgraph

    plot = pyqtgraph.PlotWidget(background=None)
    plot.setFixedHeight(height)
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(False, False)
    plot.hideButtons()
    plot.setStyleSheet("background: transparent; border: none;")
    return plot


def _lines_in(plot: Any) -> tuple[Any, Any]:
    from pyqtgraph import mkPen

    steps = plot.getAxis("bottom")
    steps.enableAutoSIPrefix(False)
    steps.setStyle(textFillLimits=[(0, 0.4)])  # else numbers of two digits touch each other
    plot.setLabel("bottom", "step")
    plot.setYRange(0.0, HIGHEST_SHOWN, padding=0.0)
    plot.setLimits(xMin=0)
    plot.getPlotItem().setContentsMargins(0, 8, 0, 6)  # else the outermost words are cut
    dots = {"symbol": "o", "symbolSize": 6, "symbolBrush": DICE_COLOUR, "symbolPen": None}
    loss = plot.plot(pen=mkPen(LOSS_COLOUR, width=2))
    return loss, plot.plot(pen=mkPen(DICE_COLOUR, width=1), **dots)
