"""A strip of places side by side, that are reached by a click and by the arrow keys."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget


class WalkableStrip(QWidget):
    """What the pointer and the keyboard do on a strip; subclasses say what lies there.

    Parameters
    ----------
    name : str
        For screen readers.
    hint : str
        What one may do here, under the tooltip of each place.

    Attributes
    ----------
    position_chosen : Signal(int)
        A place was clicked, or walked to by keys.
    """

    position_chosen = Signal(int)

    def __init__(self, name: str, hint: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hint = hint
        self._current = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        self.setToolTip(hint)

    @property
    def n_places(self) -> int:
        """How many places there are."""
        raise NotImplementedError

    def position_at(self, x: float) -> int:
        """Return the place at a distance (in pixels) from the left."""
        raise NotImplementedError

    def tooltip_at(self, position: int) -> str:
        """Say what a place is."""
        raise NotImplementedError

    def event(self, event: QEvent) -> bool:
        """Answer to the pointer resting on a place with what that is."""
        if event.type() == QEvent.Type.ToolTip and self.n_places:
            where = self.position_at(event.pos().x())
            QToolTip.showText(event.globalPos(), f"{self.tooltip_at(where)}\n{self._hint}", self)
            return True
        handled: bool = super().event(event)
        return handled

    def mousePressEvent(self, event: object) -> None:
        """Choose the place under the pointer."""
        if self.n_places and event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            self.position_chosen.emit(self.position_at(event.position().x()))  # type: ignore[attr-defined]

    def keyPressEvent(self, event: object) -> None:
        """Walk from place to place; Home and End go to the first and the last."""
        last = self.n_places - 1
        steps = {
            Qt.Key.Key_Left: self._current - 1,
            Qt.Key.Key_Right: self._current + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        wanted = steps.get(event.key())  # type: ignore[attr-defined]
        if wanted is None or not self.n_places:
            super().keyPressEvent(event)
        elif 0 <= wanted <= last and wanted != self._current:
            self.position_chosen.emit(wanted)
