"""Open images into the viewer: those of the project, and files of any size slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from napari.layers._source import layer_source
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import file_stem, open_image
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.pixels import COPY, image_of
from napari_sam_adapter.project.record_folders import last_change
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.readers import layer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.in_front import InFront
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.record.recording import Recording

PLUGIN = "napari-sam-adapter"


@dataclass(frozen=True, slots=True)
class _Found:
    image: PlacedImage
    name: str
    path: Path | None = None
    record: Path | None = None


class Opening(QObject):
    """One image at a time, found in the background.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    opened : Signal(object)
        The image layer to work on now.
    """

    said = Signal(str, bool)
    opened = Signal(object)

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        recording: Recording,
        in_front: InFront,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._recording = session, layers, recording
        self._in_front = in_front

    def open_latest(self) -> None:
        """Where no image is open, open the one of the project that was worked on last."""
        try:
            records = [record for record, _ in self._session.project.records()]
        except StorageError as error:
            self.said.emit(str(error), True)
            return
        if records and self._layers.image is None:
            self.open_record(max(records, key=last_change))

    def open_record(self, record: Path) -> None:
        """Open an image of the project with the masks of this record, as a file is opened.

        Where the image is in the viewer already, its layers are brought to the front instead.
        """
        try:
            identity = ImageIdentity.read(record)
        except StorageError as error:
            self.said.emit(str(error), True)
            return
        binding = self._recording.records.binding_of(record)
        image = binding.image if binding else self._recording.notes.known_as(identity)
        if image is not None:
            self._bring_to_front(image, record, binding)
            return

        def find() -> list[_Found]:
            found = image_of(record, identity)
            is_copy = identity.source is None or (record / COPY).exists()
            path = None if is_copy else Path(str(identity.source))
            return [_Found(found, identity.name, path, record)]

        self._open(find)

    def open_file(self, path: Path) -> None:
        """Open an image file as a layer whose slices are read when they are looked at.

        napari's own reader, which opens TIFF files, reads the whole of them.
        """
        self._open(lambda: [_Found(open_image(path), file_stem(path), path)])

    def _open(self, find: Callable[[], list[_Found]]) -> None:
        job = Job(find, "opening an image", lambda: None, self)
        job.event_reported.connect(self._on_found)
        job.failed.connect(lambda message: self.said.emit(message, True))
        job.start()

    def _bring_to_front(self, image: Image, record: Path, binding: LayerBinding | None) -> None:
        self.opened.emit(image)
        if binding is not None:
            self._layers.choose(image, binding.labels)
            self._in_front.bring(image, binding.labels)
            self.said.emit(f"{image.name} is open already, and in front now.", False)
        else:
            self._recording.notes.expect(image, record)
            self._layers.choose(image, None)
            self._in_front.bring(image)
            self._recording.look()

    def _on_found(self, found: _Found) -> None:
        data, properties, kind = layer_of(found.image, found.name)
        path = None if found.path is None else str(found.path)
        # As for what napari opens itself: by its path an image is found again tomorrow.
        with layer_source(path=path, reader_plugin=PLUGIN):
            if kind == "labels" and found.record is None:
                self._layers.viewer.add_layer(Labels(data, **properties))
                self.said.emit(f"{found.name!r} holds masks: choose them under Masks.", False)
                return
            image = Image(data, **{"rgb": False, **properties})
        if found.record is not None:
            self._recording.notes.expect(image, found.record)
        self._layers.viewer.add_layer(image)
        # Who asks for an image here wants to work on it, whatever else goes on.
        self.opened.emit(image)
        if found.image.notes:
            self.said.emit(" ".join(found.image.notes), True)
