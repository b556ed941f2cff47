"""The live curve of a training run: the loss, and the Dice on the held-out slices."""

from __future__ import annotations

import pyqtgraph
from qtpy.QtWidgets import QVBoxLayout, QWidget

LOSS_COLOUR = "#56b4e9"
DICE_COLOUR = "#e69f00"
AXIS_COLOUR = "#8a919b"
SMOOTHING = 0.8
HEIGHT = 150
# The first steps from the base model lose more; what matters is how they come down.
HIGHEST_SHOWN = 2.0


class TrainingCurve(QWidget):
    """A small plot; loss and Dice share one axis, both are easiest to read from 0 to 1."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # Neither black nor white: transparent, so that it fits the light and the dark theme.
        self._plot = pyqtgraph.PlotWidget(background=None)
        self._plot.setStyleSheet("background: transparent; border: none;")
        self._plot.setFixedHeight(HEIGHT)
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(False, False)
        self._plot.hideButtons()
        for name in ("left", "bottom"):
            axis = self._plot.getAxis(name)
            axis.setPen(AXIS_COLOUR)
            axis.setTextPen(AXIS_COLOUR)
        self._plot.getAxis("bottom").enableAutoSIPrefix(False)
        self._plot.setLabel("bottom", "step", color=AXIS_COLOUR)
        self._plot.setYRange(0.0, HIGHEST_SHOWN, padding=0.0)
        self._plot.setLimits(xMin=0)
        # Above the plot, where it hides nothing.
        self._plot.setTitle(
            f'<span style="color: {LOSS_COLOUR}">loss</span> &nbsp; '
            f'<span style="color: {DICE_COLOUR}">● held-out Dice</span>',
            size="9pt",
        )
        self._loss = self._plot.plot(pen=pyqtgraph.mkPen(LOSS_COLOUR, width=2))
        self._dice = self._plot.plot(
            pen=pyqtgraph.mkPen(DICE_COLOUR, width=1),
            symbol="o",
            symbolSize=6,
            symbolBrush=DICE_COLOUR,
            symbolPen=None,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self.losses: list[tuple[int, float]] = []
        self.dices: list[tuple[int, float]] = []

    def clear(self) -> None:
        """Forget the last run."""
        self.losses.clear()
        self.dices.clear()
        self._loss.setData([], [])
        self._dice.setData([], [])

    def add_loss(self, step: int, loss: float) -> None:
        """Add a step's loss, smoothed: single slices differ much from each other."""
        smoothed = loss
        if self.losses:
            # The first steps average evenly, so that the curve does not start from one slice.
            weight = min(SMOOTHING, 1.0 - 1.0 / (len(self.losses) + 1))
            smoothed = weight * self.losses[-1][1] + (1.0 - weight) * loss
        self.losses.append((step, smoothed))
        self._loss.setData(*zip(*self.losses, strict=True))

    def add_dice(self, step: int, dice: float) -> None:
        """Add a score of the held-out slices."""
        self.dices.append((step, dice))
        self._dice.setData(*zip(*self.dices, strict=True))
