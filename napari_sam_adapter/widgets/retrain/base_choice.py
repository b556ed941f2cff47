"""Choose the base model that is adapted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.sam.at_a_glance import own_base
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.widgets.jobs import Job

if TYPE_CHECKING:
    from napari_sam_adapter.session.session import Session


class BaseChoice(QObject):
    """Lets another base model be adapted from now on.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    refused : Signal()
        The base model stays.
    """

    said = Signal(str, bool)
    refused = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._job: Job | None = None
        session.project_changed.connect(self.forget)

    def choose(self, name: str) -> None:
        """Adapt another base model; a file of the person's own is read first."""
        self.forget()
        if "@" not in name:
            self._use(name)
            return
        self.said.emit(f"Reading {Path(name.partition('@')[2]).name}…", False)
        job = Job(lambda: [own_base(name)], "reading weights", lambda: None, self)
        job.event_reported.connect(self._use)
        job.failed.connect(self._refuse)
        self._job = job
        job.start()

    def forget(self) -> None:
        """Use no more what is still being read: something else was chosen meanwhile."""
        job, self._job = self._job, None
        if job is not None:
            job.let_go()

    def _use(self, name: str) -> None:
        try:
            self._session.choose_base(name)
        except SamAdapterError as error:
            self._refuse(str(error))
            return
        base = base_model(self._session.in_use.base)
        if base.weights.is_here:
            self.said.emit(f"{base.short_name} is the base model from now on.", False)
        else:
            self.said.emit(f"The weights of {base.name} are not here yet: download them.", False)

    def _refuse(self, message: str) -> None:
        self.said.emit(message, True)
        self.refused.emit()
