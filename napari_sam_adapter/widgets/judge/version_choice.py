"""Choose, describe, export and delete versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import SamAdapterError

if TYPE_CHECKING:
    from napari_sam_adapter.session.session import Session


class VersionChoice(QObject):
    """What the person does with the versions of a project.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    chosen, refused : Signal()
        Another version is in use from now on, or the one in use stays.
    """

    said = Signal(str, bool)
    chosen = Signal()
    refused = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session

    def activate(self, number: int | None) -> None:
        """Let a version, or the base model, predict from now on."""
        try:
            self._session.activate(number)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            self.refused.emit()
            return
        self.chosen.emit()
        self.said.emit(f"From now on, {self._session.in_use.name} predicts.", False)

    def load_file(self, path: Path) -> None:
        """Take an adapter file into the versions and use it."""
        try:
            version = self._session.load_adapter_file(path)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        self.chosen.emit()
        self.said.emit(f"{path.name} is now v{version.number} and in use.", False)

    def describe(self, number: int, name: str, note: str) -> None:
        """Keep a name and a note of a version."""
        self._try(lambda: self._session.describe_version(number, name, note), "")

    def delete(self, number: int) -> None:
        """Delete a version that is not in use."""
        self._try(
            lambda: self._session.delete_version(number),
            f"v{number} is deleted; what it predicted stays.",
        )

    def export(self, number: int, path: Path) -> None:
        """Copy a version to a file."""
        self._try(lambda: self._session.store.export(number, path), f"Exported to {path}.")

    def _try(self, act: Callable[[], object], done: str) -> None:
        """Act, and say that it is done or why not."""
        try:
            act()
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        if done:
            self.said.emit(done, False)
