"""What a person did, and how long it took, from the journal alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from napari_sam_adapter.project.effort import Effort, Ledger
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.round_ends import round_ends


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
    rounds = Ledger(DAY).worked_rounds
    assert [len(one.slices) for one in rounds] == [2, 1]
    assert [one.effort for one in rounds] == [Effort(3, 12, 38.0), Effort(1, 1, 1.0)]


def painted(n, z=0, **details):
    return replace(event("painted", n, z=z, runs=(0, 2, 1)), details=details)


def test_a_stroke_that_took_several_lines_counts_once_and_its_pixels_all():
    ledger = Ledger([painted(1), painted(2, continues=1), painted(3, continues=1), painted(4)])
    assert [(one.effort.strokes, one.effort.pixels) for one in ledger.worked_rounds] == [(2, 8)]
    assert ledger.stories[0].effort.strokes == 2


def test_a_stroke_through_several_slices_counts_once_in_a_round_and_in_each_slice():
    ledger = Ledger([painted(1, z=0), painted(2, z=1, continues=1), painted(3, z=1)])
    assert ledger.worked_rounds[0].effort.strokes == ledger.n_strokes == 2
    assert [one.effort.strokes for one in ledger.stories] == [1, 2]


def test_a_stroke_whose_first_line_is_damaged_counts_all_the_same():
    assert Ledger([painted(2, continues=1), painted(3, continues=1)]).n_strokes == 1


def training(n, **details):
    return Event("training", f"2026-01-01T00:59:{n:02d}.000+00:00", n, details=details)


def trained(n, run):
    return Event("trained", f"2026-01-01T00:59:{n:02d}.000+00:00", n, details={"run": run})


def part(line, record="own"):
    return {"record": record, "line": line, "slices": [[0]], "dtype": "|u1"}


def strokes_by_round(ledger):
    return [one.effort.strokes for one in ledger.worked_rounds]


def test_the_gears_of_one_click_end_one_round():
    lines = [painted(1), training(2, run="a", parts=[part(2)]), painted(3), trained(4, "a")]
    lines += [training(5, run="b", follows="a", parts=[part(5)]), painted(6), trained(7, "b")]
    lines += [training(8, run="c", follows="b", parts=[part(8)]), painted(9), trained(10, "c")]
    assert strokes_by_round(Ledger(lines)) == [1, 3]
    lines += [training(11, run="d", parts=[part(11)]), painted(12), trained(13, "d")]
    assert strokes_by_round(Ledger(lines)) == [1, 3, 1]


def test_a_run_that_made_no_version_ends_no_round():
    lines = [painted(1), training(2, run="failed", parts=[part(2)]), painted(3)]
    assert strokes_by_round(Ledger(lines)) == [2]
    lines += [training(4, run="a", parts=[part(4)]), painted(5), trained(6, "a"), painted(7)]
    assert strokes_by_round(Ledger(lines)) == [2, 2]


def test_a_round_ends_where_the_run_took_its_masks_and_not_where_it_was_written_down():
    lines = [painted(1), painted(2), training(3, run="a", parts=[part(2)]), painted(4)]
    assert strokes_by_round(Ledger([*lines, trained(5, "a")])) == [1, 2]


def test_another_images_retraining_ends_a_round_wherever_it_is_told():
    lines = [painted(1), painted(2), painted(3)]
    known_before, told_after = Ledger(lines, ends=(3,)), Ledger(lines)
    told_after.end_round(3)
    told_after.end_round(3)
    assert strokes_by_round(known_before) == strokes_by_round(told_after) == [2, 1]
    told_after.end_round(4)
    told_after.add(painted(4))
    assert strokes_by_round(told_after) == [2, 1, 1]


def write(journal, *lines):
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"".join(line.to_line(line.n) for line in lines))


def test_journals_tell_where_rounds_ended_in_all_images_a_run_learned_from(tmp_path):
    journal = tmp_path / "one" / "journal.jsonl"
    both = [part(2, "one"), part(7, "other")]
    later = training(4, run="b", follows="a", parts=[part(3, "one"), part(9, "other")])
    lines = [painted(1), training(2, run="a", parts=both), trained(3, "a"), later, trained(5, "b")]
    lines += [training(6, run="failed", parts=[part(6, "one")])]
    # Run d was resumed while the first image was open.
    write(journal, *lines, trained(7, "d"))
    c, d = (training(n, run=run, parts=[part(n, "other")]) for n, run in ((8, "c"), (10, "d")))
    write(tmp_path / "other" / "journal.jsonl", c, trained(9, "c"), d)
    assert round_ends(tmp_path) == {"one": {2}, "other": {7, 8, 10}}


def test_a_journal_is_read_again_when_it_has_grown_and_not_before(tmp_path, monkeypatch):
    journal = tmp_path / "one" / "journal.jsonl"
    write(journal, painted(1), training(2, run="a", parts=[part(2, "one")]), trained(3, "a"))
    assert round_ends(tmp_path) == {"one": {2}}
    later = (training(4, run="b", parts=[part(4, "one")]), trained(5, "b"))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *_: pytest.fail("nothing has changed"))
        assert round_ends(tmp_path) == {"one": {2}}
    journal.write_bytes(journal.read_bytes() + b"".join(one.to_line(one.n) for one in later))
    assert round_ends(tmp_path) == {"one": {2, 4}}


def test_damaged_lines_and_runs_that_say_nothing_of_what_they_learned_end_no_round(tmp_path):
    journal = tmp_path / "one" / "journal.jsonl"
    vague = training(2, run="b", parts=[{"record": "one"}])
    write(journal, training(1, run="a"), vague, trained(3, "a"), trained(4, "b"))
    journal.write_bytes(journal.read_bytes() + b'{"n":3,"do":"training","parts":[],"crc":"0"}\n')
    assert round_ends(tmp_path) == {}
