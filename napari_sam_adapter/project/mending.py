"""What is known of the slices of a record: from its journal, and what it lost from the mask files.

Whoever needs masks of a project reads them here, so that all see the same: the window, a training
run that learns from other images too, a replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.annotations.slice_history import LabelChange, SliceHistory
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.journal import JOURNAL, JournalContents, read_journal
from napari_sam_adapter.project.mask_files import MASKS, mask_lines, mask_name, read_mask_file
from napari_sam_adapter.project.replay import by_slice, masks_dtype, replayed
from napari_sam_adapter.project.runs import runs_of
from napari_sam_adapter.volumes.slice_source import SliceIndex

if TYPE_CHECKING:
    from napari_sam_adapter.project.image_identity import ImageIdentity


_NAMED = 3


@dataclass(frozen=True, slots=True)
class RecordContents:
    """What a record holds.

    Attributes
    ----------
    folder : Path
    identity : ImageIdentity
    journal : JournalContents
    events : list of Event
        Those of the journal. Where a mask file shows that lines are lost, one more says in their
        place, and under the number of the last of them, how they left the slice.
    mended : dict of slice index to int
        Slices for which there is such an event, and the last line that is known of them.
    file_lines : mapping of slice index to int
        After which line each mask file was written.
    """

    folder: Path
    identity: ImageIdentity
    journal: JournalContents
    events: list[Event]
    mended: dict[SliceIndex, int]
    file_lines: Mapping[SliceIndex, int]

    @property
    def dtype(self) -> np.dtype:
        """The smallest type that holds every label ever written."""
        return masks_dtype(self.events)

    @property
    def last_lines(self) -> dict[SliceIndex, int]:
        """The last line that wrote pixels of each slice."""
        return _last_lines(self.events)

    @property
    def troubles(self) -> list[str]:
        """Sentences about what was damaged, and what became of it."""
        found = list(self.journal.damaged)
        if self.journal.torn:
            found.append("The last line was unfinished, and is left out.")
        found += [f"{mask_name(one)} was taken from its mask file." for one in self.mended]
        return found

    def slices(
        self, *, before: int | None = None, dtype: np.dtype | None = None
    ) -> dict[SliceIndex, SliceHistory]:
        """Bring back every slice that something happened to.

        Parameters
        ----------
        before : int, optional
            As they were just before this line; by default as they are.
        dtype : dtype, optional
            Of the masks; by default the smallest that holds them.

        Raises
        ------
        StorageError
            If the journal does not fit the image or the type.
        """
        events = self.events
        if before is not None:
            # What was mended was stated later than it was so.
            events = [one for one in events if one.details.get("since", one.n) < before]
        try:
            return dict(replayed(events, self.identity.slice_shape, dtype or self.dtype))
        except ValueError as error:
            raise _does_not_fit(self.folder, self.identity, error) from error


def in_short(troubles: list[str]) -> str:
    """Say the first troubles of many, and how many more there are."""
    more = [f"{len(troubles) - _NAMED} more."] if len(troubles) > _NAMED else []
    return " ".join(troubles[:_NAMED] + more)


def read_record(folder: Path, identity: ImageIdentity) -> RecordContents:
    """Read a record that another window may have open.

    Raises
    ------
    StorageError
        If its journal cannot be read, is a newer version's, or does not fit the image.
    """
    # The files first: one that is written meanwhile must not look newer than the journal.
    file_lines = mask_lines(folder / MASKS, identity.slider_shape)
    journal = read_journal(folder / JOURNAL)
    journal.check_version()
    return mended(folder, identity, journal, file_lines)


def mended(
    folder: Path,
    identity: ImageIdentity,
    journal: JournalContents,
    file_lines: Mapping[SliceIndex, int],
) -> RecordContents:
    """Put what the mask files know in the place of lines that are lost.

    A file knows more than the journal where it was written after a line that is not there any more,
    or where the lines up to its own do not lead to what it holds.

    Raises
    ------
    StorageError
        If the journal does not fit the image.
    """
    own, last = by_slice(journal.events), _last_lines(journal.events)
    events, found = list(journal.events), {}
    for index, line in sorted(file_lines.items()):
        if not journal.damaged and line <= last.get(index, 0):
            continue
        file = read_mask_file(folder / MASKS / mask_name(index))
        if file is None or file[0] != line or file[1].shape != identity.slice_shape:
            continue
        try:
            event = _in_place_of_lost(index, line, file[1], own.get(index, []))
        except ValueError as error:
            raise _does_not_fit(folder, identity, error) from error
        if event is not None:
            events.append(event)
            found[index] = max(line, *(one.n for one in own.get(index, [])), 0)
    events.sort(key=lambda event: event.n)  # stable: after the line that has the same number
    return RecordContents(folder, identity, journal, events, found, file_lines)


def _in_place_of_lost(
    index: SliceIndex, line: int, labels: np.ndarray, events: list[Event]
) -> Event | None:
    """Return what leads from the lines up to one to a mask file (Y, X); None where nothing does."""
    earlier = [event for event in events if event.n <= line]
    height, width = labels.shape
    dtype = np.dtype(np.int64)
    known = dict(replayed(earlier, (height, width), dtype)).get(index)
    change = LabelChange.between(
        np.zeros_like(labels) if known is None else known.seen.unpacked(), labels
    )
    if not change.positions.size:
        return None
    if known is None:
        return Event("painted", n=line, slice=index, runs=runs_of(change))
    return Event(
        "painted",
        n=line,
        slice=index,
        runs=runs_of(change),
        prediction=known.now.number,
        adapter=known.now.adapter,
        confidence=known.now.confidence,
        accepted=known.accepted,
    )


def _last_lines(events: list[Event]) -> dict[SliceIndex, int]:
    return {
        event.slice: event.n
        for event in events
        if event.slice is not None and (event.runs or event.do == "stated")
    }


def _does_not_fit(folder: Path, identity: ImageIdentity, error: ValueError) -> StorageError:
    return StorageError(
        f"The journal of {identity.name} does not fit it: {error}. It is unchanged, in {folder}."
    )
