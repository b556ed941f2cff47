"""What the person did to each slice, and how long it took: computed from the journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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


def stories_of(events: Iterable[Event]) -> list[SliceStory]:
    """Return what happened to each slice, in the order of the slices."""
    stories: dict[SliceIndex, SliceStory] = {}
    for event, effort in with_effort(events):
        if event.slice is None:
            continue
        known = stories.get(event.slice, SliceStory(event.slice))
        accepted_at = (known.accepted_at or event.at) if event.accepted else None
        stories[event.slice] = replace(
            known,
            adapter=event.adapter,
            confidence=event.confidence,
            effort=known.effort + effort,
            accepted_at=accepted_at,
        )
    return [stories[index] for index in sorted(stories)]


def rounds_of(events: Iterable[Event]) -> list[tuple[int, Effort]]:
    """Return for each round the slices worked on and the effort; a training run ends a round."""
    rounds: list[tuple[set[SliceIndex], Effort]] = [(set(), Effort())]
    for event, effort in with_effort(events):
        if event.do == "training":
            rounds.append((set(), Effort()))
        elif event.do in _BY_THE_PERSON and event.slice is not None:
            slices, before = rounds[-1]
            rounds[-1] = (slices | {event.slice}, before + effort)
    return [(len(slices), effort) for slices, effort in rounds if slices]


def with_effort(events: Iterable[Event]) -> Iterable[tuple[Event, Effort]]:
    """Add to each event what it cost the person; predictions cost nothing."""
    last: Event | None = None
    for event in events:
        if event.do in _BY_THE_PERSON:
            passed = 0.0 if last is None else (event.time - last.time).total_seconds()
            seconds = min(max(passed, 0.0), IDLE_SECONDS)
            is_stroke = event.do == "painted"
            pixels = sum(event.runs[1::3]) if is_stroke else 0
            yield event, Effort(int(is_stroke), pixels, seconds)
        else:
            yield event, Effort()
        last = event
