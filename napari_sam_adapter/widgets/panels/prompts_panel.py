"""Show the model where objects are: layers for boxes and points."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

KINDS = ("object", "background")


class PromptsPanel(QWidget):
    """Two buttons, and what new points mark.

    Attributes
    ----------
    boxes_requested, points_requested : Signal()
    kind_requested : Signal(str)
        What new points mark: one of `KINDS`.
    """

    boxes_requested = Signal()
    points_requested = Signal()
    kind_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        used = (
            "Predict slice uses those in the slice in view, for the class that is chosen. To use a "
            "layer you have already, select it in the list of layers first."
        )
        self.boxes_button = QPushButton("Add boxes")
        self.boxes_button.setToolTip(f"Draw a box around each object. {used}")
        self.points_button = QPushButton("Add points")
        self.points_button.setToolTip(f"Click on the object, or beside it. {used}")
        self.kind_box = QComboBox()
        self.kind_box.addItems(KINDS)
        self.kind_box.setToolTip("What new points mark")
        self._kind_row = QWidget()
        kind = QHBoxLayout(self._kind_row)
        kind.setContentsMargins(0, 0, 0, 0)
        kind.addWidget(QLabel("New points mark"))
        kind.addWidget(self.kind_box, 1)
        self._kind_row.hide()
        buttons = QHBoxLayout()
        buttons.addWidget(self.boxes_button)
        buttons.addWidget(self.points_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self._kind_row)
        self.boxes_button.clicked.connect(self.boxes_requested)
        self.points_button.clicked.connect(self.points_requested)
        self.kind_box.textActivated.connect(self.kind_requested)

    def show_kind(self, kind: str) -> None:
        """Show what new points mark; nothing where there is no layer of points."""
        self._kind_row.setVisible(bool(kind))
        self.kind_box.setCurrentText(kind)
