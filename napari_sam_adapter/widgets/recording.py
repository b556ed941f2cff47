"""Write down what happens to masks layers in the project, and bring it back.

Images are known by their pixels. When one is chosen that was worked on in the project, its masks
come back, as a new layer if there is none; from then on every change of a slice goes to the record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError, StorageError
from napari_sam_adapter.project.image_record import ImageIdentity, ImageRecord, Restored
from napari_sam_adapter.project.pixels import keep_copy
from napari_sam_adapter.widgets.binding import LayerBinding, new_labels_layer, source_of
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.restoring import (
    FOLDERS,
    bring_back,
    fits,
    state_what_differs,
    summary,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_sam_adapter.session import Session
    from napari_sam_adapter.widgets.layer_choice import LayerChoice


@dataclass(frozen=True, slots=True)
class _Opened:
    """A record with what it brings back; made in a worker thread."""

    record: ImageRecord
    restored: Restored
    dtype: np.dtype


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
    """

    said = Signal(str, bool)
    identified = Signal(object, object)
    settled = Signal(object, str)
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
        self._records: dict[LayerBinding, ImageRecord] = {}
        self._refused: set[LayerBinding] = set()
        # Whoever deletes a masks layer wants to be rid of it, until the image is opened again.
        self._dismissed: WeakKeyDictionary[Image, set[Path]] = WeakKeyDictionary()
        # Images that were opened for the sake of one record, and what each is known by.
        self._expected: WeakKeyDictionary[Image, Path] = WeakKeyDictionary()
        self._digests: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self._looked_at: tuple[Image, LayerBinding | None] | None = None
        self._job: Job | None = None
        self._sentence = ""
        self._is_open = True
        layers.image_changed.connect(self.look)
        layers.changed.connect(self.look)
        layers.closed.connect(self._on_layer_closed)
        session.project_changed.connect(self._on_project_changed)
        self._told.connect(self._on_told)

    @property
    def is_busy(self) -> bool:
        """Whether a record is being opened."""
        return self._job is not None

    def record_of(self, binding: LayerBinding) -> ImageRecord | None:
        """Return where the changes of a masks layer are written; None where they are not."""
        return self._records.get(binding)

    def masks_of(self, image: Image) -> list[Labels]:
        """Return the masks layers of an image that are recorded here."""
        return [binding.labels for binding in self._records if binding.image is image]

    def binding_of(self, folder: Path) -> LayerBinding | None:
        """Return the layers whose changes are written to a record; None where there are none."""
        alive = (one for one, record in self._records.items() if record.folder == folder)
        return next((binding for binding in alive if binding.is_alive), None)

    def image_known_as(self, identity: ImageIdentity) -> Image | None:
        """Return the layer of an image that has, or had, masks here; None where there is none."""
        for image, digest in self._digests.items():
            if digest == identity.digest and image in self._viewer.layers:
                return image
        return None

    def expect(self, image: Image, folder: Path) -> None:
        """Let an image without masks get those of this record next, and of no other."""
        self._expected[image] = folder
        self._dismissed.get(image, set()).discard(folder)

    def note(self, folder: Path, do: str, details: Mapping[str, Any]) -> None:
        """Write down something about a training run in a record, open here or not.

        Raises
        ------
        StorageError
            If the record is open in another window, is not there any more, or cannot be written.
        """
        for record in self._records.values():
            if record.folder == folder:
                record.note(do, details)
                return
        record = ImageRecord(folder, ImageIdentity.read(folder))
        record.note(do, details)
        record.close()

    def look(self) -> None:
        """Open the record of what is chosen now, unless that is done."""
        image, binding = self._layers.image, self._layers.binding
        done = binding in self._records or binding in self._refused
        if image is None or done or self._job is not None or not self._is_open:
            return
        self._looked_at, self._sentence = (image, binding), ""
        try:
            source = source_of(image)
        except ImageError:
            return  # the dock has said what is wrong with it
        name, path, pixels = image.name, image.source.path, image.data
        project = self._session.project
        besides = self._folders() | self._dismissed.get(image, set())
        expected = self._expected.pop(image, None) if binding is None else None
        wanted = expected if binding is None else FOLDERS.get(binding.labels)

        def open_record() -> Iterable[ImageIdentity | _Opened]:
            identity = ImageIdentity.of(source, name, None if path is None else str(path))
            yield identity
            known = [folder for folder in project.folders_of(identity) if folder not in besides]
            if binding is None and not known:
                return  # nothing was done to it yet; once something is, there is a masks layer
            others = besides if wanted is None else {*known, *besides} - {wanted}
            record = project.open_record(identity, besides=others, told=self._told.emit)
            try:
                dtype = record.masks_dtype() if binding is None else binding.labels.dtype
                opened = _Opened(record, record.restore(np.dtype(dtype)), np.dtype(dtype))
            except BaseException:
                record.close()
                raise
            yield opened
            if record.identity.source is None:
                # A full disk is told by the journal; the copy is tried again next time.
                with contextlib.suppress(StorageError):
                    keep_copy(record.folder, pixels)

        job = Job(open_record, "opening the record of the masks", lambda: None, self)
        job.event_reported.connect(lambda found: self._on_found(image, binding, found))
        job.failed.connect(lambda message: self._on_refused(binding, message))
        job.finished.connect(self._on_finished)
        self._job = job
        job.start()

    def close(self) -> None:
        """Write what waits, and let others open the records. Emits nothing."""
        self._is_open = False
        for binding in list(self._records):
            if binding.is_alive:
                binding.check_known()  # the last stroke
            self._close_record(binding)

    def _on_found(
        self, image: Image, binding: LayerBinding | None, found: ImageIdentity | _Opened
    ) -> None:
        if isinstance(found, _Opened):
            self._on_opened(image, binding, found)
        elif self._is_open:
            self.identified.emit(image, found)

    def _on_opened(self, image: Image, binding: LayerBinding | None, opened: _Opened) -> None:
        record, restored = opened.record, opened.restored
        if not self._is_open or self._layers.image is not image:
            record.close()
            return
        try:
            binding = binding or self._layers.binding or self._new_binding(image, opened)
            if not fits(binding, restored):
                record.close()
                record = self._session.project.open_record(
                    record.identity,
                    besides={*self._folders(), record.folder},
                    told=self._told.emit,
                )
                restored = record.restore(binding.labels.dtype)
        except (ImageError, StorageError) as error:
            record.close()
            self._on_refused(binding, str(error))
            return
        self._records[binding] = record
        self._digests[image] = record.identity.digest
        n_back = bring_back(binding, restored)
        FOLDERS[binding.labels] = record.folder
        state_what_differs(binding, record, restored)
        binding.tracker.listener = record.listen
        if n_back:
            self._say(summary(restored, n_back), bool(restored.troubles))
        binding.slices_changed.emit()

    def _new_binding(self, image: Image, opened: _Opened) -> LayerBinding:
        labels = new_labels_layer(self._viewer, image, opened.dtype)
        self._layers.choose(image, labels)
        if self._layers.binding is None:
            raise ImageError("The masks layer could not be made for this image.")
        return self._layers.binding

    def _folders(self) -> set[Path]:
        return {record.folder for record in self._records.values()}

    def _on_refused(self, binding: LayerBinding | None, message: str) -> None:
        if binding is not None:
            self._refused.add(binding)
        self._say(message, True)

    def _say(self, sentence: str, is_problem: bool) -> None:
        self._sentence = sentence
        self.said.emit(sentence, is_problem)

    def _on_finished(self) -> None:
        self._job = None
        if self._is_open and self._looked_at is not None:
            self.settled.emit(self._looked_at[0], self._sentence)
        if self._looked_at != (self._layers.image, self._layers.binding):
            self.look()  # others were chosen meanwhile

    def _on_told(self, problem: str) -> None:
        self.said.emit(problem or "The disk takes changes again; nothing was lost.", bool(problem))

    def _on_project_changed(self) -> None:
        for binding in list(self._records):
            self._close_record(binding)
            FOLDERS.pop(binding.labels, None)
        self._refused.clear()
        self._dismissed.clear()
        self._expected.clear()
        self.look()

    def _on_layer_closed(self, binding: LayerBinding) -> None:
        record = self._records.get(binding)
        if record is not None and binding.labels not in self._viewer.layers:
            self._dismissed.setdefault(binding.image, set()).add(record.folder)
        self._close_record(binding)

    def _close_record(self, binding: LayerBinding) -> None:
        self._refused.discard(binding)
        record = self._records.pop(binding, None)
        if record is None:
            return
        binding.tracker.listener = None
        try:
            record.close()
        except StorageError as error:
            if self._is_open:
                self.said.emit(str(error), True)
