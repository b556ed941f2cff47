"""Where an unfinished run is kept. Apart from `resume`, which needs torch: the window does not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.storage import is_missing

STEPS_BETWEEN = 100
# Steps of a large model are slow; a person should not lose more than this.
SECONDS_BETWEEN = 60.0


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """Where a run writes its state, and how often.

    Attributes
    ----------
    path : Path
    every : int
        Steps between two checkpoints; a slow run writes one every minute.
    resume : bool
        Continue from the file if it is there.
    belongs_to : Path or None
        A file without which the run ends, as if it were stopped, and writes nothing here any more:
        what it is for was moved or deleted.
    """

    path: Path
    every: int = STEPS_BETWEEN
    resume: bool = False
    belongs_to: Path | None = None

    @property
    def is_homeless(self) -> bool:
        """Whether what the run is for is gone; not while its drive does not answer."""
        return self.belongs_to is not None and is_missing(self.belongs_to)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs away meanwhile: both would write this file, and the same adapter.

        Raises
        ------
        TrainingError
            If another run has it.
        """
        # A lock of the file system, or none: any other kind would survive a kill, and no run could
        # be resumed.
        lock = FileLock(f"{self.path}.lock", timeout=0, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise TrainingError(
                f"Another run writes {self.path}, and the adapter beside it. Wait for its end, "
                "stop it, or give this one another --out."
            ) from error
        except (NotImplementedError, OSError):
            pass  # a file system without locks, as some of clusters: runs do not see each other
        try:
            yield
        finally:
            if lock.is_locked:
                with contextlib.suppress(OSError):  # Windows keeps it until it is let go
                    Path(lock.lock_file).unlink()
            lock.release()
