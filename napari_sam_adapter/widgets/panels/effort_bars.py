"""A bar for each round, and a dot for each of its slices.

A click chooses a round, and so do the arrow keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QWidget

from napari_sam_adapter.widgets.panels.walkable_strip import WalkableStrip

# Green of Okabe & Ito's palette; legible on light and on dark.
BAR_COLOUR = "#009e73"
_PLOT_HEIGHT, _MARGIN, _DOT = 64, 4, 2.0
_WIDEST = 46.0  # a bar alone would fill the dock
_FAINT, _CLEAR = 90, 170
HINT = "A bar for each round, a dot for each of its slices. Click a bar, or use the arrow keys."


@dataclass(frozen=True, slots=True)
class Bar:
    """What is shown of a round.

    Attributes
    ----------
    value : float
        Height of the bar.
    text : str
        The value for people, written above the bar where there is room.
    dots : tuple of float
        The same of each slice.
    tooltip : str
    """

    value: float
    text: str
    dots: tuple[float, ...]
    tooltip: str


class EffortBars(WalkableStrip):
    """Bars side by side on one scale, one of them chosen; places are the rounds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What each round cost", HINT, parent)
        self._bars: tuple[Bar, ...] = ()

    @property
    def n_places(self) -> int:
        """How many rounds there are."""
        return len(self._bars)

    def tooltip_at(self, position: int) -> str:
        """Say what a round cost."""
        return self._bars[position].tooltip

    def sizeHint(self) -> QSize:
        """Prefer a low plot, with a line of text above and below it."""
        return QSize(240, _PLOT_HEIGHT + 2 * (self.fontMetrics().height() + _MARGIN))

    def show_bars(self, bars: Sequence[Bar], chosen: int) -> None:
        """Show rounds, and mark one."""
        self._bars, self._current = tuple(bars), chosen
        self.setAccessibleDescription(bars[chosen].tooltip if bars else "")
        self.update()

    def position_at(self, x: float) -> int:
        """Return the round at a place (in pixels) along the plot."""
        return min(max(int(x / self._width), 0), len(self._bars) - 1)

    @property
    def _width(self) -> float:
        """How much each round has of the plot's width."""
        return min(float(self.width()) / max(len(self._bars), 1), 2 * _WIDEST)

    def paintEvent(self, event: object) -> None:
        """Draw bars and dots on one scale, numbers where there is room."""
        if not self._bars:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().height()
        floor = self.height() - line - _MARGIN
        plot = QRectF(0, line + _MARGIN, self.width(), floor - line - _MARGIN)
        highest = max(max((bar.value, *bar.dots)) for bar in self._bars) or 1.0
        for position, bar in enumerate(self._bars):
            self._paint_bar(painter, position, bar, plot, highest)
        painter.fillRect(QRectF(0, floor, self.width(), 1), self._text_colour(_FAINT))

    def _paint_bar(
        self, painter: QPainter, position: int, bar: Bar, plot: QRectF, highest: float
    ) -> None:
        """Draw a round: its bar, a dot for each slice, its number below and its value above."""
        left, width = position * self._width, self._width
        across = min(0.7 * width, _WIDEST)
        tall = max(plot.height() * bar.value / highest, 1.0)
        box = QRectF(left + (width - across) / 2, plot.bottom() - tall, across, tall)
        colour = QColor(BAR_COLOUR)
        is_chosen = position == self._current
        colour.setAlpha(255 if is_chosen else _CLEAR)
        painter.fillRect(box, colour)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._text_colour(_CLEAR))
        for number, value in enumerate(bar.dots):
            # Side by side, so that equal slices are not one dot.
            x = box.left() + across * (number + 0.5) / len(bar.dots)
            y = plot.bottom() - plot.height() * value / highest
            painter.drawEllipse(QPointF(x, y), _DOT, _DOT)
        painter.setPen(self._text_colour(255 if is_chosen else _CLEAR))
        centred = Qt.AlignmentFlag.AlignHCenter
        metrics, line = self.fontMetrics(), self.fontMetrics().height()
        if metrics.horizontalAdvance(bar.text) <= width - 4:
            painter.drawText(QRectF(left, 0, width, line), centred, bar.text)
        names = (f"round {position + 1}", str(position + 1))
        fitting = [name for name in names if metrics.horizontalAdvance(name) <= width - 2]
        if fitting:
            below = QRectF(left, plot.bottom() + _MARGIN, width, line)
            painter.drawText(below, centred, fitting[0])
        if is_chosen:
            painter.fillRect(
                QRectF(box.left(), plot.bottom() + 1, across, 2), painter.pen().color()
            )

    def _text_colour(self, alpha: int) -> QColor:
        colour = QColor(self.palette().text().color())
        colour.setAlpha(alpha)
        return colour
