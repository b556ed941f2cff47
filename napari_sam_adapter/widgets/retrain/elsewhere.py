"""How many slices of the project's other images a retraining would learn from, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.project.other_images import Elsewhere, ready_elsewhere
from napari_sam_adapter.widgets.jobs import QuietJob

if TYPE_CHECKING:
    from napari_sam_adapter.project.image_identity import ImageIdentity
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.record.recording import Recording


class ReadyElsewhere(QObject):
    """Counts them in the background whenever another image or project is chosen.

    While an image stays chosen, nobody works on the others in this window.

    Attributes
    ----------
    count : Elsewhere
        What is known now; nothing while it is being counted for another image.
    counted : Signal()
        `count` is another one.
    """

    counted = Signal()

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        recording: Recording,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._recording = session, layers, recording
        self._job: QuietJob | None = None
        self.count = Elsewhere()
        recording.identified.connect(self._on_identified)
        layers.image_changed.connect(self.look)
        session.project_changed.connect(self.look)

    def look(self) -> None:
        """Count anew, where the project knows the chosen image by its pixels."""
        self._job = None  # what an earlier look finds is about another image
        self._show(Elsewhere())
        image, project = self._layers.image, self._session.project
        own = None if image is None else self._recording.notes.identity_of(image)
        if own is None:
            return
        known = self._recording.records.ready()
        job = QuietJob(lambda: ready_elsewhere(project, own, known), self)
        job.finished.connect(lambda found: self._on_counted(job, found))
        self._job = job
        job.start()

    def close(self) -> None:
        """Hear no more. It also runs after Qt has destroyed the dock: emits nothing."""
        self._job = None

    def _on_identified(self, image: Image, identity: ImageIdentity) -> None:
        if image is self._layers.image:
            self.look()

    def _on_counted(self, job: QuietJob, found: Elsewhere | None) -> None:
        if job is self._job and found is not None:
            self._show(found)

    def _show(self, count: Elsewhere) -> None:
        if count != self.count:
            self.count = count
            self.counted.emit()
