"""What a list says of an image is what its record holds."""

import errno
import os
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.journal import JOURNAL
from napari_sam_adapter.project.overview import ImageOverview, WorkDone
from tests.project.work import Work, brought_back


@pytest.mark.parametrize("seed", range(6))
def test_slices_are_counted_as_the_dock_shows_them(tmp_path, identity, seed):
    record = ImageRecord(tmp_path, identity)
    work = Work(seed, record.listen)
    for _ in range(25):
        work.step()
    record.close()
    record = ImageRecord(tmp_path, identity)
    tracker, _ = brought_back(record.restore(np.dtype(np.uint8)))
    record.close()
    states = [tracker.state((z,)) for z in range(5)]
    done = ImageOverview.of(tmp_path, identity).done
    assert done.n_corrected == states.count(SliceState.CORRECTED)
    assert done.n_accepted == states.count(SliceState.ACCEPTED)
    assert done.last is not None


def test_what_was_written_since_the_last_look_counts(tmp_path, identity):
    record = ImageRecord(tmp_path, identity)
    assert ImageOverview.of(tmp_path, identity).done == WorkDone()
    work = Work(0, record.listen)
    for z in range(3):
        work.labels[z, 2:5, 2:5] = 1
        work.tracker.observe((z,), work.labels[z], painted=True)
        record.journal.flush()
        # The slice that was annotated before, and those painted since.
        assert ImageOverview.of(tmp_path, identity).done.n_corrected == 1 + z + 1
    record.close()


def test_a_file_counts_as_missing_where_neither_it_nor_a_copy_is_there(tmp_path, identity):
    there = tmp_path / "frames.tif"
    away = replace(identity, source=str(there))
    assert ImageOverview.of(tmp_path, identity).is_missing
    assert ImageOverview.of(tmp_path, away).is_missing
    there.touch()
    assert not ImageOverview.of(tmp_path, away).is_missing
    (tmp_path / "image.tif").touch()
    assert not ImageOverview.of(tmp_path, identity).is_missing


def test_a_file_in_a_folder_that_may_not_be_looked_into_is_missing(tmp_path, identity, monkeypatch):
    closed = tmp_path / "closed"
    stat = os.stat

    def refusing(path, *args, **kwargs):
        if str(path).startswith(str(closed)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, *args, **kwargs)

    closed.mkdir()
    (closed / "frames.tif").touch()
    elsewhere = replace(identity, source=str(closed / "frames.tif"))
    assert not ImageOverview.of(tmp_path, elsewhere).is_missing
    monkeypatch.setattr(os, "stat", refusing)
    assert ImageOverview.of(tmp_path, elsewhere).is_missing


def test_a_journal_of_a_newer_version_is_named(tmp_path, identity):
    ImageRecord(tmp_path, identity).close()
    (tmp_path / JOURNAL).write_bytes(Event("merged").to_line(1))
    words = ImageOverview.of(tmp_path, identity).in_words(date.today())
    assert "5 slices, of a newer version" in words


def test_a_journal_that_does_not_fit_is_named(tmp_path, identity):
    record = ImageRecord(tmp_path, identity)
    work = Work(0, record.listen)
    work._paint(3)
    record.close()
    smaller = replace(identity, shape=(5, 4, 4))
    overview = ImageOverview.of(tmp_path, smaller)
    assert "journal damaged" in overview.in_words(date.today())
    assert (tmp_path / JOURNAL).stat().st_size > 0


@pytest.mark.parametrize(
    ("day", "words"),
    [(24, "today"), (23, "yesterday"), (20, "4 days ago"), (17, "2026-11-17"), (25, "2026-11-25")],
)
def test_days_are_named_as_people_do(tmp_path, day, words):
    last = datetime(2026, 11, day, 12, tzinfo=UTC)
    overview = ImageOverview(tmp_path, "colon", 12, WorkDone(4, 0, last))
    assert overview.in_words(date(2026, 11, 24)) == f"colon — 12 slices, 4 corrected, {words}"
