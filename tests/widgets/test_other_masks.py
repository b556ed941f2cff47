"""Where a project has other masks of the image than those in view, neither are lost or mixed."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QMessageBox

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import image_identity
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.widgets.record import not_recorded


def journals(folder):
    return sorted(folder.glob("images/*/journal.jsonl"))


def go_on_in(person, folder):
    person.dock.project_panel.folder_requested.emit(folder)
    person.wait_for_record()


def leave_a_correction(open_polyps):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(0, 60, 60)
    person.close()


class SlowOpening:
    """From `begin` on, records are not opened until they may."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self.is_reached, self.may_go_on = threading.Event(), threading.Event()

    def begin(self):
        identify = ImageIdentity.of.__func__

        def slow(cls, *given):
            self.is_reached.set()
            self.may_go_on.wait()
            return identify(cls, *given)

        self._monkeypatch.setattr(ImageIdentity, "of", classmethod(slow))


@pytest.fixture
def slow_opening(monkeypatch):
    return SlowOpening(monkeypatch)


@pytest.fixture
def other(open_polyps, tmp_path):
    """A project with a correction of slice 3, and its journal."""
    folder = tmp_path / "other"
    person = open_polyps(project=folder)
    person.predict()
    person.wait_for_record()
    person.paint(3, 60, 60)
    person.close()
    return folder


def test_opening_a_project_shows_its_own_masks_and_changes_neither(
    open_polyps, polyps, folder, other
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(3, 20, 20)
    mine, before = person.labels, journals(other)[0].read_bytes()
    go_on_in(person, other)
    assert person.labels is not mine
    assert not mine.visible
    assert (person.labels.data[3, 60, 60], person.labels.data[3, 20, 20]) == (2, 0)
    assert f"{mine.name!r}" in person.message
    assert "hidden" in person.message
    person.close()
    assert journals(other)[0].read_bytes() == before
    again = open_polyps()
    assert (again.labels.data[3, 60, 60], again.labels.data[3, 20, 20]) == (0, 2)


def test_masks_of_another_project_are_taken_along_beside_its_own_when_they_are_chosen(
    open_polyps, folder, other
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(3, 20, 20)
    mine = person.labels
    go_on_in(person, other)
    person.dock.layers_panel.labels_box.value = mine
    person.wait_for_record()
    assert len(journals(other)) == 2
    person.close()
    found = {record.name: record for record, _ in Project(other).records()}
    assert any(name.endswith("-masks2") for name in found)
    assert {path.parent.name for path in journals(other)} == set(found)


def test_a_copy_of_a_project_goes_on_in_the_same_layer(open_polyps, folder, tmp_path):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(0)
    person.controller.recording.record_of(person.controller.binding).journal.flush()
    shutil.copytree(folder, tmp_path / "copy")
    labels = person.labels
    go_on_in(person, tmp_path / "copy")
    assert person.labels is labels
    assert labels.visible
    assert len(journals(tmp_path / "copy")) == 1


def test_switching_while_the_record_is_being_opened_records_in_the_project_that_is_open(
    open_person, polyps, folder, tmp_path, slow_opening
):
    person = open_person(polyps.frames, rgb=True)
    person.wait_for_record()
    slow_opening.begin()
    person.predict()
    person.wait(slow_opening.is_reached.is_set)
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    slow_opening.may_go_on.set()
    person.wait_for_record()
    person.paint(0)
    record = person.controller.recording.record_of(person.controller.binding)
    assert record.folder.is_relative_to(tmp_path / "second")
    person.close()
    events = [one for path in journals(folder) for one in read_journal(path).events]
    assert not events


def test_a_prediction_made_before_the_record_was_open_gives_way_to_a_correction(
    open_person, open_polyps, polyps, folder, slow_opening
):
    leave_a_correction(open_polyps)
    slow_opening.begin()
    again = open_person(polyps.frames, rgb=True)
    again.predict()
    assert again.labels.data[0, 60, 60] != 2
    slow_opening.may_go_on.set()
    again.wait_for_record()
    assert again.labels.data[0, 60, 60] == 2
    assert len(journals(folder)) == 1


def test_a_stroke_made_before_the_record_was_open_is_kept_beside_the_older_masks(
    open_person, open_polyps, polyps, folder, slow_opening
):
    leave_a_correction(open_polyps)
    slow_opening.begin()
    again = open_person(polyps.frames, rgb=True)
    again.predict()
    again.paint(0, 20, 20)
    slow_opening.may_go_on.set()
    again.wait_for_record()
    assert "other masks of this image" in again.message
    again.wait(lambda: len(journals(folder)) == 2)  # written by a thread of its own


@pytest.fixture
def full_disk(monkeypatch):
    """Let no new record be written while the first entry of the list is true."""
    is_full = [True]
    write = image_identity.write_described

    def write_or_fail(*given, **more):
        if is_full[0]:
            raise StorageError("image.json could not be written: No space left on device.")
        write(*given, **more)

    monkeypatch.setattr(image_identity, "write_described", write_or_fail)
    return is_full


def test_masks_that_could_not_be_recorded_are_marked_and_tried_again(
    open_polyps, folder, full_disk
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    mark = person.dock.project_panel.not_recorded
    assert mark.isVisibleTo(person.dock)
    assert "No space left" in mark.text()
    assert mark.text().endswith("It is tried again by itself.")
    person.paint(0, 60, 60)
    person.controller.recording.try_again()
    person.wait_for_record()
    assert mark.isVisibleTo(person.dock)
    full_disk[0] = False
    person.controller.recording.try_again()
    person.wait_for_record()
    assert not mark.isVisibleTo(person.dock)
    assert not person.dock.not_recorded.isVisibleTo(person.dock)
    assert "recorded again" in person.message
    person.close()
    assert open_polyps().labels.data[0, 60, 60] == 2


def test_it_is_tried_again_without_being_asked(open_polyps, folder, full_disk, monkeypatch):
    monkeypatch.setattr(not_recorded, "RETRY_MS", 20)
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    full_disk[0] = False
    binding = person.controller.binding
    person.wait(lambda: person.controller.recording.record_of(binding) is not None)


def test_the_mark_goes_with_the_masks_layer_that_it_is_about(open_polyps, full_disk):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    assert person.dock.not_recorded.isVisibleTo(person.dock)
    person.viewer.layers.remove(person.labels)
    assert not person.dock.not_recorded.isVisibleTo(person.dock)
    assert not person.dock.project_panel.not_recorded.isVisibleTo(person.dock)


def test_closing_asks_while_strokes_are_not_on_the_disk(
    open_polyps, folder, full_disk, monkeypatch
):
    asked = []

    def question(parent, title, text, *more):
        asked.append(text)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    person = open_polyps(show=True)
    person.predict()
    person.wait_for_record()
    person.paint(0)
    person.viewer.window._qt_window.close()
    assert person.dock.is_open
    assert "not recorded" in asked[0]
    full_disk[0] = False
    person.controller.recording.try_again()
    person.wait_for_record()
    assert not person.controller.recording.is_at_risk


def test_on_a_full_disk_a_record_is_opened_without_saying_by_whom(open_polyps, folder, monkeypatch):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(0)
    person.close()
    write = Path.write_text

    def write_but(path, *given, **more):
        if path.name == "opened-by.txt":
            raise OSError(28, "No space left on device")
        return write(path, *given, **more)

    monkeypatch.setattr(Path, "write_text", write_but)
    assert open_polyps().labels.data[0].any()


def chosen(person, name, position):
    """Add a Labels layer with something marked in a slice, and choose it as masks."""
    masks = np.zeros((8, 96, 96), np.uint8)
    masks[position, 40:50, 40:50] = 1
    labels = person.viewer.add_labels(masks, name=name)
    person.dock.layers_panel.labels_box.value = labels
    person.wait_for_record()
    return labels


def test_masks_brought_into_a_fresh_project_meet_no_others(open_polyps, folder):
    person = open_polyps()
    chosen(person, "labels", 2)
    assert "other masks" not in person.message
    person.close()
    (path,) = journals(folder)
    assert not path.parent.name.endswith("-masks2")
    assert [one.do for one in read_journal(path).events] == ["stated"]


def test_a_third_layer_is_mixed_with_neither_of_two_others(open_polyps, folder):
    person = open_polyps()
    chosen(person, "one", 1)
    chosen(person, "two", 2)
    person.close()
    again = open_polyps()
    again.viewer.layers.remove(again.labels)
    again.wait_for_record()
    labels = chosen(again, "three", 3)
    assert [at for at in range(8) if labels.data[at].any()] == [3]
    assert len(journals(folder)) == 3
