"""Small things that panels share: lists that may shrink, menus of rows, sentences."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtGui import QContextMenuEvent
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QToolTip,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

# Each is read well (4.5 : 1) on the grounds of napari's themes of its kind.
PROBLEM_ON_DARK, PROBLEM_ON_LIGHT = "#f08a6e", "#a32a12"
TEXT_MARGIN = 4  # pixels that styles leave around the text of a list
_SHORTEST = 8
HALF = 128


def let_shrink(box: QComboBox) -> None:
    """Let a list be narrower than its longest entry: that is elided, and whole in the tooltip."""
    box.installEventFilter(_Elided(box))
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_SHORTEST)


class Said(QLabel):
    """A sentence for the person; red where something went wrong, also under another theme."""

    _is_problem = False  # Qt sends events while the constructor still runs

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setWordWrap(True)

    def say(self, sentence: str, is_problem: bool) -> None:
        """Show a sentence."""
        self._is_problem = is_problem
        self._colour()
        self.setText(sentence)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._colour()

    def _colour(self) -> None:
        is_dark = self.palette().window().color().lightness() < HALF
        colour = PROBLEM_ON_DARK if is_dark else PROBLEM_ON_LIGHT
        style = f"color: {colour};" if self._is_problem else ""
        if style != self.styleSheet():  # that, too, is a change of style
            self.setStyleSheet(style)


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


def asked_about(
    rows: QListWidget | QTreeWidget, event: QContextMenuEvent
) -> tuple[QListWidgetItem | QTreeWidgetItem | None, QPoint]:
    """Return the row that a context menu is asked for, and where on the screen the menu goes.

    The Menu key means the current row. Its event has a place in the coordinates of the whole list
    (with its header), not in those of the rows: there lies another row.
    """
    position, item = event.pos(), rows.itemAt(event.pos())
    if event.reason() == QContextMenuEvent.Reason.Keyboard:
        item = rows.currentItem()
        position = QPoint() if item is None else rows.visualItemRect(item).center()
    return item, rows.viewport().mapToGlobal(position)


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
