"""The lines of a journal: what happened, when, and to which slice."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

from napari_sam_adapter.annotations.slice_history import Action, SliceChange, SliceHistory
from napari_sam_adapter.project.runs import runs_of, runs_of_labels
from napari_sam_adapter.volumes.slice_source import SliceIndex

_DEEDS = {*get_args(Action), "stated", "training", "trained"}
_STATED = ("written", "human", "since")  # what ``stated`` says beside what ``predicted`` does
_CHECKSUM = re.compile(r',"crc":"([0-9a-f]{8})"}')


class UnknownEventError(ValueError):
    """A line is whole, but says what this version does not know.

    Attributes
    ----------
    n : int
        Its number.
    what : str
        What it says, as the end of a sentence about it.
    """

    def __init__(self, n: int, what: str) -> None:
        super().__init__(what)
        self.n, self.what = n, what


@dataclass(frozen=True, slots=True)
class Event:
    """One line.

    Attributes
    ----------
    do : str
        What was done to a slice, see `slice_history.SliceChange.action`; ``stated`` (all that is
        known of it, whatever was written before); ``training`` (a run was started), ``trained``
        (it made an adapter).
    at : str
        When, UTC, ISO 8601 with milliseconds.
    n : int
        Counts the lines of a journal from 1 on.
    slice : tuple of int or None
        Position on the slider axes; None where no slice is meant.
    runs : tuple of int
        Pixels that changed, see `runs.runs_of`.
    prediction, adapter, confidence, accepted
        Of the slice from now on, see `slice_history.SliceChange`.
    details : mapping
        More about it, see docs/project-format.md.
    """

    do: str
    at: str = ""
    n: int = 0
    slice: SliceIndex | None = None
    runs: tuple[int, ...] = ()
    prediction: int = 0
    adapter: str | None = None
    confidence: float | None = None
    accepted: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, change: SliceChange, continues: int | None = None) -> Event:
        """Return the line of something that happened to a slice.

        Parameters
        ----------
        change : SliceChange
        continues : int, optional
            Number of the line with which its stroke began, if that was another one.
        """
        more = {} if continues is None else {"continues": continues}
        return cls(
            do=change.action,
            at=now(),
            slice=change.index,
            runs=runs_of(change.change),
            prediction=change.prediction,
            adapter=change.adapter,
            confidence=change.confidence,
            accepted=change.is_accepted,
            details={**change.details, **more},
        )

    @classmethod
    def stating(cls, index: SliceIndex, known: SliceHistory, since: int | None = None) -> Event:
        """Return a line that says all that is known of a slice.

        Parameters
        ----------
        index : tuple of int
        known : SliceHistory
        since : int, optional
            After which line it was so already, where lines are lost that said it.
        """
        mended = {} if since is None else {"since": since}
        return cls(
            do="stated",
            at=now(),
            slice=index,
            runs=runs_of_labels(known.seen),
            prediction=known.now.number,
            adapter=known.now.adapter,
            confidence=known.now.confidence,
            accepted=known.accepted,
            details={
                **known.now.made_with,
                "written": runs_of_labels(known.now.written),
                "human": runs_of_labels(known.now.human),
                **mended,
            },
        )

    @property
    def made_with(self) -> dict[str, Any]:
        """What a slice was predicted from besides the image, where the line says that."""
        if self.do not in ("predicted", "stated"):
            return {}
        return {key: told for key, told in self.details.items() if key not in _STATED}

    @property
    def time(self) -> datetime:
        """When."""
        return datetime.fromisoformat(self.at)

    def to_line(self, n: int) -> bytes:
        """Return the line under a number, its end and a checksum of the rest included."""
        values: dict[str, Any] = {"n": n, "at": self.at, "do": self.do}
        if self.slice is not None:
            values |= {
                "slice": list(self.slice),
                "runs": list(self.runs),
                "prediction": self.prediction,
                "adapter": self.adapter,
                "confidence": self.confidence,
                "accepted": self.accepted,
            }
        if self.details:
            values["details"] = dict(self.details)
        body = json.dumps(values, separators=(",", ":"), allow_nan=False)
        return f'{body[:-1]},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()

    @classmethod
    def from_line(cls, line: bytes) -> Event:
        """Read a line.

        Raises
        ------
        ValueError
            If it is damaged.
        UnknownEventError
            If it is whole, but a newer version's.
        """
        text = line.decode("utf-8").rstrip("\n")
        cut = len(text) - len(',"crc":"00000000"}')
        checksum = _CHECKSUM.fullmatch(text, max(cut, 0))
        body = text[:cut] + "}"
        if not checksum or int(checksum[1], 16) != zlib.crc32(body.encode()):
            raise ValueError("its checksum is wrong")
        values = json.loads(body)
        if values["do"] not in _DEEDS:
            raise UnknownEventError(int(values["n"]), f"says {values['do']!r}")
        unknown = values.keys() - cls.__slots__
        if unknown:
            raise UnknownEventError(int(values["n"]), f"has the key {min(unknown)!r}")
        if "slice" in values:
            values["slice"] = tuple(int(i) for i in values["slice"])
            values["runs"] = tuple(int(i) for i in values["runs"])
        return cls(**values)


def now() -> str:
    """Return the time as events hold it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
