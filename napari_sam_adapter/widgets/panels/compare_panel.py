"""Compare the version in use with another one, on the slice in view."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam_adapter.versions.adapter_version import AdapterVersion
from napari_sam_adapter.widgets.panels.small import let_shrink
from napari_sam_adapter.widgets.panels.versions_panel import BASE_MODEL


class ComparePanel(QWidget):
    """What to compare with, and two buttons; hidden where there is one model only.

    Attributes
    ----------
    other_requested : Signal(object)
        A version number, or None for the base model.
    blink_requested, map_requested : Signal()
    """

    other_requested = Signal(object)
    blink_requested = Signal()
    map_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.other_box = QComboBox()
        let_shrink(self.other_box)
        self.other_box.setToolTip("What the version in use is compared with, on the slice in view")
        self.blink_button = QPushButton("Before / after")
        self.blink_button.setToolTip(
            "Show what the other version makes of this slice, then the one in use, then your masks "
            "again"
        )
        self.map_button = QPushButton("Change map")
        self.map_button.setToolTip(
            "On a corrected or accepted slice: what was fixed (green), broken (red) or stays wrong "
            "(yellow). Elsewhere: what was added (blue), removed (pink) or got another class "
            "(orange)."
        )
        chosen = QHBoxLayout()
        chosen.addWidget(QLabel("Compare with"))
        chosen.addWidget(self.other_box, 1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.blink_button)
        buttons.addWidget(self.map_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(chosen)
        layout.addLayout(buttons)
        self.other_box.activated.connect(
            lambda row: self.other_requested.emit(self.other_box.itemData(row))
        )
        self.blink_button.clicked.connect(self.blink_requested)
        self.map_button.clicked.connect(self.map_requested)

    def show_versions(
        self,
        versions: Sequence[AdapterVersion],
        active: AdapterVersion | None,
        other: AdapterVersion | None,
    ) -> None:
        """List what the version in use may be compared with, and choose one."""
        used, wanted = (None if one is None else one.number for one in (active, other))
        self.other_box.clear()
        for version in reversed(versions):
            if version.number != used:
                self.other_box.addItem(version.title, version.number)
        if active is not None:
            self.other_box.addItem(BASE_MODEL, None)
        rows = [self.other_box.itemData(row) for row in range(self.other_box.count())]
        self.other_box.setCurrentIndex(rows.index(wanted) if wanted in rows else -1)
        self.setVisible(bool(rows))
