"""Which base model is adapted; download its weights, or use a file of one's own."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam_adapter.sam.base_model import BaseModel
from napari_sam_adapter.sam.registry import BASE_MODELS, base_model
from napari_sam_adapter.sam.weight_files import models_folder
from napari_sam_adapter.widgets.panels.small import let_shrink, menu_button

WEIGHTS_FILTER = "SAM weights (*.pth *.pt *.safetensors)"


class ModelsPanel(QWidget):
    """A list of base models with licence, size and whether they are here; a download button.

    Attributes
    ----------
    base_requested : Signal(str)
        Name of a base model, with the file where the weights are one's own.
    fetch_requested : Signal(str)
    cancel_requested : Signal()
    """

    base_requested = Signal(str)
    fetch_requested = Signal(str)
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = ""
        self.base_box = QComboBox()
        let_shrink(self.base_box)
        self.base_box.activated.connect(self._on_activated)
        menu = QMenu(self)
        menu.addAction("Use a weights file for this model…", self._ask_file)
        self.menu_button = menu_button(menu, "Use a weights file of your own")
        self.fetch_button = QPushButton()
        self.fetch_button.clicked.connect(lambda: self.fetch_requested.emit(self._shown))
        self.progress = QProgressBar()
        self.progress.setMaximum(1000)
        self.progress.setToolTip("How much of the weights has arrived")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop the download; what has arrived is kept")
        self.cancel_button.clicked.connect(self.cancel_requested)
        self._running = QWidget()
        running = QHBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.addWidget(self.progress, 1)
        running.addWidget(self.cancel_button)
        choice = QHBoxLayout()
        choice.addWidget(self.base_box, 1)
        choice.addWidget(self.menu_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(choice)
        layout.addWidget(self.fetch_button)
        layout.addWidget(self._running)
        self._running.hide()
        self.fetch_button.hide()

    def show_base(self, name: str) -> None:
        """List the models, mark one, and offer its download where its weights are not here."""
        self._shown = name
        chosen = base_model(name)
        models = list(BASE_MODELS.values())
        if chosen.name not in BASE_MODELS:
            models.insert(0, chosen)
        self.base_box.clear()
        for model in models:
            self.base_box.addItem(_label(model), model.name)
        self.base_box.setCurrentIndex([model.name for model in models].index(chosen.name))
        self.base_box.setToolTip(
            f"The model that adapters are trained for.\n{chosen.title}\nLicence: {chosen.licence}\n"
            f"Source: {chosen.source}\nDownloads are kept in {models_folder()}"
        )
        self.fetch_button.setText(f"Download {chosen.name} ({_megabytes(chosen)})")
        self.fetch_button.setToolTip(f"From {chosen.weights.url}")
        self.fetch_button.setVisible(not chosen.weights.is_here and self._running.isHidden())

    def show_progress(self, done: int, total: int) -> None:
        """Show how much of a download is here; a total of 0 means that none runs."""
        self._running.setVisible(total > 0)
        self.base_box.setEnabled(total == 0)
        if total:
            self.fetch_button.hide()
            self.progress.setValue(round(1000 * done / total))
            self.progress.setFormat(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")
        elif self._shown:
            self.show_base(self._shown)

    def _on_activated(self, row: int) -> None:
        self.base_requested.emit(self.base_box.itemData(row))

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Weights", "", WEIGHTS_FILTER)
        if path:
            self.use_file(Path(path))

    def use_file(self, path: Path) -> None:
        """Ask for a file of one's own as the weights of the model that is shown."""
        self.base_requested.emit(f"{base_model(self._shown).short_name}@{path}")


def _label(model: BaseModel) -> str:
    where = "here" if model.weights.is_here else "to download"
    name = model.short_name if model.weights.path is None else f"{model.short_name} from a file"
    file = f" {model.weights.name}" if model.weights.path is not None else ""
    return f"{name}{file} · {where} · {_megabytes(model)} · {model.licence}"


def _megabytes(model: BaseModel) -> str:
    return f"{model.weights.n_bytes / 1e6:.0f} MB"
