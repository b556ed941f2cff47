"""Open the record of what is chosen, in the background, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.record_opening import (
    Handover,
    LookedAt,
    Opened,
    RecordOpening,
)
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.layers.binding import LayerBinding, source_of
from napari_sam_adapter.widgets.readers import PATIENT
from napari_sam_adapter.widgets.record.image_notes import ImageNotes
from napari_sam_adapter.widgets.record.not_recorded import NotRecorded
from napari_sam_adapter.widgets.record.open_records import OpenRecords
from napari_sam_adapter.widgets.record.restoring import MARKS, is_from_elsewhere
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam_adapter.project.project import Project
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

REST_MS = 300  # an image that is replaced again and again is not identified each time


@dataclass(frozen=True, slots=True)
class Chosen:
    """For what a record is opened; `binding` is None where the image has no masks yet."""

    image: Image
    binding: LayerBinding | None
    project: Project


class RecordOpener(QObject):
    """Finds the record of an image's masks, as long as nothing else is chosen meanwhile.

    Parameters
    ----------
    session : Session
    layers : LayerChoice
    records : OpenRecords
        Those that are open already.
    notes : ImageNotes
    lacking : NotRecorded
    told : callable
        See `JournalWriter`.
    parent : QObject or None

    Attributes
    ----------
    identified : Signal(object, object)
        An image, and its `ImageIdentity`.
    opened, looked_at : Signal(object, object)
        What is `Chosen`, and an `Opened` record, or one that can be `LookedAt` alone.
    refused : Signal(object, str)
        What is `Chosen`, and why its record cannot be opened.
    settled : Signal(object)
        That is done for an image.
    """

    identified = Signal(object, object)
    opened = Signal(object, object)
    looked_at = Signal(object, object)
    refused = Signal(object, str)
    settled = Signal(object)

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        records: OpenRecords,
        notes: ImageNotes,
        lacking: NotRecorded,
        told: Callable[[str], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._told = session, layers, told
        self._records, self._notes, self._lacking = records, notes, lacking
        self._last: Chosen | None = None
        self._job: Job | None = None
        self._handover = Handover()
        self._is_open = True
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(guarded(self, self.look, once=True))

    @property
    def is_busy(self) -> bool:
        """Whether a record is being opened, or will be in a moment."""
        return self._job is not None or self._rest.isActive()

    def look(self) -> None:
        """Open the record of what is chosen now, unless that is done or was refused just now."""
        chosen = self._chosen()
        if chosen is None or self._rest.isActive() or chosen.binding in self._records:
            return
        if chosen.binding not in self._lacking or chosen != self._last:
            self._open(chosen)

    def look_when_it_rests(self) -> None:
        """Look anew at an image that gets other pixels, once no more of them come."""
        self._last = None
        self._rest.start()

    def is_done_for(self, chosen: Chosen) -> None:
        """Take note that nothing more is to be opened for these layers."""
        self._last = chosen

    def try_again(self) -> None:
        """Open the records that could not be opened before: the disk may have space again."""
        binding = self._lacking.next_to_try()
        if binding is not None:
            self._open(Chosen(binding.image, binding, self._session.project))

    def close(self) -> None:
        """Open no more. Emits nothing."""
        self._is_open = False
        self._rest.stop()
        self._handover.abandon()

    def _chosen(self) -> Chosen | None:
        image = self._layers.image
        if image is None or image not in self._layers.viewer.layers:
            return None  # it is being removed
        return Chosen(image, self._layers.binding, self._session.project)

    def _open(self, chosen: Chosen) -> None:
        if self._job is not None or not self._is_open:
            return
        self._last = chosen
        image, binding = chosen.image, chosen.binding
        try:
            source = source_of(image)
        except ImageError:
            return  # the dock has said what is wrong with it
        if binding is None:
            wanted, dtype = self._notes.take_expected(image), None
        else:
            is_strange = is_from_elsewhere(binding.labels, chosen.project)
            mark = None if is_strange else MARKS.get(binding.labels)
            wanted = None if mark is None else mark.folder
            dtype = binding.labels.dtype
        opening = RecordOpening(
            project=chosen.project,
            source=source,
            name=image.name,
            path=self._notes.path_of(image),
            patient=image.metadata.get(PATIENT),
            besides=self._records.folders | self._notes.dismissed(image),
            wanted=wanted,
            preferred=self._lacking.left.folders,
            labels_dtype=dtype,
            told=self._told,
        )
        self._handover = opening.handover
        job = Job(opening.events, "opening the record of the masks", lambda: None, self)
        job.event_reported.connect(lambda found: self._on_found(chosen, found))
        job.failed.connect(lambda message: self.refused.emit(chosen, message))
        job.finished.connect(self._on_finished)
        self._job = job
        job.start()

    def _on_found(self, chosen: Chosen, found: ImageIdentity | Opened | LookedAt) -> None:
        is_chosen = self._layers.image is chosen.image
        if isinstance(found, Opened):
            if not self._handover.take():
                return  # closed with the dock
            is_wanted = is_chosen if chosen.binding is None else chosen.binding.is_alive
            is_wanted = is_wanted and self._last is not None
            if self._is_open and is_wanted and chosen.project is self._session.project:
                self.opened.emit(chosen, found)
            else:
                found.record.close()
        elif not self._is_open:
            return
        elif isinstance(found, ImageIdentity):
            self._notes.identified(chosen.image, found)
            self.identified.emit(chosen.image, found)
        elif is_chosen:
            self.looked_at.emit(chosen, found)

    def _on_finished(self) -> None:
        self._job = None
        if not self._is_open:
            return
        if self._last is not None:
            self.settled.emit(self._last.image)
        if self._last != self._chosen():
            self.look()  # others were chosen meanwhile
        if self._job is None:
            self._take_up_what_was_left()

    def _take_up_what_was_left(self) -> None:
        """Record masks again that were left without their image, where that is back."""
        for labels, identity in self._lacking.left.known_images():
            image = self._notes.known_as(identity)
            binding = None if image is None else self._layers.take_up(image, labels)
            if binding is not None:
                self._open(Chosen(binding.image, binding, self._session.project))
                return
