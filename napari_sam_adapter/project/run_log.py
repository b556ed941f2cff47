"""A text file for each training run: what it reported, and what its process wrote."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.training.events import (
    StepReport,
    TrainingFinished,
    TrainingStarted,
    ValidationReport,
)

FOLDER = "logs"
KEPT = 20
STEPS_BETWEEN = 25


class RunLog:
    """The log of one run. A full disk costs lines, never the run.

    Parameters
    ----------
    folder : Path
        ``logs`` of the project; the latest 20 files stay.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"training-{datetime.now():%Y-%m-%d-%H%M%S}.log"
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        """Everything so far."""
        return "\n".join(self._lines)

    def event(self, event: object) -> None:
        """Write an event of the run down; of the steps, one in so many."""
        match event:
            case TrainingStarted():
                slices = f"{event.n_training} slices, {event.n_held_out} held out"
                self.write(f"started on {event.device}, {event.precision}: {slices}")
            case StepReport():
                if event.step % STEPS_BETWEEN == 0:
                    self.write(f"step {event.step}, loss {event.loss:.4f}, {event.seconds:.0f} s")
            case ValidationReport():
                kept = ", kept" if event.is_kept else ""
                self.write(f"step {event.step}, held-out Dice {event.dice:.4f}{kept}")
            case TrainingFinished():
                self.write(f"{event.reason} after {event.steps} steps. {event.message}".rstrip())

    def write(self, text: str) -> None:
        """Add lines, with the time."""
        lines = [f"{datetime.now():%H:%M:%S} {line}" for line in text.splitlines()]
        self._lines += lines
        with contextlib.suppress(OSError):
            if not self.path.exists():
                self.path.parent.mkdir(exist_ok=True)  # not the project: it may have been moved
                self._forget_old()
            with self.path.open("a", encoding="utf-8") as stream:
                stream.writelines(f"{line}\n" for line in lines)

    def _forget_old(self) -> None:
        for path in sorted(self.path.parent.glob("training-*.log"))[: 1 - KEPT]:
            path.unlink(missing_ok=True)


def log_path(project: Path, own: RunLog | None) -> Path | None:
    """Return where the log of the last run lies; None where a project has none.

    Parameters
    ----------
    project : Path
    own : RunLog or None
        Of the last run of this window; that of another project does not count.
    """
    if own is not None and project in own.path.parents:
        return own.path
    return max((project / FOLDER).glob("training-*.log"), default=None)


def read_log(path: Path, own: RunLog | None) -> str:
    """Return what a log says: of a run of this window also what a full disk has not taken.

    Raises
    ------
    StorageError
        If it cannot be read.
    """
    if own is not None and own.path == path:
        return own.text
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror or error}.") from error
