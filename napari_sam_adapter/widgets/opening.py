"""Open images into the viewer: those of the project, and files of any size slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers._source import layer_source
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import file_stem, open_image
from napari_sam_adapter.project.image_record import ImageIdentity
from napari_sam_adapter.project.pixels import image_of
from napari_sam_adapter.project.project import last_change
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.readers import layer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam_adapter.session import Session
    from napari_sam_adapter.widgets.layer_choice import LayerChoice

PLUGIN = "napari-sam-adapter"


@dataclass(frozen=True, slots=True)
class _Found:
    image: PlacedImage
    name: str
    path: Path | None = None


class Opening(QObject):
    """One image at a time, found in the background.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    said = Signal(str, bool)

    def __init__(
        self, session: Session, layers: LayerChoice, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._layers = session, layers
        self._job: Job | None = None

    def images(self) -> list[tuple[Path, str]]:
        """List the records of the project and the names of their images."""
        return [(folder, identity.name) for folder, identity in self._session.project.records()]

    def open_latest(self) -> None:
        """Where no image is open, open the one of the project that was worked on last."""
        records = [record for record, _ in self.images()]
        if records and self._layers.image is None:
            self.open_record(max(records, key=last_change))

    def open_record(self, record: Path) -> None:
        """Open an image of the project; its masks come with it."""

        def find() -> list[_Found]:
            identity = ImageIdentity.read(record)
            return [_Found(image_of(record, identity), identity.name)]

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
        self._job = job
        job.start()

    def _on_found(self, found: _Found) -> None:
        data, properties, _ = layer_of(found.image, found.name)
        path = None if found.path is None else str(found.path)
        # As for what napari opens itself: by its path an image is found again tomorrow.
        with layer_source(path=path, reader_plugin=PLUGIN):
            self._layers.viewer.add_image(data, **properties)
        if found.image.notes:
            self.said.emit(" ".join(found.image.notes), True)
