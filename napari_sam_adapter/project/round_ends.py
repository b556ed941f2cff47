"""Where rounds end: a retraining that made a version ends one in every image that it learns from.

Only the journal of the image that was open tells of it. Its line names the others by lines of their
own journals, so nothing has to be written into a record that somebody else may have open.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path

from napari_sam_adapter.project.events import Event

_MARKS = (b'"do":"training"', b'"do":"trained"')


def begins_round(event: Event) -> bool:
    """Whether a run was asked for: one that `follows` another is the next gear of one click."""
    return event.do == "training" and not event.details.get("follows")


class RoundsAsked:
    """Runs that were asked for; only one that made a version has ended a round."""

    def __init__(self) -> None:
        self._asked: dict[str, Event] = {}

    def ended_by(self, event: Event) -> Event | None:
        """Return the `training` line of the run that made a version, by the line that says so."""
        run = event.details.get("run")
        if begins_round(event):
            if run is None:
                return event  # of a version that did not say what became of it
            self._asked[str(run)] = event
        return self._asked.pop(str(run), None) if event.do == "trained" else None


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
    runs: list[tuple[Event, ...]] = []
    for journal in sorted(images.glob("*/journal.jsonl")):
        with contextlib.suppress(OSError):
            status = journal.stat()
            runs.append(_runs_in(journal, status.st_size, status.st_mtime_ns))
    # Of a run resumed while another image was open, earlier versions said there that it has ended.
    told = sorted(chain.from_iterable(runs), key=lambda event: event.do == "trained")
    asked, ends = RoundsAsked(), defaultdict[str, set[int]](set)
    for event in told:
        training = asked.ended_by(event)
        for record, line in () if training is None else parts_of(training):
            ends[record].add(line)
    return dict(ends)


@lru_cache(maxsize=4096)
def _runs_in(journal: Path, size: int, changed_ns: int) -> tuple[Event, ...]:
    """Return the lines about runs; of a journal not written to since, the answer is kept."""
    del size, changed_ns
    found = []
    with journal.open("rb") as lines:
        for line in lines:
            if any(mark in line for mark in _MARKS):
                with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged
                    found.append(Event.from_line(line))
    return tuple(found)
