"""Train in a process of its own: start it, listen to it, stop it, and never leave it behind.

A run finds a process there, with its libraries loaded and slices encoded in its memory, where the
gear before has left it, or `Trainer.prepare` has started it before the person asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from napari_sam_adapter.engine.job_message import job_request
from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.engine.training_process import TrainingProcess
from napari_sam_adapter.engine.turns import Turns
from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.training.events import TrainingEvent
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob


class Trainer:
    """The training runs of one window, one at a time.

    `run` belongs into a worker thread; the rest is called on the main thread and returns at once.
    The process of a run that has made an adapter, or one that was prepared, waits for the next run
    until `release`.

    Attributes
    ----------
    last_log : str
        What the process of the last run wrote for people.
    disk_bytes : int
        How much encoded slices may take on the disk (`sam.feature_files`); 0 keeps none there.
    """

    def __init__(self) -> None:
        self.disk_bytes = 0
        self._process: TrainingProcess | None = None
        self._waiting: EngineProcess | None = None
        self._turns = Turns()
        self.last_log = ""
        self._stop_requested, self._closed = threading.Event(), threading.Event()

    @property
    def pid(self) -> int | None:
        """Process id of the run that goes on; None without one."""
        process = self._process
        return None if process is None else process.pid

    def allow(self) -> None:
        """Forget an earlier Stop; called before the next run has a thread."""
        self._stop_requested.clear()

    def run(self, make_job: Callable[[], TrainingJob]) -> Iterator[TrainingEvent | AdapterSaved]:
        """Make a job and run it in a child process.

        Parameters
        ----------
        make_job : callable
            It may read images for seconds.

        Yields
        ------
        TrainingEvent or AdapterSaved

        Raises
        ------
        SamAdapterError
            Of the job or the run, or if another one goes on.
        """
        if self._process is not None:
            raise TrainingError("A training run is going on already.")
        job = make_job()
        if self._stop_requested.is_set():
            raise TrainingError("Training was stopped before its first step; nothing changed.")
        with self._turns.asking():
            waiting, self._waiting = self._waiting, None
            self._process = TrainingProcess(job, disk_bytes=self.disk_bytes, process=waiting)
        if self._stop_requested.is_set():  # while the process was being started
            self._process.stop()
        if self._closed.is_set():
            self._process.kill()
        try:
            yield from self._process.events()
        finally:
            self.last_log, self._waiting = self._process.log, self._process.left
            self._process = None
            # It may have been told to stop when there was nothing left to stop: no run is to begin
            # with that.
            if self._stop_requested.is_set():
                self.release()

    def prepare(
        self, make_job: Callable[[], TrainingJob], n_views: int, begins_anew: bool = True
    ) -> bool:
        """Start the process of the next run, and encode slices in it; call it in a worker thread.

        It gives way to a run, which finds what was encoded by then.

        Parameters
        ----------
        make_job : callable
            Returns the run that may be asked for, with the slices to encode. It may read them.
        n_views : int
            How many orientations of each slice to encode, where there is room.
        begins_anew : bool
            Whether what was prepared before is of no use any more.

        Returns
        -------
        bool
            Whether all is encoded.

        Raises
        ------
        SamAdapterError
            If the slices cannot be read or encoded; a run would say so.
        """
        job = make_job()
        request = job_request("prepare", job, self.disk_bytes)
        with self._turns.ahead() as is_free:
            if not is_free or self._process is not None or self._closed.is_set():
                return False
            process = self._waiting
            if process is None or not process.is_running:
                process = self._waiting = EngineProcess("training", low_priority=True)
            if self._closed.is_set():  # while it was being started
                process.kill()
            values = {**request.values, "n_views": n_views, "begins_anew": begins_anew}
            return self._turns.work_ahead(process, Message(request.kind, values, request.arrays))

    def release(self) -> None:
        """End the process that waits: no run follows."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            # Until the system has taken back its memory, the window would stand still (0.15 s).
            threading.Thread(target=waiting.close, daemon=True).start()

    def stop(self) -> None:
        """Ask the run to end soon and keep its best state."""
        self._stop_requested.set()
        process = self._process
        if process is not None:
            process.stop()
        self.release()

    def kill(self) -> None:
        """End the run now, keeping nothing of it."""
        self._stop_requested.set()
        process = self._process
        if process is not None:
            process.kill()
        self.release()

    def close(self) -> None:
        """End the run now, also one that is being started."""
        self._closed.set()
        self.kill()
