"""What a project has of each of its images, in a line: for lists to choose from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.journal import JOURNAL, read_journal
from napari_sam_adapter.project.mask_files import MASKS, mask_lines
from napari_sam_adapter.project.mending import mended
from napari_sam_adapter.project.pixels import COPY
from napari_sam_adapter.storage import is_there

_DAYS_IN_WORDS = 7


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What a journal tells in sum.

    Attributes
    ----------
    n_corrected, n_accepted : int
        Slices; what is accepted does not count as corrected.
    last : datetime or None
        Of the last line; None where there is none.
    trouble : str
        Why there are no numbers, in a few words; "" where nothing is wrong.
    n_ready : int
        Those of the slices that a training learns from: all but those with labels below 0.
    """

    n_corrected: int = 0
    n_accepted: int = 0
    last: datetime | None = None
    trouble: str = ""
    n_ready: int = 0


@dataclass(frozen=True, slots=True)
class ImageOverview:
    """A record of a project, seen from outside.

    Attributes
    ----------
    record : Path
        Its folder.
    name : str
        Of the image; says which masks it is about, where they are not its first.
    n_slices : int
        Of the image.
    done : WorkDone or None
        None while nobody has looked.
    is_missing : bool
        Whether there is neither the image's file nor a copy in the project.
    """

    record: Path
    name: str
    n_slices: int
    done: WorkDone | None = None
    is_missing: bool = False

    @classmethod
    def by_name(cls, record: Path, identity: ImageIdentity) -> ImageOverview:
        """Return what is known without reading the journal or looking for the image."""
        further = re.search(r"-masks(\d+)$", record.name)
        name = f"{identity.name} (masks {further[1]})" if further else identity.name
        return cls(record, name, math.prod(identity.shape[:-2]))

    @classmethod
    def of(cls, record: Path, identity: ImageIdentity) -> ImageOverview:
        """Look at a record; its journal is read again only where it has changed.

        Takes the longer the longer the journal is: not for the window's own thread.
        """
        source = identity.source
        there = is_there(record / COPY) or (source is not None and is_there(Path(source)))
        try:
            status = (record / JOURNAL).stat()
        except OSError:
            done = WorkDone()
        else:
            done = _work_done(record, identity, status.st_size, status.st_mtime_ns)
        by_name = cls.by_name(record, identity)
        return cls(record, by_name.name, by_name.n_slices, done, not there)

    def in_words(self, today: date) -> str:
        """Say it in a line: ``colon.tif — 12 slices, 4 corrected, yesterday``."""
        parts = ["1 slice" if self.n_slices == 1 else f"{self.n_slices} slices"]
        if self.done is not None:
            if self.done.trouble:
                parts.append(self.done.trouble)
            if self.done.n_corrected:
                parts.append(f"{self.done.n_corrected} corrected")
            if self.done.n_accepted:
                parts.append(f"{self.done.n_accepted} accepted")
            if self.done.last is not None:
                parts.append(_day(self.done.last.astimezone().date(), today))
        if self.is_missing:
            parts.append("file not found")
        return f"{self.name} — {', '.join(parts)}"


@lru_cache(maxsize=4096)
def _work_done(record: Path, identity: ImageIdentity, size: int, changed_ns: int) -> WorkDone:
    """Sum up a journal; of one that was not written to since, the answer is kept."""
    try:
        files = mask_lines(record / MASKS, identity.slider_shape)
        journal = read_journal(record / JOURNAL)
        if journal.newer:
            return WorkDone(trouble="of a newer version")
        slices = mended(record, identity, journal, files).slices().values()
    except StorageError:
        return WorkDone(trouble="journal damaged")
    accepted = sum(one.accepted for one in slices)
    judged = [one for one in slices if one.accepted or one.corrected]
    ready = sum(not one.holds_below_0 for one in judged)
    last = journal.events[-1].time if journal.events else None
    return WorkDone(len(judged) - accepted, accepted, last, n_ready=ready)


def _day(day: date, today: date) -> str:
    days = (today - day).days
    if days == 0:
        return "today"
    if days == 1:
        return "yesterday"
    return f"{days} days ago" if 1 < days < _DAYS_IN_WORDS else day.isoformat()
