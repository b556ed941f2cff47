"""Work that nobody asked for: begun when nothing has happened for a moment, one job at a time."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

from napari_sam_adapter.widgets.jobs import QuietJob
from napari_sam_adapter.widgets.trouble import guarded


class RestedWork(QObject):
    """Waits for the person to rest, and runs the jobs that are begun then.

    Parameters
    ----------
    milliseconds : int
        For how long nothing must have happened.
    begin : callable
        Called then; it may `start` a job.
    leaves_time : callable
        Tells whether nothing else is computed; otherwise the wait begins anew.
    """

    def __init__(
        self,
        milliseconds: int,
        begin: Callable[[], None],
        leaves_time: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._begin, self.leaves_time = begin, leaves_time
        self._job: QuietJob | None = None
        self.is_closed = False
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.setInterval(milliseconds)
        self.timer.timeout.connect(guarded(self, self._on_rested, once=True))

    @property
    def is_running(self) -> bool:
        """Whether a job is running."""
        return self._job is not None

    @property
    def is_waiting(self) -> bool:
        """Whether something has happened a moment ago."""
        return bool(self.timer.isActive())

    def wait(self) -> None:
        """Begin when nothing has happened for a while from now on."""
        if not self.is_closed:
            self.timer.start()

    def start(self, act: Callable[[], bool | None], then: Callable[[bool | None], None]) -> None:
        """Run ``act`` in a thread, and ``then`` with what it returned, or None if it raised."""
        job = QuietJob(act, self)

        def on_finished(done: bool | None) -> None:
            self._job = None
            job.deleteLater()
            then(done)

        job.finished.connect(on_finished)
        self._job = job
        job.start()

    def close(self) -> None:
        """Begin nothing any more.

        Raises
        ------
        RuntimeError
            By Qt, which has destroyed the timer with the dock; nothing begins then, either.
        """
        self.is_closed = True
        self.timer.stop()

    def _on_rested(self) -> None:
        if self._job is not None or not self.leaves_time():
            self.wait()
        else:
            self._begin()
