"""Ask before napari's window closes, where something would be lost by that."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox, QWidget

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.dock import SamAdapterDock

WHILE_TRAINING = (
    "The adapter is being retrained. Closing ends the run; it can be resumed from its last "
    "checkpoint when napari is open again. Close now?"
)
LOSES = "It is lost if napari is closed now. Close all the same?"


class CloseGuard(QObject):
    """Listens to the window that a dock is in.

    Parameters
    ----------
    dock : SamAdapterDock
        Asked for what runs and what is not on the disk.
    """

    def __init__(self, dock: SamAdapterDock) -> None:
        super().__init__(dock)
        self._dock = dock
        self._window: QWidget | None = None

    @property
    def window(self) -> QWidget | None:
        """The window that is listened to."""
        return self._window

    def watch(self, window: QWidget) -> None:
        """Listen to a window; again and again is once."""
        if self._window is not window:
            self._window = window
            window.installEventFilter(self)

    def let_go(self) -> None:
        """Listen no more."""
        if self._window is not None:
            with contextlib.suppress(RuntimeError):  # Qt may have deleted either by now
                self._window.removeEventFilter(self)
            self._window = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask while training runs, or while something is not on the disk."""
        if event.type() != QEvent.Type.Close or not self._dock.is_open:
            return False
        question = self._question(asked_by_napari=event.spontaneous())
        if not question:
            return False
        answer = QMessageBox.question(self._window, "Close napari?", question)
        if answer == QMessageBox.StandardButton.Yes:
            return False
        event.ignore()
        return True

    def _question(self, *, asked_by_napari: bool) -> str:
        controller = self._dock.controller
        problems = [keeper.problem for keeper in controller.keepers if keeper.is_at_risk]
        if problems:
            return " ".join([*problems, LOSES])
        # napari itself asks when its window's x is pressed, not for File > Exit or a script.
        if controller.retraining.is_running and not asked_by_napari:
            return WHILE_TRAINING
        return ""
