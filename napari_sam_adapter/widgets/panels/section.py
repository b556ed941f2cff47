"""A section of the dock: a heading that folds what is under it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QSizePolicy, QToolButton, QVBoxLayout, QWidget

# Pixels: on a small screen every one of them counts.
SPACING = 3


class Section(QWidget):
    """Panels under a heading; a click or the space bar on the heading folds and unfolds them.

    Parameters
    ----------
    title : str
    panels : sequence of QWidget
    """

    def __init__(self, title: str, panels: Sequence[QWidget]) -> None:
        super().__init__()
        self.title = title
        self.heading = QToolButton()
        self.heading.setText(title)
        self.heading.setToolTip("Folds or unfolds this section; it stays so tomorrow")
        self.heading.setCheckable(True)
        self.heading.setChecked(True)
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.heading.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.heading.setStyleSheet(
            "QToolButton { background: transparent; border: none; padding: 2px 0; "
            "font-weight: bold; text-align: left; }"
        )
        self.body = QWidget()
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        for panel in panels:
            column.addWidget(panel)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFrameShadow(QFrame.Shadow.Sunken)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        for widget in (self.heading, self.body, line):
            layout.addWidget(widget)
        self.heading.toggled.connect(self._fold)
        self._fold(True)

    def _fold(self, is_open: bool) -> None:
        self.body.setVisible(is_open)
        arrow = Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow
        self.heading.setArrowType(arrow)
