"""Which images a project has: their names at once, what was done to them a moment later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.overview import ImageOverview
from napari_sam_adapter.widgets.jobs import Job

if TYPE_CHECKING:
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.record.recording import Recording


class ImageList(QObject):
    """Lists the images of the project that is open.

    Attributes
    ----------
    listed : Signal(object, object, object)
        A list of `ImageOverview` by name, the record that is open or None, and a sentence about
        each record that cannot be read.
    looked : Signal(object)
        An `ImageOverview` of one of them, after a look into its journal.
    """

    listed = Signal(object, object, object)
    looked = Signal(object)

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        recording: Recording,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._recording = session, layers, recording
        self._job: Job | None = None
        self._enough = threading.Event()

    @property
    def is_busy(self) -> bool:
        """Whether journals are being read."""
        return self._job is not None

    def look(self) -> None:
        """List the images, and read in the background what was done to them."""
        self._enough.set()
        enough = self._enough = threading.Event()
        try:
            records, troubles = self._session.project.records_and_troubles()
        except StorageError as error:
            records, troubles = [], [str(error)]
        found = sorted(records, key=lambda one: (one[1].name.casefold(), one[0].name))
        binding = self._layers.binding
        record = None if binding is None else self._recording.record_of(binding)
        self.listed.emit(
            [ImageOverview.by_name(*one) for one in found],
            None if record is None else record.folder,
            troubles,
        )

        def overviews() -> Iterator[ImageOverview]:
            for folder, identity in found:
                if enough.is_set():
                    return
                yield ImageOverview.of(folder, identity)

        job = Job(overviews, "listing the images of the project", enough.set, self)
        job.event_reported.connect(lambda overview: enough.is_set() or self.looked.emit(overview))
        job.finished.connect(lambda: self._on_finished(job))
        self._job = job
        job.start()

    def close(self) -> None:
        """Read no further. It also runs after Qt has destroyed the dock: emits nothing."""
        self._enough.set()

    def _on_finished(self, job: Job) -> None:
        if self._job is job:
            self._job = None
