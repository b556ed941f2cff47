"""What the labels stand for: a list of classes, each with its colour."""

from __future__ import annotations

from qtpy.QtCore import QPoint, QSize, Qt, Signal
from qtpy.QtGui import QColor, QContextMenuEvent, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam_adapter.adapter.classes import MAX_CLASSES, Classes
from napari_sam_adapter.widgets.panels.small import asked_about

ROWS_SHOWN = 5
ROW_HEIGHT = 22
WHAT_TO_DO = (
    "What you paint with. Double-click a class to rename it; right-click it for its colour."
)
SWATCH = 12


class ClassRows(QListWidget):
    """A list that tells which row a menu is asked for.

    Attributes
    ----------
    menu_requested : Signal(object, QPoint)
        A row, or None, and where on the screen the menu goes.
    """

    menu_requested = Signal(object, QPoint)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the menu of a row."""
        self.menu_requested.emit(*asked_about(self, event))


class ClassesPanel(QWidget):
    """A row per class: click it to paint with it, double-click it to rename it.

    Attributes
    ----------
    class_requested : Signal(int)
        The label to paint with.
    rename_requested : Signal(int, str)
        A label and the new name of its class.
    recolor_requested : Signal(int, str)
        A label and the new colour of its class, ``#rrggbb``.
    add_requested, remove_requested : Signal()
    """

    class_requested = Signal(int)
    rename_requested = Signal(int, str)
    recolor_requested = Signal(int, str)
    add_requested = Signal()
    remove_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes = Classes()
        self.list = ClassRows()
        self.list.setToolTip(WHAT_TO_DO)
        self.list.setAccessibleName("Classes")
        self.list.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.add_button = QToolButton()
        self.add_button.setText("+")
        self.remove_button = QToolButton()
        self.remove_button.setText("−")
        self.remove_button.setToolTip("Remove the last class; what is painted stays")
        buttons = QVBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.remove_button)
        buttons.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list, 1)
        layout.addLayout(buttons)
        self.list.menu_requested.connect(self._show_menu)
        self.list.currentRowChanged.connect(self._on_row_changed)
        self.list.itemChanged.connect(self._on_item_changed)
        self.add_button.clicked.connect(self.add_requested)
        self.remove_button.clicked.connect(self.remove_requested)
        self.show_classes(self._classes)

    def show_classes(self, classes: Classes) -> None:
        """List the classes; the chosen row stays."""
        self._classes = classes
        row = min(max(self.list.currentRow(), 0), len(classes) - 1)
        self.list.blockSignals(True)
        # Rows are changed in place: one of them may be the editor that has just been closed.
        while self.list.count() > len(classes):
            self.list.takeItem(self.list.count() - 1)
        while self.list.count() < len(classes):
            item = QListWidgetItem()
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setSizeHint(QSize(0, ROW_HEIGHT))
            self.list.addItem(item)
        for number, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True)):
            self.list.item(number).setText(name)
            self.list.item(number).setToolTip(f"{name}\n{WHAT_TO_DO}")
            # A single class has whatever colour the masks layer has.
            self.list.item(number).setIcon(_swatch(color) if len(classes) > 1 else QIcon())
        self.list.setCurrentRow(row)
        self.list.blockSignals(False)
        rows = min(len(classes), ROWS_SHOWN)
        self.list.setFixedHeight(ROW_HEIGHT * rows + 2 * self.list.frameWidth() + 2)
        # One class needs no choice, and no room for taking it away.
        self.remove_button.setVisible(len(classes) > 1)
        has_room = len(classes) < MAX_CLASSES
        self.add_button.setEnabled(has_room)
        self.add_button.setToolTip(
            "Add a class; the next retraining learns it"
            if has_room
            else f"{MAX_CLASSES} classes are the most that can be told apart"
        )

    def show_selected(self, label: int) -> None:
        """Mark the class that the masks layer paints with; none for any other label."""
        self.list.blockSignals(True)
        self.list.setCurrentRow(label - 1 if 1 <= label <= len(self._classes) else -1)
        self.list.blockSignals(False)

    def _show_menu(self, item: QListWidgetItem | None, place: QPoint) -> None:
        if item is None:
            return
        menu = QMenu(self)
        menu.addAction("Rename", lambda: self.list.editItem(item))
        # A single class has whatever colour the masks layer has.
        recolor = menu.addAction("Choose a colour…", lambda: self.ask_color(self.list.row(item)))
        recolor.setEnabled(len(self._classes) > 1)
        menu.exec_(place)

    def ask_color(self, row: int) -> None:
        """Let the person choose the colour of the class in a row."""
        before = QColor(self._classes.colors[row])
        chosen = QColorDialog.getColor(before, self, f"Colour of {self._classes.names[row]}")
        if chosen.isValid():
            self.recolor_requested.emit(row + 1, chosen.name())

    def _on_row_changed(self, row: int) -> None:
        if row >= 0:
            self.class_requested.emit(row + 1)

    def _on_item_changed(self, item: QListWidgetItem) -> None:
        row = self.list.row(item)
        if item.text() != self._classes.names[row]:
            self.rename_requested.emit(row + 1, item.text())


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(SWATCH, SWATCH)
    pixmap.fill(QColor(color))
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # else Qt tints the chosen row
    return icon
