"""Write down what happens to masks layers in the project, and bring it back.

Images are known by their pixels. When one is chosen that was worked on in the project, its masks
come back, as a new layer if there is none; from then on every change of a slice goes to the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.errors import ImageError, StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.widgets.binding import LayerBinding, source_of
from napari_sam_adapter.widgets.image_notes import ImageNotes
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.not_recorded import NotRecorded
from napari_sam_adapter.widgets.open_records import OpenRecords
from napari_sam_adapter.widgets.pixel_keeping import PixelKeeping
from napari_sam_adapter.widgets.readers import PATIENT
from napari_sam_adapter.widgets.record_opening import (
    READ_ONLY,
    LookedAt,
    Opened,
    RecordOpening,
)
from napari_sam_adapter.widgets.restoring import (
    FOLDERS,
    bring_back,
    is_from_elsewhere,
    place,
    show,
    state_what_differs,
    summary,
)
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_sam_adapter.project.image_record import ImageRecord
    from napari_sam_adapter.project.project import Project
    from napari_sam_adapter.session import Session
    from napari_sam_adapter.widgets.layer_choice import LayerChoice

REST_MS = 300  # an image that is replaced again and again is not identified each time


class Recording(QObject):
    """The records of one dock's masks layers.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    identified : Signal(object, object)
        An image, and the `ImageIdentity` by which the project knows it; its masks come next.
    settled : Signal(object, str)
        That is done for an image; the sentence that was said of it, if any.
    problem_changed : Signal()
        What is done does not reach the disk, or does again.
    records : OpenRecords
    notes : ImageNotes
    pixels : PixelKeeping
        Sees to the images of the records.
    """

    said = Signal(str, bool)
    identified = Signal(object, object)
    settled = Signal(object, str)
    problem_changed = Signal()
    _told = Signal(str)  # from the thread that writes

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        layers: LayerChoice,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session, self._layers = viewer, session, layers
        self.records = OpenRecords()
        self._lacking = NotRecorded(layers, self)
        self._lacking.changed.connect(self.problem_changed)
        self._lacking.left.said.connect(self.said)
        self._lacking.due.connect(guarded(self, self.try_again, once=True))
        self.notes = ImageNotes(viewer.layers)
        self._looked_at: tuple[Image, LayerBinding | None, Project] | None = None
        self._job: Job | None = None
        self._sentence = ""
        self._is_open = True
        layers.image_changed.connect(self.look)
        layers.changed.connect(self.look)
        layers.closed.connect(self._on_layer_closed)
        layers.image_replaced.connect(self._on_image_replaced)
        session.project_changed.connect(self._on_project_changed)
        self._told.connect(self._on_told)
        self.pixels = PixelKeeping(self)
        self.pixels.failed.connect(self._on_not_kept)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(guarded(self, self.look, once=True))

    @property
    def is_busy(self) -> bool:
        """Whether a record is being opened, or will be in a moment."""
        return self._job is not None or self._rest.isActive()

    @property
    def problem(self) -> str:
        """Why what is done does not reach the disk; "" where it does."""
        return self._lacking.problem

    @property
    def is_at_risk(self) -> bool:
        """Whether something that was done would be lost if the window were closed now."""
        return self._lacking.is_at_risk

    def is_left(self, labels: Labels) -> bool:
        """Whether a masks layer is not recorded any more because its image was removed."""
        return labels in self._lacking.left

    def record_of(self, binding: LayerBinding) -> ImageRecord | None:
        """Return where the changes of a masks layer are written; None where they are not."""
        return self.records.of(binding)

    def look(self) -> None:
        """Open the record of what is chosen now, unless that is done or was refused just now."""
        image, binding = self._layers.image, self._layers.binding
        if self._rest.isActive():
            return
        if binding in self._lacking and self._looked_at == (image, binding, self._session.project):
            return
        if image is not None and binding not in self.records:
            self._open(image, binding)

    def try_again(self) -> None:
        """Open the records that could not be opened before: the disk may have space again."""
        binding = self._lacking.next_to_try()
        if binding is not None:
            self._open(binding.image, binding)

    def _open(self, image: Image, binding: LayerBinding | None) -> None:
        if self._job is not None or not self._is_open:
            return
        project = self._session.project
        self._looked_at, self._sentence = (image, binding, project), ""
        try:
            source = source_of(image)
        except ImageError:
            return  # the dock has said what is wrong with it
        if binding is None:
            wanted, dtype = self.notes.take_expected(image), None
        else:
            is_strange = is_from_elsewhere(binding.labels, project)
            wanted = None if is_strange else FOLDERS.get(binding.labels)
            dtype = binding.labels.dtype
        opening = RecordOpening(
            project=project,
            source=source,
            name=image.name,
            path=self.notes.path_of(image),
            patient=image.metadata.get(PATIENT),
            besides=self.records.folders | self.notes.dismissed(image),
            wanted=wanted,
            preferred=self._lacking.left.folders,
            labels_dtype=dtype,
            told=self._told.emit,
        )
        job = Job(opening.events, "opening the record of the masks", lambda: None, self)
        job.event_reported.connect(lambda found: self._on_found(image, binding, project, found))
        job.failed.connect(lambda message: self._on_refused(binding, project, message))
        job.finished.connect(self._on_finished)
        self._job = job
        job.start()

    def close(self) -> None:
        """Write what waits, and let others open the records. Emits nothing."""
        self._is_open = False
        self._lacking.close()
        self._rest.stop()
        for binding in self.records:
            self._close_record(binding)

    def _on_found(
        self,
        image: Image,
        binding: LayerBinding | None,
        project: Project,
        found: ImageIdentity | Opened | LookedAt,
    ) -> None:
        if isinstance(found, Opened):
            self._on_opened(image, binding, project, found)
        elif isinstance(found, LookedAt):
            self._on_looked_at(image, binding, project, found)
        elif self._is_open:
            self.notes.identified(image, found)
            self.identified.emit(image, found)

    def _on_opened(
        self, image: Image, binding: LayerBinding | None, project: Project, opened: Opened
    ) -> None:
        is_wanted = self._layers.image is image if binding is None else binding.is_alive
        is_wanted = is_wanted and self._looked_at is not None
        if not self._is_open or not is_wanted or project is not self._session.project:
            opened.record.close()
            return
        try:
            besides = self.records.folders | self.notes.dismissed(image)
            placed = place(self._layers, image, binding, opened, project, besides)
        except (ImageError, StorageError) as error:
            opened.record.close()
            self._on_refused(binding, project, str(error))
            return
        binding, opened, said = placed.binding, placed.opened, placed.said
        said = self.notes.opened(image, opened.record) or said
        n_back = bring_back(binding, opened.restored)
        FOLDERS[binding.labels] = opened.record.folder
        state_what_differs(binding, opened.record, opened.restored)
        self.records.listen(binding, opened.record)
        if self._lacking.is_recorded(binding):
            said = f"{binding.labels.name} is recorded again; nothing that was painted is missing."
        if n_back:
            said = f"{summary(opened.restored, n_back)} {said}".strip()
        if said:
            self._say(said, bool(opened.restored.troubles))
        binding.slices_changed.emit()
        self.pixels.keep(opened.record, opened.identity, binding.source)

    def _on_looked_at(
        self, image: Image, binding: LayerBinding | None, project: Project, looked: LookedAt
    ) -> None:
        """Bring back masks of a project that cannot be written to; nothing is recorded."""
        if not self._is_open or self._layers.image is not image:
            return
        if binding is not None and not is_from_elsewhere(binding.labels, project):
            self._on_refused(binding, project, READ_ONLY)
            return
        try:
            shown, n_back = show(self._layers, image, binding, looked)
        except ImageError as error:
            self._on_refused(binding, project, str(error))
            return
        self._looked_at = (image, shown, project)
        self._lacking.show(shown, looked.restored, READ_ONLY)
        self._say(f"{summary(looked.restored, n_back)} {READ_ONLY}", True)
        shown.slices_changed.emit()

    def _on_refused(self, binding: LayerBinding | None, project: Project, message: str) -> None:
        if project is not self._session.project:
            return
        if binding is None or self._lacking.refuse(binding, message):
            self._say(message, True)

    def _say(self, sentence: str, is_problem: bool) -> None:
        self._sentence = sentence
        self.said.emit(sentence, is_problem)

    def _on_finished(self) -> None:
        self._job = None
        if self._is_open and self._looked_at is not None:
            self.settled.emit(self._looked_at[0], self._sentence)
        chosen = (self._layers.image, self._layers.binding, self._session.project)
        if self._looked_at != chosen:
            self.look()  # others were chosen meanwhile
        if self._job is None and self._is_open:
            self._take_up_what_was_left()

    def _take_up_what_was_left(self) -> None:
        """Record masks again that were left without their image, where that is back."""
        for labels, identity in self._lacking.left.known_images():
            image = self.notes.known_as(identity)
            binding = None if image is None else self._layers.take_up(image, labels)
            if binding is not None:
                self._open(binding.image, binding)
                return

    def _on_not_kept(self, sentence: str) -> None:
        if self._is_open:
            self._say(f"{self._sentence} {sentence}".strip(), True)

    def _on_told(self, problem: str) -> None:
        self._lacking.disk_says(problem)
        self.said.emit(problem or "The disk takes changes again; nothing was lost.", bool(problem))

    def _on_project_changed(self) -> None:
        for binding in self.records:
            self._close_record(binding)
        self._lacking.begin_anew()
        self.notes.forget_records()
        self.look()

    def _on_image_replaced(self, image: Image) -> None:
        """Identify an image anew, once it rests."""
        self.notes.replaced(image)
        self._looked_at = None
        self._rest.start()

    def _on_layer_closed(self, binding: LayerBinding) -> None:
        record, layers = self.records.of(binding), self._viewer.layers
        if record is not None and binding.labels not in layers:
            self.notes.dismiss(binding.image, record.folder)
        is_written = self._close_record(binding) and record is not None
        if binding.labels in layers and binding.image not in layers:
            identity = self.notes.identity_of(binding.image)
            self._lacking.leave(binding, identity, is_written=is_written)

    def _close_record(self, binding: LayerBinding) -> bool:
        """Let others open the record of masks; return whether all that waited is written."""
        self._lacking.let_go(binding)
        try:
            self.records.close(binding)
        except StorageError as error:
            if self._is_open:
                self.said.emit(str(error), True)
            return False
        return True
