"""Help from around a slice: only what the open image has is shown."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from napari_sam_adapter.volumes.depth import NO_DEPTH, ONLY_TIME
from napari_sam_adapter.volumes.slice_source import SliceSource
from napari_sam_adapter.widgets.predict.help_choice import HelpChoice

SMOOTH = (
    "Average what is predicted with the neighbouring slices: standard deviation of the weights, in "
    "slices. For masks that flicker from slice to slice; 0.5 to 1 is usual."
)
HEED = "Let the corrected and accepted slices nearest to a slice say where objects are"
TILES = (256, 512, 1024)
SMOOTH_WIDTH = 132


class HelpPanel(QWidget):
    """Smooth across slices, heed corrected slices, three axes, tiles.

    Attributes
    ----------
    help_requested : Signal(object)
        A `HelpChoice`.
    """

    help_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.smooth_box = QDoubleSpinBox()
        self.smooth_box.setRange(0.0, 3.0)
        self.smooth_box.setSingleStep(0.5)
        self.smooth_box.setDecimals(1)
        self.smooth_box.setPrefix("Smooth ")
        self.smooth_box.setSpecialValueText("Smooth off")
        self.smooth_box.setFixedWidth(SMOOTH_WIDTH)
        self.heed_box = QCheckBox("Heed corrected")
        self.axes_box = QCheckBox("Three axes")
        self.tile_box = QComboBox()
        self.tile_box.addItem("Whole picture", 0)
        for side in TILES:
            self.tile_box.addItem(f"Tiles of {side}", side)
        self.tile_box.setToolTip(
            "Predict a large picture in overlapping tiles. For versions that learned from pictures "
            "of that size: what they know looks larger in a tile than in the whole."
        )
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in (self.smooth_box, self.heed_box):
            row.addWidget(widget)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.axes_box)
        layout.addWidget(self.tile_box)
        self.smooth_box.valueChanged.connect(self._announce)
        self.heed_box.toggled.connect(self._announce)
        self.axes_box.toggled.connect(self._announce)
        self.tile_box.currentIndexChanged.connect(self._announce)
        self.show_image(None)

    def show_image(self, source: SliceSource | None) -> None:
        """Offer what an image has: neighbouring slices, or a picture larger than a tile."""
        is_volume = source is not None and source.n_deep > 1
        # Whoever looks for the help of a stack is told why one of channels has none.
        is_stack = source is not None and (is_volume or (not source.depth and source.n_slices > 1))
        is_large = source is not None and max(source.slice_shape) > TILES[1]
        three_axes = ""
        if source is not None:
            three_axes = _about_three_axes(source.n_deep, *source.slice_shape)
        about = {self.smooth_box: SMOOTH, self.heed_box: HEED, self.axes_box: three_axes}
        for widget, tooltip in about.items():
            widget.setVisible(is_stack)
            widget.setEnabled(is_volume)
            widget.setToolTip(tooltip if is_volume else NO_DEPTH)
        if is_volume and source is not None and source.depth.is_time:
            self.axes_box.setEnabled(False)
            self.axes_box.setToolTip(ONLY_TIME)
        self.tile_box.setVisible(is_large)
        self.setVisible(is_stack or is_large)

    def reset(self) -> None:
        """Choose no help: what was chosen is kept from image to image, but not between projects."""
        self.smooth_box.setValue(0.0)
        self.heed_box.setChecked(False)
        self.axes_box.setChecked(False)
        self.tile_box.setCurrentIndex(0)

    def _announce(self, *_: object) -> None:
        choice = HelpChoice(
            round(self.smooth_box.value(), 1),
            self.heed_box.isChecked(),
            int(self.tile_box.currentData()),
            self.axes_box.isChecked(),
        )
        self.help_requested.emit(choice)


def _about_three_axes(depth: int, height: int, width: int) -> str:
    n_slices = depth + height + width
    return (
        "For Predict all: predict the slices across all three axes, and average. Only for a "
        "version that was trained on slices of all three: one that knows a single direction gets "
        "much worse. A cube takes three times as long, and the whole of it is read into memory; "
        f"this volume has {n_slices} slices across its axes instead of {depth}. A single slice is "
        "predicted without."
    )
