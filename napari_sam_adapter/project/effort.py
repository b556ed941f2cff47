"""What the person did to each slice, and how long it took: computed from the journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from napari_sam_adapter.project.events import Event
from napari_sam_adapter.volume import SliceIndex

# Whoever does nothing for longer is not working on the slice.
IDLE_SECONDS = 30.0
_BY_THE_PERSON = ("painted", "undone", "accepted", "reopened")


@dataclass(frozen=True, slots=True)
class Effort:
    """What a person spent on something.

    Attributes
    ----------
    strokes : int
        Edits: brush strokes, fills, polygons.
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
    """

    index: SliceIndex
    adapter: str | None = None
    confidence: float | None = None
    effort: Effort = Effort()
    accepted_at: str | None = None


class Ledger:
    """Adds up what the person does, line by line.

    Attributes
    ----------
    rounds : list of (set of slice index, Effort)
        Slices worked on and the effort; a training run ends a round.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.rounds: list[tuple[set[SliceIndex], Effort]] = [(set(), Effort())]
        self._stories: dict[SliceIndex, SliceStory] = {}
        self._last: datetime | None = None
        for event in events:
            self.add(event)

    @property
    def stories(self) -> list[SliceStory]:
        """What happened to each slice, in the order of the slices."""
        return [self._stories[index] for index in sorted(self._stories)]

    @property
    def worked_rounds(self) -> list[tuple[int, Effort]]:
        """Number of slices and effort of each round in which the person did anything."""
        return [(len(slices), effort) for slices, effort in self.rounds if slices]

    def add(self, event: Event) -> None:
        """Take note of the next line of a journal."""
        effort = self._effort(event)
        self._last = event.time
        if event.do == "training":
            self.rounds.append((set(), Effort()))
        if event.slice is None:
            return
        if event.do in _BY_THE_PERSON:
            slices, before = self.rounds[-1]
            self.rounds[-1] = (slices | {event.slice}, before + effort)
        known = self._stories.get(event.slice, SliceStory(event.slice))
        self._stories[event.slice] = replace(
            known,
            adapter=event.adapter,
            confidence=event.confidence,
            effort=known.effort + effort,
            accepted_at=(known.accepted_at or event.at) if event.accepted else None,
        )

    def _effort(self, event: Event) -> Effort:
        """Return what a line cost the person; predictions cost nothing."""
        if event.do not in _BY_THE_PERSON:
            return Effort()
        passed = 0.0 if self._last is None else (event.time - self._last).total_seconds()
        is_stroke = event.do == "painted"
        pixels = sum(event.runs[1::3]) if is_stroke else 0
        return Effort(int(is_stroke), pixels, min(max(passed, 0.0), IDLE_SECONDS))
