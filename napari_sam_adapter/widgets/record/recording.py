"""Write down what happens to masks layers in the project, and bring it back.

Images are known by their pixels. When one is chosen that was worked on in the project, its masks
come back, as a new layer if there is none; from then on every change of a slice goes to the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError, StorageError
from napari_sam_adapter.project.record_opening import READ_ONLY, LookedAt, Opened
from napari_sam_adapter.widgets.layers.binding import LayerBinding
from napari_sam_adapter.widgets.record.image_notes import ImageNotes
from napari_sam_adapter.widgets.record.not_recorded import NotRecorded
from napari_sam_adapter.widgets.record.open_records import OpenRecords
from napari_sam_adapter.widgets.record.pixel_keeping import PixelKeeping
from napari_sam_adapter.widgets.record.record_opener import Chosen, RecordOpener
from napari_sam_adapter.widgets.record.restoring import (
    MARKS,
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

    from napari_sam_adapter.project.image_identity import ImageIdentity
    from napari_sam_adapter.project.image_record import ImageRecord
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice


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
        self._lacking = NotRecorded(layers, self.records, self)
        self._lacking.changed.connect(self.problem_changed)
        self._lacking.left.said.connect(self.said)
        self.notes = ImageNotes(viewer.layers)
        self._opener = RecordOpener(
            session, layers, self.records, self.notes, self._lacking, self._told.emit, self
        )
        self._opener.identified.connect(self._on_identified)
        self._opener.opened.connect(self._on_opened)
        self._opener.looked_at.connect(self._on_looked_at)
        self._opener.refused.connect(self._on_refused)
        self._opener.settled.connect(self._on_settled)
        self._lacking.due.connect(guarded(self, self.try_again, once=True))
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

    @property
    def is_busy(self) -> bool:
        """Whether a record is being opened, or will be in a moment."""
        return self._opener.is_busy

    @property
    def problem(self) -> str:
        """Why what is done does not reach the disk; "" where it does."""
        return self._lacking.problem

    @property
    def is_tried_again(self) -> bool:
        """Whether that passes by itself, once its reason has."""
        return self._lacking.is_tried_again

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
        self._opener.look()

    def try_again(self) -> None:
        """Open the records that could not be opened before: the disk may have space again."""
        self._opener.try_again()

    def close(self) -> None:
        """Write what waits, and let others open the records. Emits nothing."""
        self._is_open = False
        self._lacking.close()
        self._opener.close()
        for binding in self.records:
            self._close_record(binding)

    def _on_identified(self, image: Image, identity: ImageIdentity) -> None:
        self._sentence = ""  # the last one was about another image, or another time
        self.identified.emit(image, identity)

    def _on_opened(self, chosen: Chosen, opened: Opened) -> None:
        image = chosen.image
        try:
            besides = self.records.folders | self.notes.dismissed(image)
            placed = place(self._layers, image, chosen.binding, opened, chosen.project, besides)
        except (ImageError, StorageError) as error:
            opened.record.close()
            self._on_refused(chosen, str(error))
            return
        binding, opened, said = placed.binding, placed.opened, placed.said
        said = self.notes.opened(image, opened.record) or said
        n_back = bring_back(binding, opened.restored, opened.record)
        MARKS[binding.labels] = opened.record.mark
        state_what_differs(binding, opened.record, opened.restored)
        self.records.listen(binding, opened.record)
        if self._lacking.is_recorded(binding):
            again = f"{binding.labels.name} is recorded again; nothing that was painted is missing."
            said = f"{again} {said}".strip()
        if n_back:
            said = f"{summary(opened.restored, n_back)} {said}".strip()
        if said:
            self._say(said, bool(opened.restored.troubles))
        if n_back:  # else a refusal that was just said would go, as if its masks had changed
            binding.slices_changed.emit()
        self.pixels.keep(opened.record, opened.identity, binding.source)

    def _on_looked_at(self, chosen: Chosen, looked: LookedAt) -> None:
        """Bring back masks of a project that cannot be written to; nothing is recorded."""
        image, binding, project = chosen.image, chosen.binding, chosen.project
        if binding is not None and not is_from_elsewhere(binding.labels, project):
            self._on_refused(chosen, READ_ONLY)
            return
        try:
            shown, n_back = show(self._layers, image, binding, looked)
        except ImageError as error:
            self._on_refused(chosen, str(error))
            return
        self._opener.is_done_for(Chosen(image, shown, project))
        self._lacking.show(shown, looked.restored, READ_ONLY)
        self._say(f"{summary(looked.restored, n_back)} {READ_ONLY}", True)
        shown.slices_changed.emit()

    def _on_refused(self, chosen: Chosen, message: str) -> None:
        if chosen.project is not self._session.project:
            return
        if chosen.binding is None or self._lacking.refuse(chosen.binding, message):
            self._say(message, True)

    def _say(self, sentence: str, is_problem: bool) -> None:
        self._sentence = sentence
        self.said.emit(sentence, is_problem)

    def _on_settled(self, image: Image) -> None:
        self.settled.emit(image, self._sentence)

    def _on_not_kept(self, sentence: str) -> None:
        if self._is_open:
            self._say(f"{self._sentence} {sentence}".strip(), True)

    def _on_told(self, problem: str) -> None:
        self.problem_changed.emit()
        if problem or not self.records.problem:
            said = problem or "The disk takes changes again; nothing was lost."
            self.said.emit(said, bool(problem))

    def _on_project_changed(self) -> None:
        for binding in self.records:
            self._close_record(binding)
        self._lacking.begin_anew()
        self.notes.forget_records()
        self.look()

    def _on_image_replaced(self, image: Image) -> None:
        """Identify an image anew, once it rests."""
        self.notes.replaced(image)
        self._opener.look_when_it_rests()

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
                self.problem_changed.emit()
            return False
        return True
