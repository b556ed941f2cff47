"""One training run in a child process, seen from the window's side."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.engine.job_message import job_request
from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.errors import EngineError
from napari_sam_adapter.training import events
from napari_sam_adapter.training.events import TrainingEvent
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob

_EVENT_TYPES: dict[str, type[Any]] = {
    event.__name__: event
    for event in (
        events.TrainingStarted,
        events.StepReport,
        events.ValidationReport,
        events.TrainingFinished,
    )
}


class TrainingProcess:
    """One training run in a child process of low priority.

    Parameters
    ----------
    job : TrainingJob
        Its samples are sent to the child; the child writes the adapter file.
    disk_bytes : int
        See `Trainer`.
    process : EngineProcess, optional
        One that waits; by default, and where it has ended since, a new one.

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
            request = job_request("train", self._job, self._disk_bytes)
            self._process.send(request.kind, request.values, request.arrays)
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


def _event_in(message: Message) -> TrainingEvent:
    fields = dict(message.values["fields"])
    for name in {"held_out_scores", "earlier_scores"} & fields.keys():
        fields[name] = tuple(events.PairedScore(*score) for score in fields[name])
    event: TrainingEvent = _EVENT_TYPES[message.values["type"]](**fields)
    return event
