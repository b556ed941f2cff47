"""Download the weights of a base model, in the background."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.sam.fetch import FetchProgress, fetch_with_progress
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.widgets.jobs import Job


class Fetching(QObject):
    """One download at a time.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    progressed : Signal(object, object)
        Bytes that are here, and in all (more than Qt's int holds). (0, 0) when nothing runs.
    """

    said = Signal(str, bool)
    progressed = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._stop = self._failed = False
        self._name = ""

    @property
    def is_running(self) -> bool:
        """Whether a download runs."""
        return self._job is not None

    def start(self, name: str) -> None:
        """Download the weights of a base model."""
        if self._job is not None:
            return
        self._stop, self._failed, self._name = False, False, name
        weights = base_model(name).weights
        job = Job(
            lambda: fetch_with_progress(weights, should_stop=lambda: self._stop),
            f"downloading {weights.name}; what has arrived is kept",
            self.close,
            self,
        )
        job.event_reported.connect(self._on_progress)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_finished)
        self._job = job
        self.progressed.emit(0, weights.n_bytes)
        self.said.emit(f"Downloading {name}. Go on working.", False)
        job.start()

    def cancel(self) -> None:
        """Stop soon, and say so; the next download continues."""
        if self._job is not None:
            self.said.emit(f"Stopping the download of {self._name}…", False)
        self._stop = True

    def close(self) -> None:
        """Stop soon and say nothing: the dock may be gone."""
        self._stop = True

    def _on_progress(self, event: FetchProgress) -> None:
        self.progressed.emit(event.done, event.total)

    def _on_failed(self, message: str) -> None:
        self._failed = True
        self.said.emit(message, not self._stop)

    def _on_finished(self) -> None:
        self._job = None
        self.progressed.emit(0, 0)
        if not self._failed:
            self.said.emit(f"{self._name} is here. Predict, or train the first version.", False)
