"""Where rounds end: a retraining ends one in every image that it learns from.

Only the journal of the image that was open tells of it. Its line names the others by lines of their
own journals, so nothing has to be written into a record that somebody else may have open.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from napari_sam_adapter.project.events import Event

_MARK = b'"do":"training"'


def begins_round(event: Event) -> bool:
    """Whether a run was asked for: one that `follows` another is the next gear of one click."""
    return not event.details.get("follows")


def parts_of(event: Event) -> Iterator[tuple[str, int]]:
    """Name what a run learns from, by the `training` line of its journal.

    Yields
    ------
    record : str
        Folder of an image; that of the journal first.
    line : int
        Of its journal: what was done before it is learned from.
    """
    parts = event.details.get("parts", ())
    for part in parts if isinstance(parts, list | tuple) else ():
        if isinstance(part, Mapping) and isinstance(part.get("line"), int):
            yield str(part.get("record")), part["line"]


def round_ends(images: Path) -> dict[str, set[int]]:
    """Find out where rounds ended in each image of a project.

    It reads the journals, each again only where it has changed, but understands the few lines alone
    that tell of a retraining.

    Parameters
    ----------
    images : Path
        Folder of the project's images.

    Returns
    -------
    dict of str to set of int
        By record, the lines of its journal before which a round ended. A journal that cannot be
        read tells of none.
    """
    ends: dict[str, set[int]] = defaultdict(set)
    for journal in sorted(images.glob("*/journal.jsonl")):
        with contextlib.suppress(OSError):
            status = journal.stat()
            for record, line in _ends_in(journal, status.st_size, status.st_mtime_ns):
                ends[record].add(line)
    return dict(ends)


@lru_cache(maxsize=4096)
def _ends_in(journal: Path, size: int, changed_ns: int) -> tuple[tuple[str, int], ...]:
    """Return the parts that end a round; of a journal not written to since, the answer is kept."""
    del size, changed_ns
    return tuple(
        part for event in _trainings_in(journal) if begins_round(event) for part in parts_of(event)
    )


def _trainings_in(journal: Path) -> Iterator[Event]:
    with journal.open("rb") as lines:
        for line in lines:
            if _MARK in line:
                with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged
                    yield Event.from_line(line)
