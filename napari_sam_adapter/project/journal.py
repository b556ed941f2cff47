"""An append-only file of what happened, written so that a crash costs at most an unfinished line.

A thread of its own writes what waits, in one go, and waits until the disk has it; so a stroke costs
the window nothing, and is on the disk a moment later. Where the disk is full, or the journal is not
where it was, lines wait in memory and are tried again each second, and the person is told.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.events import Event, UnknownEventError
from napari_sam_adapter.storage import sync, sync_folder

JOURNAL = "journal.jsonl"
SECONDS_BETWEEN_TRIES = 1.0
_TAIL = 2**16  # bytes; longer than nearly all lines
_UNTIL_THEN = (
    "What you do is kept in memory and tried again each second: do not close the window before."
)


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
    end : bytes
        The last whole line, by which the journal is known again.
    damaged : list of str
        A sentence for each line that cannot be read, though others follow it.
    last : int
        The highest number that was given, also to lines that cannot be read.
    newer : str
        A sentence about the first line that a newer version has written; "" where there is none.
    """

    events: list[Event]
    length: int
    torn: bool
    end: bytes
    damaged: list[str]
    last: int
    newer: str = ""

    def check_version(self) -> None:
        """Make sure that there is nothing in it which this version does not know.

        Raises
        ------
        StorageError
            If there is: what we wrote after it, or made of it, might be wrong.
        """
        if self.newer:
            raise StorageError(self.newer)

    def goes_on_after(self, end: bytes) -> bool:
        """Whether this is what ended so, and nothing was done to a slice since."""
        if end == self.end:
            return True
        for event in reversed(self.events):
            if event.to_line(event.n) == end:
                return True
            if event.slice is not None:
                return False
        return not end


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
    damaged, newer, last = [], "", 0
    lines = content.split(b"\n")
    torn = lines.pop() != b""
    for number, line in enumerate(lines, 1):
        try:
            event = Event.from_line(line)
            if events and event.n <= events[-1].n:
                raise ValueError(f"it has number {event.n} after {events[-1].n}")
            events.append(event)
            last = max(last, event.n)
        except UnknownEventError as error:
            last = max(last, error.n)
            newer = newer or (
                f"{path}, line {number} {error.what}, which this version does not know. Nothing "
                "was changed; update napari-sam-adapter to open it."
            )
        except (ValueError, KeyError, TypeError) as error:
            last += 1
            damaged.append(f"{path.name}, line {number} is damaged: {error}.")
    length = content.rfind(b"\n") + 1
    end = _last_line(content[:length])
    return JournalContents(events, length, torn, end, damaged, last, newer)


def last_event(path: Path) -> Event:
    """Read the last whole line alone, from the end of the file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError, KeyError, TypeError
        If there is no such line, or it is damaged or a newer version's, see `Event.from_line`.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        n_bytes = _TAIL
        while True:
            stream.seek(max(0, size - n_bytes))
            tail = stream.read()
            whole = tail[: tail.rfind(b"\n") + 1]
            line = _last_line(whole)
            # What the tail begins with may be the end of a line only, but at the file's beginning.
            if len(line) < len(whole) or n_bytes >= size:
                return Event.from_line(line)
            n_bytes *= 2


class JournalWriter:
    """Appends to a journal.

    Parameters
    ----------
    path : Path
        Its folder must be there.
    contents : JournalContents
        What is there already, see `JournalContents.check_version`; an unfinished line at its end is
        cut off.
    told : callable, optional
        Called in the writing thread with a sentence when writing fails, and with "" when it works
        again.

    Attributes
    ----------
    acknowledged : int
        Number of the last line that is on the disk.
    end : bytes
        That line.
    """

    def __init__(
        self,
        path: Path,
        contents: JournalContents,
        told: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.path, self._told = path, told
        self._last = self.acknowledged = contents.last
        self._length, self.end = contents.length, contents.end
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

    def skip_to(self, n: int) -> None:
        """Give no number up to this one: it may have been that of a line that is lost."""
        with self._changed:
            self._last = max(self._last, n)
            if not self._waiting:
                self.acknowledged = self._last

    @property
    def problem(self) -> str:
        """Why what was appended does not reach the disk; "" where it does."""
        return f"{self._problem} {_UNTIL_THEN}" if self._problem else ""

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
        """Write what waits, and end; what cannot be written is tried once more.

        Raises
        ------
        StorageError
            If it could not be written in time; it is lost then.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        lost = len(self._waiting)
        if lost:
            changes = "1 change was" if lost == 1 else f"{lost} changes were"
            raise StorageError(f"{changes} not written down: {self._problem or 'no time was left'}")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch = list(self._waiting)
            if not batch:
                return
            try:
                self._write(b"".join(line for _, line in batch))
            except OSError as error:
                self._say(self._cause(error))
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, SECONDS_BETWEEN_TRIES)
                continue
            with self._changed:
                del self._waiting[: len(batch)]
                self.acknowledged = batch[-1][0]
                self._changed.notify_all()
            self._say("")

    def _write(self, lines: bytes) -> None:
        # Made only where there was none: a project that is moved takes its journals along.
        is_new = not self._length
        how = os.O_RDWR | getattr(os, "O_BINARY", 0) | (os.O_CREAT if is_new else 0)
        number = os.open(self.path, how, 0o666)
        try:
            self._check_known(number, lines)
            self._append_to(number, lines)
        finally:
            os.close(number)
        if is_new:
            sync_folder(self.path.parent)
        self._length += len(lines)
        self.end = _last_line(lines)

    def _check_known(self, number: int, lines: bytes) -> None:
        """Make sure that an open file is the journal that was written to so far."""
        start = self._length - len(self.end)
        os.lseek(number, start, os.SEEK_SET)
        there = os.read(number, max(0, os.fstat(number).st_size - start))
        whole = there[: there.rfind(b"\n") + 1]
        # What follows our last line may be of these, from a try that failed, or torn by a crash.
        if len(whole) < len(self.end) or not (self.end + lines).startswith(whole):
            raise _AnotherJournalError

    def _append_to(self, number: int, lines: bytes) -> None:
        """Append, and take back what was written of a line that did not fit."""
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

    def _cause(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError | _AnotherJournalError):
            return (
                f"{self.path} is not there any more, or not as it was left. If the project's "
                "folder was moved or renamed, bring it back, or choose it where it is now."
            )
        return f"{self.path} could not be written: {error.strerror or error}; free some space."

    def _say(self, cause: str) -> None:
        if cause != self._problem:
            self._problem = cause
            self._told(self.problem)


class _AnotherJournalError(OSError):
    """What lies where the journal was is not what was written."""


def _last_line(lines: bytes) -> bytes:
    """Return the last of whole lines, its end included; nothing where there is none."""
    return lines[lines.rfind(b"\n", 0, -1) + 1 :]
