"""A strip that shows the state of every slice, and how unsure its prediction is.

A click goes there, and so do the arrow keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QRectF, QSize
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QWidget

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.widgets.panels.walkable_strip import WalkableStrip

# Blue, orange and green of Okabe & Ito's palette, which colour-blind people can tell apart.
STATE_COLOURS = {
    SliceState.UNTOUCHED: "#6b7380",
    SliceState.PREDICTED: "#56b4e9",
    SliceState.CORRECTED: "#e69f00",
    SliceState.ACCEPTED: "#009e73",
}
_IMPORTANCE = list(STATE_COLOURS)
_STATES_HEIGHT, _GAP, _BARS_HEIGHT = 16, 3, 14
_MARGIN = 5
FULL_BAR = 0.5  # of two slices of which half may be wrong, it matters little which is worse
HINT = (
    "Each cell is a slice: click one, or use the arrow keys. Bars below: how unsure the model is."
)


def paint_cells(
    painter: QPainter,
    states: Sequence[SliceState],
    uncertainty: Sequence[float | None],
    cells: QRectF,
    bars: QRectF,
    bar_colour: QColor,
    *,
    with_untouched: bool = True,
) -> None:
    """Draw a cell per slice, and a bar that stands the taller the less sure it is.

    Where they are narrower than a pixel, the most important wins.

    Parameters
    ----------
    painter : QPainter
    states, uncertainty : sequence
        Of each slice; an uncertainty of 0 to 1, None draws no bar.
    cells, bars : QRectF
        Where; both have the same left and width.
    bar_colour : QColor
    with_untouched : bool
        Draw cells of untouched slices, too.
    """
    count, width = len(states), cells.width()
    n_cells = min(count, max(int(width), 1))
    cell = width / n_cells
    across = max(cell - (1.0 if cell >= 4 else 0.0), 1.0)
    for number in range(n_cells):
        covered = slice(number * count // n_cells, (number + 1) * count // n_cells)
        state = max(states[covered], key=_IMPORTANCE.index)
        left = cells.left() + number * cell
        box = QRectF(left, cells.top(), across, cells.height())
        if with_untouched or state is not SliceState.UNTOUCHED:
            painter.fillRect(box, QColor(STATE_COLOURS[state]))
        known = [value for value in uncertainty[covered] if value is not None]
        if known:
            tall = max(bars.height() * min(max(known) / FULL_BAR, 1.0), 1.0)
            painter.fillRect(QRectF(left, bars.bottom() - tall, across, tall), bar_colour)


class SliceRuler(WalkableStrip):
    """One cell per slice, coloured by its state, and below it a bar for its uncertainty.

    Bars have the colour of text, which every theme makes legible, and say by their height alone
    what they say: the taller, the less sure; full from a confidence of 50 % down.

    Places are the positions among all slices.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Slice states and uncertainty", HINT, parent)
        self._states: list[SliceState] = []
        self._uncertainty: list[float | None] = []
        self.describe: Callable[[int], str] = lambda position: f"Slice {position}"

    @property
    def n_places(self) -> int:
        """How many slices there are."""
        return len(self._states)

    def sizeHint(self) -> QSize:
        """Prefer a thin strip."""
        return QSize(240, 2 * _MARGIN + _STATES_HEIGHT + _GAP + _BARS_HEIGHT)

    def set_states(
        self,
        states: Sequence[SliceState],
        current: int,
        uncertainty: Sequence[float | None] = (),
    ) -> None:
        """Show all slices and mark the one in view.

        Parameters
        ----------
        states : sequence of SliceState
        current : int
            The slice in view.
        uncertainty : sequence of float or None
            Of each slice, 0 to 1; None draws no bar.
        """
        self._states, self._current = list(states), current
        self._uncertainty = list(uncertainty) or [None] * len(self._states)
        self.setAccessibleDescription(self.tooltip_at(current) if self._states else "")
        self.update()

    def tooltip_at(self, position: int) -> str:
        """Describe a slice."""
        return self.describe(position)

    def position_at(self, x: float) -> int:
        """Return the slice at a place (in pixels) along the strip."""
        position = int(x / max(self.width(), 1) * len(self._states))
        return min(max(position, 0), len(self._states) - 1)

    def paintEvent(self, event: object) -> None:
        """Draw cells and bars, and mark the slice in view."""
        if not self._states:
            return
        painter = QPainter(self)
        text = self.palette().text().color()
        count, width, height = len(self._states), self.width(), self.height()
        floor = height - _MARGIN
        faint = QColor(text)
        faint.setAlpha(70)
        painter.fillRect(QRectF(0, floor, width, 1), faint)
        top = _MARGIN + _STATES_HEIGHT + _GAP
        cells = QRectF(0, _MARGIN, width, _STATES_HEIGHT)
        bars = QRectF(0, top, width, max(floor - top, 1))
        paint_cells(painter, self._states, self._uncertainty, cells, bars, text)
        across = max(width / count, 3.0)
        left = min(self._current * width / count, width - 1 - across)  # else its edge is cut off
        painter.setPen(text)
        painter.drawRect(QRectF(left, 0.5, across, height - 1.5))
