"""Which adapter version predicts; load, export, another folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QMenu, QToolButton, QWidget

from napari_sam_adapter.versions import AdapterVersion
from napari_sam_adapter.widgets.sizes import let_shrink

FILE_FILTER = "Adapters (*.safetensors)"
BASE_MODEL_LABEL = "base model (no adapter)"


class VersionsPanel(QWidget):
    """A list of versions and a menu.

    Attributes
    ----------
    version_requested : Signal(object)
        A version number, or None for the base model.
    load_requested, export_requested : Signal(Path)
    """

    version_requested = Signal(object)
    load_requested = Signal(object)
    export_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.version_box = QComboBox()
        self.version_box.setToolTip("The model that predicts. Retraining continues from it.")
        let_shrink(self.version_box)
        self.version_box.activated.connect(self._on_activated)
        self.menu_button = QToolButton()
        self.menu_button.setText("⋯")
        self.menu_button.setToolTip("Load or export a version")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.menu_button)
        menu.addAction("Load an adapter file…", self._ask_load)
        menu.addAction("Export the version in use…", self._ask_export)
        self.menu_button.setMenu(menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.version_box, 1)
        layout.addWidget(self.menu_button)

    def show_versions(
        self, versions: Sequence[AdapterVersion], active: AdapterVersion | None
    ) -> None:
        """List versions, the newest first, and mark the one in use."""
        self.version_box.clear()
        for version in reversed(versions):
            self.version_box.addItem(version.label, version.number)
            row = self.version_box.count() - 1
            self.version_box.setItemData(row, version.details, Qt.ItemDataRole.ToolTipRole)
        self.version_box.addItem(BASE_MODEL_LABEL, None)
        wanted = None if active is None else active.number
        numbers = [self.version_box.itemData(row) for row in range(self.version_box.count())]
        self.version_box.setCurrentIndex(numbers.index(wanted) if wanted in numbers else -1)
        used = "" if active is None else f"{active.details}\n\n"
        self.version_box.setToolTip(f"{used}The model that predicts. Retraining continues from it.")

    def _on_activated(self, row: int) -> None:
        self.version_requested.emit(self.version_box.itemData(row))

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load an adapter", "", FILE_FILTER)
        if path:
            self.load_requested.emit(Path(path))

    def _ask_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export the version in use", "adapter.safetensors", FILE_FILTER
        )
        if path:
            self.export_requested.emit(Path(path))
