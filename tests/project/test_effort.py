"""What a person did, and how long it took, from the journal alone."""

from napari_sam_adapter.project.effort import Effort, Ledger
from napari_sam_adapter.project.events import Event


def event(do, second, z=0, runs=(), **more):
    at = f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000+00:00"
    return Event(do, at, second, (z,), runs, **more)


DAY = [
    event("predicted", 0, runs=(0, 9, 1), adapter="a", confidence=0.8),
    event("painted", 4, runs=(3, 5, 0, 20, 2, 1), adapter="a", confidence=0.8),
    event("painted", 300, runs=(3, 1, 0), adapter="a", confidence=0.8),
    event("accepted", 302, adapter="a", confidence=0.8, accepted=True),
    event("painted", 304, z=1, runs=(0, 4, 2)),
    Event("training", "2026-01-01T00:06:00.000+00:00", 305),
    event("painted", 361, z=2, runs=(0, 1, 1)),
]


def test_a_slice_tells_who_predicted_it_what_was_changed_and_when_it_was_accepted():
    first, second, third = Ledger(DAY).stories
    assert first.adapter == "a"
    assert first.effort == Effort(strokes=2, pixels=8, seconds=4 + 30 + 2)
    assert first.accepted_at == DAY[3].at
    assert second.adapter is None
    assert second.accepted_at is None
    assert third.index == (2,)


def test_an_acceptance_that_was_taken_back_has_no_time():
    story = Ledger([*DAY[:4], event("reopened", 310, adapter="a")]).stories[0]
    assert story.accepted_at is None


def test_a_retraining_ends_a_round():
    assert Ledger(DAY).worked_rounds == [(2, Effort(3, 12, 38.0)), (1, Effort(1, 1, 1.0))]
