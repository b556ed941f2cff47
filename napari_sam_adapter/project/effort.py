"""What the person did to each slice, and how long it took: computed from the journal."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.round_ends import RoundsAsked, parts_of
from napari_sam_adapter.volumes.slice_source import SliceIndex

# Whoever does nothing for longer is not working on the slice.
IDLE_SECONDS = 30.0
_BY_THE_PERSON = ("painted", "undone", "accepted", "reopened")


@dataclass(frozen=True, slots=True)
class Effort:
    """What a person spent on something.

    Attributes
    ----------
    strokes : int
        Edits: brush strokes, fills, polygons; one for each step of napari's undo.
    pixels : int
        Changed by them, each time anew.
    seconds : float
        Between what was done, pauses of more than `IDLE_SECONDS` cut to that.
    """

    strokes: int = 0
    pixels: int = 0
    seconds: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            self.strokes + other.strokes, self.pixels + other.pixels, self.seconds + other.seconds
        )


@dataclass(frozen=True, slots=True)
class SliceStory:
    """What is known of one slice.

    Attributes
    ----------
    index : tuple of int
    adapter : str or None
        Who predicted it last, see `Event.adapter`.
    confidence : float or None
    effort : Effort
    accepted_at : str or None
        When it was accepted; None where it is not.
    made_with : mapping
        What that prediction was made from besides the image, see `made_with`.
    """

    index: SliceIndex
    adapter: str | None = None
    confidence: float | None = None
    effort: Effort = Effort()
    accepted_at: str | None = None
    made_with: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Round:
    """What the person did between two retrainings that made a version.

    Attributes
    ----------
    slices : dict of slice index to Effort
        On each slice that was worked on. A stroke through several slices counts in each of them.
    effort : Effort
        In all. A stroke through several slices counts once.
    """

    slices: dict[SliceIndex, Effort] = field(default_factory=dict)
    effort: Effort = Effort()
    _last_stroke: int = 0
    _last_strokes: dict[SliceIndex, int] = field(default_factory=dict)

    def add(self, deed: _Deed) -> None:
        """Add something the person did."""
        here = deed.index
        in_slice = deed.effort(self._last_strokes.get(here))
        self.slices[here] = self.slices.get(here, Effort()) + in_slice
        self.effort += deed.effort(self._last_stroke)
        if deed.stroke:
            self._last_stroke = self._last_strokes[here] = deed.stroke


@dataclass(frozen=True, slots=True)
class _Deed:
    """A line the person caused; ``stroke`` is the line with which its stroke began, 0 for none."""

    n: int
    index: SliceIndex
    stroke: int
    pixels: int
    seconds: float

    def effort(self, last_stroke: int | None) -> Effort:
        """Return what it cost where that was the stroke before."""
        is_new = bool(self.stroke) and self.stroke != last_stroke
        return Effort(int(is_new), self.pixels, self.seconds)


class Ledger:
    """Adds up what the person does, line by line.

    Parameters
    ----------
    events : iterable of Event
    ends : collection of int
        Lines before which a round ended by a retraining that another image's journal tells of.
    """

    def __init__(self, events: Iterable[Event] = (), ends: Collection[int] = ()) -> None:
        self._deeds: list[_Deed] = []
        self._ends: list[int] = sorted(ends)
        self._rounds: list[Round] = [Round() for _ in range(len(self._ends) + 1)]
        self._stories: dict[SliceIndex, SliceStory] = {}
        # Undo and redo go back and forth between predictions, which their numbers name.
        self._made_with: dict[tuple[SliceIndex, int], Mapping[str, Any]] = {}
        self._last: datetime | None = None
        self._asked = RoundsAsked()
        for event in events:
            self.add(event)

    @property
    def stories(self) -> list[SliceStory]:
        """What happened to each slice, in the order of the slices."""
        return [
            replace(self._stories[index], effort=self._effort_on(index))
            for index in sorted(self._stories)
        ]

    @property
    def worked_rounds(self) -> list[Round]:
        """The rounds in which the person did anything."""
        return [one for one in self._rounds if one.slices]

    @property
    def n_strokes(self) -> int:
        """How many strokes there were in all."""
        return sum(one.effort.strokes for one in self._rounds)

    def add(self, event: Event) -> None:
        """Take note of the next line of a journal."""
        deed = self._deed(event)
        self._last = event.time
        if deed is not None:
            self._deeds.append(deed)
            self._rounds[bisect_right(self._ends, deed.n)].add(deed)
        training = self._asked.ended_by(event)
        if training is not None:
            # What was done after it was asked for, and before it was written down, is not learned.
            own = next(iter(parts_of(training)), None)
            self.end_round(training.n if own is None else own[1])
        if event.slice is None:
            return
        known = self._stories.get(event.slice, SliceStory(event.slice))
        if event.made_with:
            self._made_with[event.slice, event.prediction] = event.made_with
        self._stories[event.slice] = replace(
            known,
            adapter=event.adapter,
            confidence=event.confidence,
            accepted_at=(known.accepted_at or event.at) if event.accepted else None,
            made_with=self._made_with.get((event.slice, event.prediction), {}),
        )

    def end_round(self, line: int) -> None:
        """Let a round end before a line of the journal: what came before was learned from."""
        if line in self._ends:
            return
        insort(self._ends, line)
        self._rounds.append(Round())
        if self._deeds and self._deeds[-1].n >= line:
            self._rounds = [Round() for _ in self._rounds]
            for deed in self._deeds:
                self._rounds[bisect_right(self._ends, deed.n)].add(deed)

    def _deed(self, event: Event) -> _Deed | None:
        """Return what a line cost the person; predictions cost nothing."""
        if event.do not in _BY_THE_PERSON or event.slice is None:
            return None
        passed = 0.0 if self._last is None else (event.time - self._last).total_seconds()
        seconds = min(max(passed, 0.0), IDLE_SECONDS)
        if event.do != "painted":
            return _Deed(event.n, event.slice, 0, 0, seconds)
        stroke = event.details.get("continues", event.n)
        return _Deed(event.n, event.slice, stroke, sum(event.runs[1::3]), seconds)

    def _effort_on(self, index: SliceIndex) -> Effort:
        efforts = (one.slices[index] for one in self._rounds if index in one.slices)
        return sum(efforts, Effort())
