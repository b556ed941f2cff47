"""Small things that several panels share: lists that may shrink, the button of a menu."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QMenu,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QToolTip,
)

PROBLEM_COLOUR = "#e8785a"
TEXT_MARGIN = 4  # pixels that styles leave around the text of a list
_SHORTEST = 8


def let_shrink(box: QComboBox) -> None:
    """Let a list be narrower than its longest entry: that is elided, and whole in the tooltip."""
    box.installEventFilter(_Elided(box))
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_SHORTEST)


class _Elided(QObject):
    """Draws the chosen entry of a list with an ellipsis where it is too long."""

    def eventFilter(self, box: QObject, event: QEvent) -> bool:
        """Draw the list, or show its tooltip, in Qt's place."""
        if not isinstance(box, QComboBox):
            return False
        if event.type() == QEvent.Type.Paint:
            painter = QStylePainter(box)
            option = QStyleOptionComboBox()
            box.initStyleOption(option)
            option.currentText = elided_text(box)
            painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
            painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
            return True
        if event.type() == QEvent.Type.ToolTip and elided_text(box) != box.currentText():
            whole = "\n\n".join(filter(None, (box.currentText(), box.toolTip())))
            QToolTip.showText(event.globalPos(), whole, box)
            return True
        return False


def elided_text(box: QComboBox) -> str:
    """Return what of the chosen entry of a list there is room for."""
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    field = box.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
    )
    text, width = box.currentText() or box.placeholderText(), field.width() - TEXT_MARGIN
    return str(box.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, width))


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
