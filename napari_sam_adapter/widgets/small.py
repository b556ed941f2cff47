"""Small things that several panels share: lists that may shrink, the button of a menu."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QMenu, QToolButton

PROBLEM_COLOUR = "#e8785a"
_SHORTEST = 8


def let_shrink(box: QComboBox) -> None:
    """Let a list be narrower than its longest entry."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_SHORTEST)


def menu_button(menu: QMenu, tooltip: str) -> QToolButton:
    """Return a small button ⋯ that opens a menu."""
    button = QToolButton()
    button.setText("⋯")
    button.setToolTip(tooltip)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    # Qt's own arrow would be drawn over the dots.
    button.setStyleSheet("QToolButton::menu-indicator { image: none; width: 0; }")
    button.setMenu(menu)
    return button
