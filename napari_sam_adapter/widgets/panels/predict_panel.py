"""Predict the slice in view, or all slices, with more or less care."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

UNKNOWN_MIRROR_IMAGES = "What predicts now was not trained on mirror images"
ONE_CLASS_ONLY = "Objects are numbered where there is one class only"


class PredictPanel(QWidget):
    """Two buttons, two choices, a progress bar and Cancel.

    Attributes
    ----------
    care_requested : Signal(bool)
        Whether each slice is to be predicted together with its mirror image.
    """

    slice_requested = Signal()
    all_requested = Signal()
    cancel_requested = Signal()
    care_requested = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slice_button = QPushButton("Predict slice")
        self.slice_button.setToolTip(
            "Predict the slice in view, from its boxes and points if there are any"
        )
        self.all_button = QPushButton("Predict all")
        self.all_button.setToolTip(
            "Predict every slice that is neither corrected nor accepted; boxes and points are not "
            "used here"
        )
        self.care_box = QCheckBox("Look twice")
        self.number_box = QCheckBox("Number objects")
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m slices")
        self.progress.setToolTip("Slices that are done; they stay, also after Cancel")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop after this slice; what is done stays")
        self._running = QWidget()
        running = QHBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.addWidget(self.progress, 1)
        running.addWidget(self.cancel_button)
        buttons = QHBoxLayout()
        buttons.addWidget(self.slice_button)
        buttons.addWidget(self.all_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._choices = QWidget()
        choices = QHBoxLayout(self._choices)
        choices.setContentsMargins(0, 0, 0, 0)
        choices.addWidget(self.care_box)
        choices.addWidget(self.number_box)
        choices.addStretch(1)
        layout.addLayout(buttons)
        # The bar takes the place of the choices, which cannot change what runs already: were it
        # put below them, the buttons further down would slip away under the pointer.
        self._below = QStackedWidget()
        self._below.addWidget(self._choices)
        self._below.addWidget(self._running)
        self._below.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout.addWidget(self._below)
        self.slice_button.clicked.connect(self.slice_requested)
        self.all_button.clicked.connect(self.all_requested)
        self.cancel_button.clicked.connect(self.cancel_requested)
        self.care_box.clicked.connect(self.care_requested)
        self.show_choices(False, False, True)

    def show_choices(self, knows_mirror_images: bool, careful: bool, one_class: bool) -> None:
        """Offer the choices that what predicts now has."""
        self.care_box.setEnabled(knows_mirror_images)
        self.care_box.setChecked(careful)
        self.care_box.setToolTip(
            "Predict each slice and its half turn, and take the mean: better masks, at twice the "
            "time"
            if knows_mirror_images
            else UNKNOWN_MIRROR_IMAGES
        )
        self.number_box.setEnabled(one_class)
        if not one_class:
            self.number_box.setChecked(False)
        self.number_box.setToolTip(
            "Give each connected object of a predicted slice a label of its own"
            if one_class
            else ONE_CLASS_ONLY
        )

    def reset(self) -> None:
        """Untick what is chosen anew in each project."""
        self.number_box.setChecked(False)

    def show_progress(self, done: int, total: int) -> None:
        """Show how many slices are done; a total of 0 means that nothing runs."""
        running = total > 0
        self.slice_button.setEnabled(not running)
        self.all_button.setEnabled(not running)
        # A single slice is done in the blink of an eye: a bar would only flicker.
        self._below.setCurrentWidget(self._running if total > 1 else self._choices)
        if running:
            self.progress.setMaximum(total)
            self.progress.setValue(done)
