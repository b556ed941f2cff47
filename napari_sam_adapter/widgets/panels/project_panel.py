"""Which project is open, and what is in it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from napari_sam_adapter.widgets.panels.images_menu import ImagesMenu
from napari_sam_adapter.widgets.panels.small import Said, menu_button

FILE_FILTER = "Images (*.tif *.tiff *.nii *.nii.gz *.dcm *.png *.jpg *.jpeg);;All files (*)"


class ProjectPanel(QWidget):
    """The project's name, and a menu.

    Attributes
    ----------
    folder_requested : Signal(Path)
        Open the project in this folder, or begin one there.
    image_requested : Signal(Path)
        Open the image of this record.
    troubles_requested : Signal(object)
        Say these sentences about images that cannot be read.
    images_requested : Signal()
        The menu of images opens: list them.
    file_requested : Signal(Path)
        Open an image file without reading it into memory.
    place_requested : Signal()
        Say where the project lies, and copy that.
    images_menu : ImagesMenu
    not_recorded : QLabel
        Stays as long as something that was done is not on the disk.
    """

    folder_requested = Signal(object)
    image_requested = Signal(object)
    troubles_requested = Signal(object)
    images_requested = Signal()
    file_requested = Signal(object)
    place_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = QLabel()
        self.menu = menu = QMenu(self)
        menu.addAction("Open another project folder…", self._ask_folder)
        self.images_menu = ImagesMenu(menu)
        self.images_menu.aboutToShow.connect(self.images_requested)
        self.images_menu.image_requested.connect(self.image_requested)
        self.images_menu.troubles_requested.connect(self.troubles_requested)
        menu.addMenu(self.images_menu)
        menu.addAction("Open an image file, slice by slice…", self._ask_file)
        menu.addAction("Copy where this project lies", self.place_requested.emit)
        self.menu_button = menu_button(menu, "Open another project, or an image of this one")
        self.not_recorded = Said()
        self.not_recorded.hide()
        line = QHBoxLayout()
        line.addWidget(self.name, 1)
        line.addWidget(self.menu_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self.not_recorded)

    def show_project(self, folder: Path) -> None:
        """Show which project is open."""
        self.name.setText(folder.name)
        where = (
            f"{folder}\nEvery stroke, prediction and version is kept there; opening an image again "
            "brings its masks back."
        )
        self.setToolTip(where)
        self.name.setAccessibleDescription(where)

    def show_problem(self, problem: str, *, is_tried_again: bool = False) -> None:
        """Show why something that was done is not on the disk; nothing where all is."""
        said = f"{problem} It is tried again by itself." if is_tried_again else problem
        self.not_recorded.say(said, bool(problem))
        self.not_recorded.setVisible(bool(problem))

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Project folder")
        if path:
            self.folder_requested.emit(Path(path))

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open an image slice by slice", "", FILE_FILTER)
        if path:
            self.file_requested.emit(Path(path))
