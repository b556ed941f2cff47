"""A ring around what has the keyboard: napari's themes do not show it."""

from __future__ import annotations

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QRectF, Qt
from qtpy.QtGui import QPainter, QPen
from qtpy.QtWidgets import QApplication, QWidget

THICK = 1.5


class FocusRing(QObject):
    """Follows the keyboard through a dock.

    Parameters
    ----------
    dock : QWidget

    Attributes
    ----------
    ring : QWidget or None
        Lies upon the widget that has the keyboard; None where that is outside of the dock.
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self.ring: QWidget | None = None
        QApplication.instance().focusChanged.connect(self._on_focus)

    def _on_focus(self, _: QWidget | None, now: QWidget | None) -> None:
        if not isalive(self):
            return
        if self.ring is not None and isalive(self.ring):  # else it went with its widget
            self.ring.hide()
            self.ring.deleteLater()
        self.ring = None if now is None or not self._dock.isAncestorOf(now) else _Ring(now)


class _Ring(QWidget):
    """Lies along the inner edge of a widget, where no neighbour can cut it off."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setGeometry(widget.rect())
        widget.installEventFilter(self)
        self.show()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the size of the widget."""
        is_resized = event is not None and event.type() == QEvent.Type.Resize
        if is_resized and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False

    def paintEvent(self, event: object) -> None:
        """Draw in the colour of text, which every theme makes legible."""
        painter = QPainter(self)
        painter.setPen(QPen(self.palette().text().color(), THICK))
        half = THICK / 2
        painter.drawRect(QRectF(self.rect()).adjusted(half, half, -half, -half))
