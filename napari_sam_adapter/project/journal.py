"""An append-only file of what happened, written so that a crash costs at most an unfinished line.

A thread of its own writes what waits, in one go, and waits until the disk has it; so a stroke costs
the window nothing, and is on the disk a moment later. Where the disk is full, lines wait in memory
and are tried again each second, and the person is told.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.storage import sync, sync_folder

SECONDS_BETWEEN_TRIES = 1.0


@dataclass(frozen=True, slots=True)
class JournalContents:
    """What a journal holds.

    Attributes
    ----------
    events : list of Event
        In the order of their numbers.
    length : int
        Bytes up to the end of the last whole line; what follows is torn.
    torn : bool
        Whether the last line is unfinished: the program was ended while it wrote.
    damaged : list of str
        A sentence for each line that cannot be read, though others follow it.
    """

    events: list[Event]
    length: int
    torn: bool
    damaged: list[str]


def read_journal(path: Path) -> JournalContents:
    """Read a journal; a missing one is empty.

    Raises
    ------
    StorageError
        If the file cannot be read.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror or error}.") from error
    events: list[Event] = []
    damaged = []
    lines = content.split(b"\n")
    torn = lines.pop() != b""
    for number, line in enumerate(lines, 1):
        try:
            event = Event.from_line(line)
            if events and event.n <= events[-1].n:
                raise ValueError(f"it has number {event.n} after {events[-1].n}")
            events.append(event)
        except (ValueError, KeyError, TypeError) as error:
            damaged.append(f"{path.name}, line {number} is damaged: {error}")
    return JournalContents(events, content.rfind(b"\n") + 1, torn, damaged)


class JournalWriter:
    """Appends to a journal.

    Parameters
    ----------
    path : Path
    contents : JournalContents
        What is there already; an unfinished line at its end is cut off.
    told : callable, optional
        Called in the writing thread with a sentence when writing fails, and with "" when it works
        again.

    Attributes
    ----------
    acknowledged : int
        Number of the last line that is on the disk.
    """

    def __init__(
        self,
        path: Path,
        contents: JournalContents,
        told: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.path, self._told = path, told
        self._last = self.acknowledged = contents.events[-1].n if contents.events else 0
        self._length = contents.length
        self._waiting: list[tuple[int, bytes]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, event: Event) -> int:
        """Let an event be written, and return its number at once."""
        with self._changed:
            self._waiting.append((self._last + 1, event.to_line(self._last + 1)))
            self._last += 1
            self._changed.notify_all()
            return self._last

    @property
    def last(self) -> int:
        """Number of the last line, written or not."""
        return self._last

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is on the disk; return whether it is."""
        with self._changed:
            wanted = self._last
            return self._changed.wait_for(lambda: self.acknowledged >= wanted, timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, and end.

        Raises
        ------
        StorageError
            If it could not be written in time; it is lost then.
        """
        done = self.flush(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        if not done:
            lost = self._last - self.acknowledged
            raise StorageError(f"{lost} lines could not be written to {self.path}: {self._problem}")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch = list(self._waiting)
                if self._closing and (not batch or self._problem):
                    return
            try:
                self._write(b"".join(line for _, line in batch))
            except OSError as error:
                self._say(
                    f"{self.path} could not be written: {error.strerror or error}. What you do is "
                    "kept in memory and tried again each second: free some space, and do not close "
                    "the window."
                )
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, SECONDS_BETWEEN_TRIES)
                continue
            with self._changed:
                del self._waiting[: len(batch)]
                self.acknowledged = batch[-1][0]
                self._changed.notify_all()
            self._say("")

    def _write(self, lines: bytes) -> None:
        """Append, and take back what was written of a line that did not fit."""
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            os.ftruncate(number, self._length)  # a line torn by a crash
            os.lseek(number, self._length, os.SEEK_SET)
            left = memoryview(lines)
            while left:
                left = left[os.write(number, left) :]
            sync(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(number, self._length)
            raise
        finally:
            os.close(number)
        if is_new:
            sync_folder(self.path.parent)
        self._length += len(lines)

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._told(problem)
