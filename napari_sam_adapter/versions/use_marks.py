"""Which versions are in use in some window: a locked file for each, which ends with its process."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from napari_sam_adapter.errors import StorageError


class UseMarks:
    """The mark of one window, and a look at those of others.

    The lock is what counts, not the file: a window that crashed leaves a file nobody holds.

    Parameters
    ----------
    folder : Path
        Made with the first mark.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: tuple[int, FileLock] | None = None

    @property
    def own(self) -> int | None:
        """The version this window uses; None where it uses none."""
        return None if self._own is None else self._own[0]

    def move(self, number: int | None) -> None:
        """Mark a version as used here, and no longer the one before; None marks none.

        Raises
        ------
        StorageError
            If the mark cannot be written; the one before stays.
        """
        if number == self.own:
            return
        before, after = self._own, None if number is None else (number, self._marked(number))
        self._own = after
        if before is not None:
            _end(before[1])

    def is_used_elsewhere(self, number: int) -> bool:
        """Whether another window uses a version. Marks that nobody holds are cleared away."""
        for path in self._folder.glob(f"{number:04d}-*.lock"):
            if self._own is not None and path == Path(self._own[1].lock_file):
                continue
            lock = FileLock(path, timeout=0)
            try:
                lock.acquire()
            except (Timeout, OSError):
                return True
            _end(lock)
        return False

    def _marked(self, number: int) -> FileLock:
        path = self._folder / f"{number:04d}-{uuid.uuid4().hex}.lock"
        # Given back in whichever thread closes the window.
        lock = FileLock(path, timeout=0, thread_local=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (Timeout, OSError) as error:
            raise StorageError(
                f"{path} could not be written: {error}. The version in use has not changed."
            ) from error
        return lock


def _end(lock: FileLock) -> None:
    lock.release()
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink()
