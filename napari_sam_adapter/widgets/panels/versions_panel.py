"""The adapter versions as a timeline: click one to use it; rename, note, export, delete, load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import QPoint, QSize, Qt, Signal
from qtpy.QtGui import QContextMenuEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QMenu,
    QMessageBox,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_sam_adapter.versions.adapter_version import AdapterVersion
from napari_sam_adapter.widgets.panels.small import asked_about, menu_button
from napari_sam_adapter.widgets.panels.version_details import VersionDetails

FILE_FILTER = "Adapters (*.safetensors)"
BASE_MODEL = "base model"
COLUMNS = ("Version", "Slices", "Dice", "Made")
SLICES, DICE, MADE = 1, 2, 3
ROWS_SHOWN = 5
ROW_HEIGHT = 22
NAME_MARGIN = 10
IN_USE = "●"
HELD_BACK = "⊘"
DETAILS = Qt.ItemDataRole.UserRole + 1
TOOLTIP = (
    "What predicts, marked ●; retraining continues from it. Click another one, or press Enter on "
    "it, to use it; right-click, or ⋯, to rename, annotate, export or delete it. ⊘ is held back."
)
DICE_TOOLTIP = "Dice on the held-out slices, before → after training; ⊘: the version is held back"


class VersionRows(QTreeWidget):
    """Rows whose first column is read first: where room is short, others give way to it.

    Attributes
    ----------
    menu_requested : Signal(object, QPoint)
        A row, or None, and where on the screen the menu goes.
    """

    menu_requested = Signal(object, QPoint)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the menu of a row."""
        self.menu_requested.emit(*asked_about(self, event))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show what fits."""
        super().resizeEvent(event)
        self.fit_columns()

    def fit_columns(self) -> None:
        """Leave out slices, and when it was made, where they would cut names off."""
        header = self.header()
        rows = [self.topLevelItem(row) for row in range(self.topLevelItemCount())]
        names = [row.text(0) for row in rows if row.data(0, Qt.ItemDataRole.UserRole) is not None]
        widths = [self.fontMetrics().horizontalAdvance(name) + NAME_MARGIN for name in names]
        room = self.viewport().width() - max(widths, default=0)
        for column in (DICE, MADE, SLICES):  # the most telling first
            room -= max(self.sizeHintForColumn(column), header.sectionSizeHint(column))
            self.setColumnHidden(column, column != DICE and room < 0)


class VersionsPanel(QWidget):
    """A row per version, the newest first, the base model last; under it, more about one of them.

    Attributes
    ----------
    version_requested : Signal(object)
        A version number, or None for the base model.
    load_requested : Signal(Path)
    export_requested : Signal(int, Path)
    description_requested : Signal(int, str, str)
        A version, its new name and its new note.
    delete_requested : Signal(int)
    """

    version_requested = Signal(object)
    load_requested = Signal(object)
    export_requested = Signal(int, object)
    description_requested = Signal(int, str, str)
    delete_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._versions: dict[int, AdapterVersion] = {}
        self.list = VersionRows()
        self.list.setHeaderLabels(COLUMNS)
        self.list.headerItem().setToolTip(DICE, DICE_TOOLTIP)
        self.list.setAccessibleName("Adapter versions")
        self.list.setToolTip(TOOLTIP)
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.menu_requested.connect(self._show_menu)
        self.list.itemClicked.connect(self._on_chosen)
        self.list.itemActivated.connect(self._on_chosen)
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.menu_button = menu_button(
            self.menu, "Load an adapter file; rename, export or delete a version"
        )
        self.details = VersionDetails()
        self.list.currentItemChanged.connect(self._show_details)
        row = QHBoxLayout()
        row.addWidget(self.list, 1)
        row.addWidget(self.menu_button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.details)

    def show_versions(
        self,
        versions: Sequence[AdapterVersion],
        active: AdapterVersion | None,
        name_of: Callable[[str], str],
    ) -> None:
        """List versions, the newest first, and mark the one in use.

        Parameters
        ----------
        versions : sequence of AdapterVersion
        active : AdapterVersion or None
        name_of : callable
            Names the version of an adapter id.
        """
        self._versions = {version.number: version for version in versions}
        self.list.clear()
        in_use = None if active is None else active.number
        for version in reversed(versions):
            details = version.details(name_of(version.card.parent_id))
            slices = version.scores_of_slices
            self._add(version.number, _columns(version), details, in_use, slices)
        self._add(None, (BASE_MODEL, "", "", ""), "Predicts without an adapter", in_use)
        rows = min(self.list.topLevelItemCount(), ROWS_SHOWN)
        # Under another theme the header may be a little higher: no reason for a scroll bar.
        fits = rows == self.list.topLevelItemCount()
        policy = Qt.ScrollBarPolicy
        bar = policy.ScrollBarAlwaysOff if fits else policy.ScrollBarAsNeeded
        self.list.setVerticalScrollBarPolicy(bar)
        frame = self.list.header().sizeHint().height() + 2 * self.list.frameWidth() + 2
        self.list.setFixedHeight(ROW_HEIGHT * rows + frame)
        self.list.fit_columns()

    def choose(self, number: int | None) -> None:
        """Click the row of a version; None is the base model."""
        self._on_chosen(self._item(number))

    @property
    def chosen(self) -> int | None:
        """Number of the row in focus; None is the base model."""
        item = self.list.currentItem()
        return None if item is None else item.data(0, Qt.ItemDataRole.UserRole)

    def _add(
        self,
        number: int | None,
        columns: Sequence[str],
        details: str,
        in_use: int | None,
        slices: str = "",
    ) -> None:
        item = QTreeWidgetItem(list(columns))
        item.setData(0, Qt.ItemDataRole.UserRole, number)
        item.setData(0, DETAILS, "\n".join(filter(None, (details, slices))))
        item.setData(0, Qt.ItemDataRole.AccessibleDescriptionRole, details)
        said = item.text(DICE).replace(HELD_BACK, "held back")
        item.setData(DICE, Qt.ItemDataRole.AccessibleTextRole, said)
        item.setSizeHint(0, QSize(0, ROW_HEIGHT))
        for column in range(len(COLUMNS)):
            item.setToolTip(column, details)
        item.setText(0, f"{IN_USE if number == in_use else '   '} {item.text(0)}")
        self.list.addTopLevelItem(item)
        item.setFirstColumnSpanned(number is None)
        if number == in_use:
            self.list.setCurrentItem(item)

    def _item(self, number: int | None) -> QTreeWidgetItem:
        rows = [self.list.topLevelItem(row) for row in range(self.list.topLevelItemCount())]
        return next(row for row in rows if row.data(0, Qt.ItemDataRole.UserRole) == number)

    def _show_details(self, item: QTreeWidgetItem | None) -> None:
        self.details.show_text("" if item is None else item.data(0, DETAILS))

    def _on_chosen(self, item: QTreeWidgetItem) -> None:
        self.version_requested.emit(item.data(0, Qt.ItemDataRole.UserRole))

    def _show_menu(self, item: QTreeWidgetItem | None, place: QPoint) -> None:
        if item is not None:
            self.list.setCurrentItem(item)
        self._fill_menu()
        self.menu.popup(place)

    def _fill_menu(self) -> None:
        self.menu.clear()
        version = self._versions.get(self.chosen or 0)
        if version is not None:
            title = f"v{version.number}"
            self.menu.addAction(f"Rename {title}…", lambda: self._ask_name(version))
            self.menu.addAction(f"Note on {title}…", lambda: self._ask_note(version))
            self.menu.addAction(f"Export {title}…", lambda: self._ask_export(version))
            self.menu.addAction(f"Delete {title}…", lambda: self._ask_delete(version))
            self.menu.addSeparator()
        self.menu.addAction("Load an adapter file…", self._ask_load)

    def _ask_name(self, version: AdapterVersion) -> None:
        name, given = QInputDialog.getText(
            self, f"Rename v{version.number}", "Name:", text=version.name
        )
        if given:
            self.description_requested.emit(version.number, name, version.note)

    def _ask_note(self, version: AdapterVersion) -> None:
        note, given = QInputDialog.getMultiLineText(
            self, f"Note on v{version.number}", "Note:", version.note
        )
        if given:
            self.description_requested.emit(version.number, version.name, note)

    def _ask_delete(self, version: AdapterVersion) -> None:
        answer = QMessageBox.question(
            self,
            f"Delete v{version.number}?",
            f"{version.details()}\n\nIts file is deleted for good. Masks that it predicted stay.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.delete_requested.emit(version.number)

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load an adapter", "", FILE_FILTER)
        if path:
            self.load_requested.emit(Path(path))

    def _ask_export(self, version: AdapterVersion) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, f"Export v{version.number}", f"v{version.number}.safetensors", FILE_FILTER
        )
        if path:
            self.export_requested.emit(version.number, Path(path))


def _columns(version: AdapterVersion) -> tuple[str, str, str, str]:
    slices = version.card.training.get("n_slices", "")
    held_back = "" if version.verdict.promoted else HELD_BACK
    scores = " ".join(filter(None, (held_back, version.scores)))
    return version.title, str(slices), scores, _when(version.made)


def _when(made: datetime | None) -> str:
    """Tell the hour of today, else the day."""
    if made is None:
        return ""
    today = datetime.now().astimezone().date()
    return f"{made:%H:%M}" if made.date() == today else f"{made.day} {made:%b}"
