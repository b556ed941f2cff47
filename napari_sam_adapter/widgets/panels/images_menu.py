"""The menu of a project's images."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QWidget

from napari_sam_adapter.project.overview import ImageOverview

if TYPE_CHECKING:
    from qtpy.QtGui import QAction

NO_IMAGES = "(nothing was worked on yet)"


class ImagesMenu(QMenu):
    """An entry per record: its image's name and what is there; the one that is open is checked.

    Attributes
    ----------
    image_requested : Signal(Path)
        Open the image of this record.
    troubles_requested : Signal(object)
        Say these sentences, one about each record that cannot be read.
    """

    image_requested = Signal(object)
    troubles_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Images of this project", parent)
        # Else hundreds of entries stand side by side, wider than the screen.
        self.setStyleSheet("QMenu { menu-scrollable: 1; }")
        self._actions: dict[Path, QAction] = {}

    def show_images(
        self,
        overviews: Sequence[ImageOverview],
        opened: Path | None,
        troubles: Sequence[str] = (),
    ) -> None:
        """List records; more may be told of each later, see `show_image`.

        Parameters
        ----------
        overviews : sequence of ImageOverview
        opened : Path or None
            The record that is open.
        troubles : sequence of str
            A sentence about each record that cannot be read.
        """
        self.clear()
        self._actions = {}
        for overview in overviews:
            record = overview.record
            action = self.addAction(
                "", lambda checked=False, record=record: self.image_requested.emit(record)
            )
            action.setCheckable(record == opened)
            action.setChecked(record == opened)
            self._actions[record] = action
            self.show_image(overview)
        if troubles:
            n = len(troubles)
            self.addAction(
                "1 image cannot be read: say why"
                if n == 1
                else f"{n} images cannot be read: say why",
                lambda: self.troubles_requested.emit(list(troubles)),
            )
        elif not overviews:
            self.addAction(NO_IMAGES).setEnabled(False)

    def show_image(self, overview: ImageOverview) -> None:
        """Say what is known of a record now."""
        action = self._actions.get(overview.record)
        if action is not None:
            # An & would underline the letter after it.
            action.setText(overview.in_words(date.today()).replace("&", "&&"))
