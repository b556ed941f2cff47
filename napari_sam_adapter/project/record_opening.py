"""Find the record of an image's masks in a project, and read what it brings back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.effort import Ledger
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord, Restored
from napari_sam_adapter.project.mending import read_record
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.volumes.slice_source import SliceSource

READ_ONLY = (
    "The project cannot be written to, so it is open for looking alone, and nothing done here is "
    "kept. To go on working, choose another project folder by ⋯ beside the project's name, or make "
    "this one writable."
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A record with what it brings back, in labels of this type, and the image as it is now."""

    identity: ImageIdentity
    record: ImageRecord
    restored: Restored
    dtype: np.dtype
    open_another: Callable[[Collection[Path]], ImageRecord]

    def another(self, dtype: DTypeLike, in_use: Collection[Path]) -> Opened:
        """Close the record, and begin another one of the same image in the same project.

        Raises
        ------
        StorageError
            If it cannot be written; this one is still open then.
        """
        used = {*in_use, self.record.folder}
        record = self.open_another(used)
        try:
            held = record.masks_dtype(dtype)
            restored = record.restore(held)
        except BaseException:
            record.close()
            raise
        self.record.close()
        opened = Opened(self.identity, record, restored, held, self.open_another)
        return opened if held == dtype else opened.another(dtype, used)


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What a record brings back that cannot be written to."""

    restored: Restored
    dtype: np.dtype

    @classmethod
    def in_folder(cls, folder: Path, identity: ImageIdentity) -> LookedAt:
        """Read a record, and write nothing.

        Raises
        ------
        StorageError
            If it cannot be read.
        """
        contents = read_record(folder, identity)
        n_strokes = Ledger(contents.journal.events).n_strokes
        restored = Restored(contents.slices(), n_strokes, contents.troubles)
        return cls(restored, contents.dtype)


class Handover:
    """Where a thread leaves a record that it has opened, until the window takes it.

    A dock may close meanwhile, and then nothing that the thread says arrives: without this the
    record would stay open, and locked, as long as the program runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._record: ImageRecord | None = None
        self._is_abandoned = False

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody will take a record."""
        return self._is_abandoned

    def leave(self, record: ImageRecord) -> bool:
        """Leave a record to be taken; where nobody will, close it and return False."""
        with self._lock:
            if not self._is_abandoned:
                self._record = record
                return True
        _close(record)
        return False

    def take(self) -> bool:
        """Take the record over; return whether it is there, and open."""
        with self._lock:
            record, self._record = self._record, None
        return record is not None

    def abandon(self) -> None:
        """Take none any more, and close the one that was left."""
        with self._lock:
            self._is_abandoned = True
            record, self._record = self._record, None
        if record is not None:
            _close(record)


def _close(record: ImageRecord) -> None:
    # What opening has mended and cannot be written is mended again next time.
    with contextlib.suppress(StorageError):
        record.close()


@dataclass(frozen=True, slots=True)
class RecordOpening:
    """What a worker thread needs to open the record of an image.

    Attributes
    ----------
    project : Project
    source : SliceSource
    name : str
    path, patient : str or None
        Of the image, see `ImageIdentity`.
    besides : collection of Path
        Records that are in use, or were dismissed.
    wanted : Path or None
        The record it is to be; by default the latest.
    preferred : collection of Path
        Records that go before the latest.
    labels_dtype : dtype or None
        Of the masks layer; None where there is none.
    told : callable
        See `JournalWriter`.
    handover : Handover
        Where the record is left before it is told of.
    """

    project: Project
    source: SliceSource
    name: str
    path: str | None
    patient: str | None
    besides: Collection[Path]
    wanted: Path | None
    preferred: Collection[Path]
    labels_dtype: DTypeLike | None
    told: Callable[[str], None]
    handover: Handover = field(default_factory=Handover)

    def events(self) -> Iterator[ImageIdentity | Opened | LookedAt]:
        """Yield what the image is known by, then its record, if it has or needs one.

        Raises
        ------
        ImageError
            If the image cannot be read.
        StorageError
            If the record is open elsewhere, or cannot be read or written.
        """
        identity = ImageIdentity.of(self.source, self.name, self.path, self.patient)
        try:
            yield from self._events_of(identity)
        except OSError as error:
            raise StorageError(
                f"{self.project.folder} does not answer: {error.strerror or error}. Nothing that "
                "is done here is recorded meanwhile."
            ) from error

    def _events_of(self, identity: ImageIdentity) -> Iterator[ImageIdentity | Opened | LookedAt]:
        self.project.tell_apart(identity)
        yield identity
        folders = self.project.folders_of(identity)
        known = [folder for folder in folders if folder not in self.besides]
        if self.labels_dtype is None and not known:
            return  # nothing was done to it yet; once something is, there is a masks layer
        preferred = (folder for folder in known if folder in self.preferred)
        wanted = self.wanted or (next(preferred, None) if self.labels_dtype is None else None)
        if self.project.is_read_only:
            if not known:
                raise StorageError(READ_ONLY)
            yield LookedAt.in_folder(wanted or known[0], identity)
            return
        others = set(self.besides)
        if wanted is not None:
            others |= set(known) - {wanted}

        def open_besides(folders: Collection[Path]) -> ImageRecord:
            return self.project.open_record(identity, besides=folders, told=self.told)

        if self.handover.is_abandoned:
            return
        record = open_besides(others)
        try:
            dtype = record.masks_dtype(self.labels_dtype)
            opened = Opened(identity, record, record.restore(dtype), dtype, open_besides)
        except BaseException:
            record.close()
            raise
        if self.handover.leave(record):
            yield opened
