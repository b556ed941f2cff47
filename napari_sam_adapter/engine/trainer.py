"""Train in a process of its own: start it, listen to it, stop it, and never leave it behind.

What follows a run at once, the next gear, finds the process there, with its libraries loaded and
what was encoded in its memory.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.errors import EngineError, TrainingError
from napari_sam_adapter.training import events
from napari_sam_adapter.training.events import TrainingEvent
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint

_EVENT_TYPES: dict[str, type[Any]] = {
    event.__name__: event
    for event in (
        events.TrainingStarted,
        events.StepReport,
        events.ValidationReport,
        events.TrainingFinished,
    )
}


class Trainer:
    """The training runs of one window, one at a time.

    `run` belongs into a worker thread; the rest is called on the main thread and returns at once.
    The process of a run that has made an adapter stays for the next one until `release`.

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
        self._left: EngineProcess | None = None
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
        left, self._left = self._left, None
        self._process = TrainingProcess(job, disk_bytes=self.disk_bytes, process=left)
        if self._stop_requested.is_set():  # while the process was being started
            self._process.stop()
        if self._closed.is_set():
            self._process.kill()
        try:
            yield from self._process.events()
        finally:
            self.last_log, self._left = self._process.log, self._process.left
            self._process = None
            # It may have been told to stop when there was nothing left to stop: no run is to begin
            # with that.
            if self._stop_requested.is_set():
                self.release()

    def release(self) -> None:
        """End the process that a run has left: none follows."""
        left, self._left = self._left, None
        if left is not None:
            # Until the system has taken back its memory, the window would stand still (0.15 s).
            threading.Thread(target=left.close, daemon=True).start()

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


class TrainingProcess:
    """One training run in a child process of low priority.

    Parameters
    ----------
    job : TrainingJob
        Its samples are sent to the child; the child writes the adapter file.
    disk_bytes : int
        See `Trainer`.
    process : EngineProcess, optional
        What an earlier run has left; by default, and where it has ended since, a new one.

    Attributes
    ----------
    left : EngineProcess or None
        The child, after a run that has made an adapter; whoever has it closes it.
    """

    def __init__(
        self, job: TrainingJob, *, disk_bytes: int = 0, process: EngineProcess | None = None
    ) -> None:
        self._job, self._disk_bytes = job, disk_bytes
        if process is not None and not process.is_running:
            process.close()
            process = None
        self._process = process or EngineProcess("training", low_priority=True)
        self._process.forget_log()
        self.left: EngineProcess | None = None

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines the child wrote for people."""
        return self._process.log

    def events(self) -> Iterator[TrainingEvent | AdapterSaved]:
        """Run the job; call it from a worker thread and exhaust or close the generator.

        Yields
        ------
        TrainingEvent or AdapterSaved
            As `run_job` does; `TrainingFinished.state` is empty, the state is in the file.

        Raises
        ------
        EngineError
            If the child failed, was killed, or ended early.
        """
        try:
            self._send_job()
            while True:
                message = self._process.receive()
                if message.kind == "saved":
                    path = Path(message.values["path"])
                    card: AdapterCard = read_card(path)
                    yield AdapterSaved(path, card)
                    self.left = self._process
                    return
                yield _event_in(message)
        finally:
            if self.left is None:
                self._process.close()

    def stop(self) -> None:
        """Ask the run to end after its current step and keep the best state so far.

        It returns at once: the pipe may be busy with the images of the job.
        """
        threading.Thread(target=self._send_stop, daemon=True).start()

    def kill(self) -> None:
        """End the run now; nothing of it is kept."""
        self._process.kill()

    def _send_stop(self) -> None:
        with contextlib.suppress(EngineError):
            self._process.send("stop")

    def _send_job(self) -> None:
        job = self._job
        arrays = {f"image{i}": sample.image for i, sample in enumerate(job.samples)}
        arrays |= {f"labels{i}": sample.labels for i, sample in enumerate(job.samples)}
        values = {
            "names": [(sample.name, sample.group) for sample in job.samples],
            "out": str(job.out),
            "refuge": None if job.refuge is None else str(job.refuge),
            "config": job.config.to_dict(),
            "base": job.base,
            "init": None if job.init is None else str(job.init),
            "input_size": job.input_size,
            "adapter": None if job.adapter is None else job.adapter.to_dict(),
            "class_names": None if job.class_names is None else list(job.class_names),
            "class_colors": list(job.class_colors),
            "device": job.device,
            "notes": dict(job.notes),
            "checkpoint": _described(job.checkpoint),
            "disk_bytes": self._disk_bytes,
        }
        self._process.send("train", values, arrays)


def _event_in(message: Message) -> TrainingEvent:
    fields = dict(message.values["fields"])
    for name in {"held_out_scores", "earlier_scores"} & fields.keys():
        fields[name] = tuple(events.PairedScore(*score) for score in fields[name])
    event: TrainingEvent = _EVENT_TYPES[message.values["type"]](**fields)
    return event


def _described(checkpoint: RunCheckpoint | None) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    return {
        "path": str(checkpoint.path),
        "every": checkpoint.every,
        "resume": checkpoint.resume,
        "belongs_to": None if checkpoint.belongs_to is None else str(checkpoint.belongs_to),
    }
