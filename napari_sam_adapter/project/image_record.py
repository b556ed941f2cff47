"""What a project keeps of one image: who it is, and the journal and files of its masks."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import DTypeLike

from napari_sam_adapter.annotations.slice_history import SliceChange, SliceHistory
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.effort import Ledger
from napari_sam_adapter.project.events import Event, now
from napari_sam_adapter.project.image_identity import IMAGE_FILE, ImageIdentity
from napari_sam_adapter.project.journal import JOURNAL, JournalWriter, read_journal
from napari_sam_adapter.project.mask_files import MASKS, MaskFiles, mask_lines
from napari_sam_adapter.project.mending import RecordContents, mended
from napari_sam_adapter.project.replay import masks_dtype
from napari_sam_adapter.storage import make_folder
from napari_sam_adapter.volumes.slice_source import SliceIndex


@dataclass(slots=True)
class RecordMark:
    """By what a record is known again that was closed, also once it was moved.

    Attributes
    ----------
    folder : Path
        Where it lay.
    end : bytes or None
        How its journal ended when it was closed; None before.
    """

    folder: Path
    end: bytes | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What a record brings back.

    Attributes
    ----------
    slices : dict of slice index to SliceHistory
    n_strokes : int
        Edits by the person in all.
    troubles : list of str
        Sentences about what was damaged, and what became of it.
    """

    slices: dict[SliceIndex, SliceHistory]
    n_strokes: int
    troubles: list[str]


class ImageRecord:
    """Writes down what happens to the masks of an image, and brings it back.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    identity : ImageIdentity
        What a new record says; one that is there keeps its own, and learns what it did not know of
        patient and finer digest.
    told : callable, optional
        See `JournalWriter`.

    Attributes
    ----------
    ledger : Ledger
        What the person did, and how long it took.
    mark : RecordMark
        What to know it by later, see `goes_on_from`.

    Raises
    ------
    StorageError
        If the record is open elsewhere, cannot be read, or is newer than this program.
    """

    def __init__(
        self,
        folder: Path,
        identity: ImageIdentity,
        told: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.folder, self.identity, self.mark = folder, identity, RecordMark(folder)
        self._lock = _locked(folder)
        try:
            known = ImageIdentity.read(folder) if (folder / IMAGE_FILE).exists() else None
            if known is not None:
                self.identity = replace(
                    known,
                    patient=known.patient or identity.patient,
                    fine_digest=known.fine_digest or identity.fine_digest,
                )
            self._contents = read_journal(folder / JOURNAL)
            self._contents.check_version()
            if known is None:
                self.identity.write(folder)
            elif self.identity != known:
                with contextlib.suppress(StorageError):  # it can be told again next time
                    self.identity.write(folder)
            self.journal = JournalWriter(folder / JOURNAL, self._contents, told)
            self.ledger = Ledger(self._contents.events)
        except BaseException:
            self._lock.release()
            raise
        self._masks = MaskFiles(folder / MASKS, lambda: self.journal.acknowledged)
        self._stroke = (0, 0)  # the last one's number, and the line with which it began

    def goes_on_from(self, mark: RecordMark | None) -> bool:
        """Whether this is a record as it was closed here: nobody else has worked on it since."""
        if mark is None or mark.end is None:
            return False
        is_here = mark.folder == self.folder or not mark.folder.exists()
        return is_here and self._contents.goes_on_after(mark.end)

    def masks_dtype(self, preferred: DTypeLike | None = None) -> np.dtype:
        """Return a type that holds every label ever written: the preferred one, or the smallest."""
        return masks_dtype(self._mended.events, preferred)

    def restore(self, dtype: np.dtype) -> Restored:
        """Bring back every slice as it was when the record was closed, or its program ended.

        What the journal has lost is stated in it again, and mask files that a killed program or a
        full disk has left behind are brought up to date.

        Parameters
        ----------
        dtype : dtype
            Of the masks layer.

        Raises
        ------
        StorageError
            If the journal does not fit the image or the masks layer.
        """
        contents = self._mended
        slices = contents.slices(dtype=dtype)
        self.journal.skip_to(max(contents.file_lines.values(), default=0))
        for index, since in contents.mended.items():
            self.state(index, slices[index], since)
        for index, n in contents.last_lines.items():
            if index not in contents.mended and contents.file_lines.get(index) != n:
                self._masks.put(index, n, slices[index].seen)
        return Restored(slices, self.ledger.n_strokes, contents.troubles)

    def listen(self, change: SliceChange) -> None:
        """Write down what happened to a slice; the listener of a `SliceTracker`."""
        number, began = self._stroke
        continues = began if change.stroke and change.stroke == number else None
        event = Event.of(change, continues)
        n = self.journal.append(event)
        self.ledger.add(replace(event, n=n))
        if change.stroke and continues is None:
            self._stroke = change.stroke, n
        if change.change.positions.size:
            self._masks.put(change.index, n, change.labels)

    def state(self, index: SliceIndex, known: SliceHistory, since: int | None = None) -> None:
        """Write down all that is known of a slice, see `Event.stating`."""
        n = self.journal.append(Event.stating(index, known, since))
        self._masks.put(index, n, known.seen)

    def note(self, do: str, details: Mapping[str, Any]) -> int:
        """Write down something else that happened, and return its line number."""
        event = Event(do, now(), details=details)
        n = self.journal.append(event)
        self.ledger.add(replace(event, n=n))
        return n

    def say_where(self, source: str) -> None:
        """Write down where the image lies now; not once the record is closed.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        if source != self.identity.source and self._lock.is_locked:
            self.identity = replace(self.identity, source=source)
            self.identity.write(self.folder)

    def close(self) -> None:
        """Write what waits, and let others open the record.

        Raises
        ------
        StorageError
            If something could not be written.
        """
        try:
            self.journal.close()
        finally:
            self.mark.end = self.journal.end
            self._masks.close()
            self._lock.release()

    @cached_property
    def _mended(self) -> RecordContents:
        files = mask_lines(self.folder / MASKS, self.identity.slider_shape)
        return mended(self.folder, self.identity, self._contents, files)


def _locked(folder: Path) -> FileLock:
    """Take the lock of a record.

    Raises
    ------
    StorageError
        If somebody has it, with who.
    """
    owner = folder / "opened-by.txt"
    try:
        make_folder(folder)
        # Taken in one thread and given back in another.
        lock = FileLock(folder / "lock", timeout=0, thread_local=False)
        lock.acquire()
        with contextlib.suppress(OSError):  # a full disk: what is there can be opened all the same
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    except Timeout as error:
        who = owner.read_text(encoding="utf-8") if owner.exists() else "another program"
        raise StorageError(
            f"The masks of this image are open in another window ({who}). What is painted here is "
            "not recorded while they are: close them there."
        ) from error
    except OSError as error:
        raise StorageError(
            f"{folder} could not be written: {error.strerror or error}. What is painted is not "
            "recorded: choose another project folder."
        ) from error
    return lock
