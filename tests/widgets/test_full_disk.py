"""The disk is full while masks are recorded: what waits is known, whatever else can be written."""

import numpy as np
import pytest

from napari_sam_adapter.project import journal
from napari_sam_adapter.project.journal import JournalWriter

FRAMES = np.random.default_rng(0).integers(0, 255, (2, 3, 48, 48)).astype(np.uint8)


@pytest.fixture
def full(monkeypatch):
    """Return a set: journals named in it do not fit on the disk."""
    named, write = set(), JournalWriter._write

    def write_or_fail(writer, lines):
        if writer.path in named:
            raise OSError(28, "No space left on device")
        write(writer, lines)

    monkeypatch.setattr(journal, "SECONDS_BETWEEN_TRIES", 0.01)
    monkeypatch.setattr(JournalWriter, "_write", write_or_fail)
    return named


@pytest.fixture
def waiting(open_person, full):
    """A person with two images, whose strokes on both do not fit on the disk."""
    person = open_person()
    recording = person.controller.recording
    for number, pixels in enumerate(FRAMES):
        person.viewer.add_image(pixels, name=f"image{number}")
        person.controller.layers.need()
        person.wait_for_record()
        full.add(recording.record_of(person.controller.binding).journal.path)
        person.paint(0)
    return person


def test_what_fits_on_the_disk_again_says_nothing_of_what_does_not(waiting, full):
    recording, mark = waiting.controller.recording, waiting.dock.project_panel.not_recorded
    first, second = (recording.record_of(one).journal for one in recording.records)
    waiting.wait(lambda: all((first.problem, second.problem)))
    full.discard(first.path)
    waiting.wait(lambda: not first.problem)
    waiting.settle()
    assert recording.is_at_risk
    assert str(second.path) in recording.problem
    assert str(second.path) in mark.text()
    assert "nothing was lost" not in waiting.message
    full.clear()
    waiting.wait(lambda: "nothing was lost" in waiting.message)
    assert not recording.is_at_risk
    assert not mark.isVisibleTo(waiting.dock)


def test_what_is_deleted_with_its_image_waits_for_the_disk_no_more(waiting):
    recording = waiting.controller.recording
    waiting.wait(lambda: recording.problem != "")
    waiting.viewer.layers.clear()
    assert not recording.is_at_risk
    assert not waiting.dock.project_panel.not_recorded.isVisibleTo(waiting.dock)


def test_what_is_lost_by_a_change_of_project_is_what_the_dock_says_last(waiting, tmp_path):
    waiting.wait(lambda: waiting.controller.recording.problem != "")
    waiting.dock.project_panel.folder_requested.emit(tmp_path / "other")
    assert "1 change was not written down" in waiting.message
