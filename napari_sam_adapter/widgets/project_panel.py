"""Which project is open, and what is in it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QWidget

from napari_sam_adapter.widgets.images_menu import ImagesMenu
from napari_sam_adapter.widgets.small import menu_button

FILE_FILTER = "Images (*.tif *.tiff *.nii *.nii.gz *.dcm *.png *.jpg *.jpeg);;All files (*)"


class ProjectPanel(QWidget):
    """The project's name, and a menu.

    Attributes
    ----------
    folder_requested : Signal(Path)
        Open the project in this folder, or begin one there.
    image_requested : Signal(Path)
        Open the image of this record.
    images_requested : Signal()
        The menu of images opens: list them.
    file_requested : Signal(Path)
        Open an image file without reading it into memory.
    images_menu : ImagesMenu
    """

    folder_requested = Signal(object)
    image_requested = Signal(object)
    images_requested = Signal()
    file_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = QLabel()
        menu = QMenu(self)
        menu.addAction("Open another project folder…", self._ask_folder)
        self.images_menu = ImagesMenu(menu)
        self.images_menu.aboutToShow.connect(self.images_requested)
        self.images_menu.image_requested.connect(self.image_requested)
        menu.addMenu(self.images_menu)
        menu.addAction("Open an image file, slice by slice…", self._ask_file)
        self.menu_button = menu_button(menu, "Open another project, or an image of this one")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.name, 1)
        layout.addWidget(self.menu_button)

    def show_project(self, folder: Path) -> None:
        """Show which project is open."""
        self.name.setText(folder.name)
        self.setToolTip(
            f"{folder}\nEvery stroke, prediction and version is kept there; opening an image again "
            "brings its masks back."
        )

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Project folder")
        if path:
            self.folder_requested.emit(Path(path))

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open an image slice by slice", "", FILE_FILTER)
        if path:
            self.file_requested.emit(Path(path))
