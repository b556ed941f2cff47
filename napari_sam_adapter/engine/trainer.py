"""Train in a process of its own: start it, listen to it, stop it, and never leave it behind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.engine.process import EngineProcess
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
    """

    def __init__(self, job: TrainingJob) -> None:
        self._job = job
        self._process = EngineProcess("training", low_priority=True)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

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
                    return
                yield _EVENT_TYPES[message.values["type"]](**message.values["fields"])
        finally:
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
            "names": [sample.name for sample in job.samples],
            "out": str(job.out),
            "config": job.config.to_dict(),
            "base": job.base,
            "init": None if job.init is None else str(job.init),
            "input_size": job.input_size,
            "adapter": None if job.adapter is None else job.adapter.to_dict(),
            "class_names": None if job.class_names is None else list(job.class_names),
            "class_colors": list(job.class_colors),
            "device": job.device,
            "notes": dict(job.notes),
        }
        self._process.send("train", values, arrays)
