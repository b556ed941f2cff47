"""A strip that shows the state of every slice; a click goes there."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam_adapter.annotations import SliceState

# Blue, orange and green of Okabe & Ito's palette, which colour-blind people can tell apart.
STATE_COLOURS = {
    SliceState.UNTOUCHED: "#6b7380",
    SliceState.PREDICTED: "#56b4e9",
    SliceState.CORRECTED: "#e69f00",
    SliceState.ACCEPTED: "#009e73",
}
_IMPORTANCE = list(STATE_COLOURS)


class SliceRuler(QWidget):
    """One cell per slice, coloured by its state.

    Attributes
    ----------
    slice_requested : Signal(int)
        A slice was clicked (its position among all slices).
    """

    slice_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._states: list[SliceState] = []
        self._current = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Each cell is a slice. Click one to go there.")
        self.setAccessibleName("Slice states")

    def sizeHint(self) -> QSize:
        """Prefer a thin strip."""
        return QSize(240, 26)

    def set_states(self, states: Sequence[SliceState], current: int) -> None:
        """Show the states of all slices and mark the one in view."""
        self._states, self._current = list(states), current
        self.update()

    def paintEvent(self, event: object) -> None:
        """Draw the cells; where they are narrower than a pixel, the most important state wins."""
        if not self._states:
            return
        painter = QPainter(self)
        count, width, height = len(self._states), self.width(), self.height()
        n_cells = min(count, width)
        cell = width / n_cells
        gap = 1.0 if cell >= 4 else 0.0
        for number in range(n_cells):
            covered = self._states[number * count // n_cells : (number + 1) * count // n_cells]
            state = max(covered, key=_IMPORTANCE.index)
            box = QRectF(number * cell, 5, max(cell - gap, 1.0), height - 10)
            painter.fillRect(box, QColor(STATE_COLOURS[state]))
        left = self._current * width / count
        marker = QRectF(left, 0.5, max(width / count, 3.0), height - 1.5)
        painter.setPen(self.palette().text().color())
        painter.drawRect(marker)

    def mousePressEvent(self, event: object) -> None:
        """Ask for the slice under the pointer."""
        if not self._states or event.button() != Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            return
        share = event.position().x() / max(self.width(), 1)  # type: ignore[attr-defined]
        position = int(share * len(self._states))
        self.slice_requested.emit(min(max(position, 0), len(self._states) - 1))
