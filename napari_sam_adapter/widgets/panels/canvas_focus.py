"""After a click in the dock the keyboard goes on working for the canvas: keys, and Space to pan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QAbstractButton, QAbstractItemView, QWidget

if TYPE_CHECKING:
    import napari


class CanvasFocus(QObject):
    """Gives the canvas the focus that buttons and lists of a dock take from it.

    A click gives it back at once. Whoever walks by Tab and Space keeps it; only where a button is
    disabled or hidden that has it, Qt would hand it on to what comes next, and a Space that was
    meant for the canvas would tick a box.

    Parameters
    ----------
    viewer : napari.Viewer
    dock : QWidget
        With all its buttons.
    lists : QAbstractItemView
        Lists in which a click is a choice.
    """

    def __init__(self, viewer: napari.Viewer, dock: QWidget, *lists: QAbstractItemView) -> None:
        super().__init__(dock)
        self._viewer = viewer
        buttons: list[QWidget] = dock.findChildren(QAbstractButton)
        for widget in (*buttons, *(one.viewport() for one in lists)):
            widget.installEventFilter(self)

    def eventFilter(self, widget: QObject | None, event: QEvent | None) -> bool:
        """Give the focus back on a press, which comes after it was taken, or when it is lost."""
        if event is None or not isinstance(widget, QWidget):
            return False
        is_pressed = event.type() == QEvent.Type.MouseButtonPress
        is_lost = event.type() == QEvent.Type.FocusOut and not (
            widget.isEnabled() and widget.isVisible()
        )
        if is_pressed or is_lost:
            self._give_back()
        return False

    def _give_back(self) -> None:
        # napari has no public way to its canvas; without it the focus stays where it is.
        viewer = getattr(self._viewer.window, "_qt_viewer", None)
        canvas = getattr(getattr(viewer, "canvas", None), "native", None)
        if canvas is not None:
            canvas.setFocus()
