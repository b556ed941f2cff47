"""Predict the slice in view, or all slices."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget


class PredictPanel(QWidget):
    """Two buttons, a progress bar and Cancel."""

    slice_requested = Signal()
    all_requested = Signal()
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slice_button = QPushButton("Predict slice")
        self.slice_button.setToolTip(
            "Predict the slice in view, from its boxes and points if there are any (Shift+P)"
        )
        self.all_button = QPushButton("Predict all")
        self.all_button.setToolTip(
            "Predict every slice that is not accepted; boxes and points are not used here"
        )
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m slices")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop after this slice; what is done stays")
        self._running = QWidget()
        running = QHBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.addWidget(self.progress, 1)
        running.addWidget(self.cancel_button)
        self._running.hide()
        buttons = QHBoxLayout()
        buttons.addWidget(self.slice_button)
        buttons.addWidget(self.all_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self._running)
        self.slice_button.clicked.connect(self.slice_requested)
        self.all_button.clicked.connect(self.all_requested)
        self.cancel_button.clicked.connect(self.cancel_requested)

    def show_progress(self, done: int, total: int) -> None:
        """Show how many slices are done; a total of 0 means that nothing runs."""
        running = total > 0
        self.slice_button.setEnabled(not running)
        self.all_button.setEnabled(not running)
        # A single slice is done in the blink of an eye: a bar would only flicker.
        self._running.setVisible(total > 1)
        if running:
            self.progress.setMaximum(total)
            self.progress.setValue(done)
