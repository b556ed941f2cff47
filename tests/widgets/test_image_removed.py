"""Masks whose image is removed are not recorded until it is back; what was painted then counts."""

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QMessageBox

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import image_identity
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.mending import read_record
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.widgets.record import masks_left

FRAMES = np.random.default_rng(0).integers(0, 255, (6, 48, 48)).astype(np.uint8)


@pytest.fixture
def painter(open_person, monkeypatch):
    """A person with a recorded stroke on slice 1."""
    monkeypatch.setattr(masks_left, "MOMENT_MS", 20)
    return painted(open_person(FRAMES))


def painted(person):
    person.controller.layers.need()
    person.wait_for_record()
    person.paint(1)
    return person


@pytest.fixture
def person_of_frames(open_person):
    """A person who has predicted slice 0."""
    person = open_person(FRAMES)
    person.predict()
    person.wait_for_record()
    return person


def records(folder):
    return list(Project(folder).records())


def masks_of(record, identity):
    """Return the masks of a record that is closed, by slice."""
    slices = read_record(record, identity).slices()
    return {index: history.seen.unpacked() for (index,), history in slices.items()}


def dab(labels, position, row=10):
    labels.brush_size = 5
    labels.paint((position, row, 10), 1)


def add_again(person, image=FRAMES):
    person.viewer.add_image(image, name="image")
    person.wait_for_record()


def slices_in(person):
    return [z for z in range(len(FRAMES)) if person.labels.data[z].any()]


def test_the_dock_says_that_they_are_not_recorded_and_what_brings_that_back(painter):
    mark = painter.dock.project_panel.not_recorded
    painter.viewer.layers.remove("image")
    painter.wait(lambda: "image masks is not recorded any more" in painter.message)
    assert "its image was removed: add or open image again" in painter.message
    assert mark.isVisibleTo(painter.dock)
    assert "tried again" not in mark.text(), "it is the person who adds the image"
    painter.viewer.layers.remove("image masks")
    painter.settle()
    assert not mark.isVisibleTo(painter.dock)


def test_the_record_is_free_at_once_for_another_window(painter):
    painter.viewer.layers.remove("image")
    assert not painter.controller.recording.is_busy


def test_nothing_is_said_where_both_layers_are_removed_at_once(painter):
    painter.viewer.layers.select_all()
    painter.viewer.layers.remove_selected()
    painter.qtbot.wait(100)
    assert "recorded" not in painter.message
    assert not painter.dock.project_panel.not_recorded.isVisibleTo(painter.dock)


def test_what_was_painted_without_the_image_is_recorded_when_it_is_added_again(
    painter, open_person, folder
):
    labels = painter.labels
    painter.viewer.layers.remove("image")
    dab(labels, 1, row=30)
    dab(labels, 4)  # a slice nothing was known of
    wanted = labels.data.copy()
    add_again(painter)
    assert painter.labels is labels
    assert painter.viewer.layers[-1] is labels
    assert "image masks is recorded again" in painter.message
    assert not painter.dock.project_panel.not_recorded.isVisibleTo(painter.dock)
    assert painter.tracker.state((4,)) is SliceState.CORRECTED
    dab(labels, 5)
    painter.settle()
    wanted[5] = labels.data[5]
    painter.close()
    (path,) = folder.glob("images/*/journal.jsonl")
    stated = [one.slice for one in read_journal(path).events if one.do == "stated"]
    assert stated == [(1,), (4,)]
    again = open_person(FRAMES)
    again.wait_for_record()
    assert np.array_equal(again.labels.data, wanted)
    assert again.tracker.state((4,)) is SliceState.CORRECTED


def test_what_was_painted_without_the_image_is_recorded_when_the_project_opens_it(
    open_person, tmp_path, folder
):
    tifffile.imwrite(tmp_path / "stack.tif", FRAMES, photometric="minisblack")
    person = open_person()
    person.dock.project_panel.file_requested.emit(tmp_path / "stack.tif")
    person.wait(lambda: person.controller.layers.image is not None)
    labels = painted(person).labels
    person.viewer.layers.remove("stack")
    dab(labels, 4)
    ((record, _),) = Project(folder).records()
    person.dock.project_panel.image_requested.emit(record)
    person.wait(lambda: person.controller.layers.image is not None)
    person.wait_for_record()
    assert person.labels is labels
    assert slices_in(person) == [1, 4]
    assert person.controller.recording.record_of(person.controller.binding).folder == record


def test_of_several_masks_layers_each_goes_on_in_its_record(painter, folder):
    first = painter.labels
    second = painter.viewer.add_labels(np.zeros(FRAMES.shape, np.uint8), name="second")
    painter.dock.layers_panel.labels_box.value = second
    painter.wait_for_record()
    painter.paint(2)
    painter.viewer.layers.remove("image")
    for labels in (first, second):
        dab(labels, 4)
    add_again(painter)
    recording = painter.controller.recording
    bindings = painter.controller.layers.bindings()
    assert {one.labels for one in bindings} == {first, second}
    assert len({recording.record_of(one).folder for one in bindings}) == 2
    assert recording.problem == ""
    assert len(list(folder.glob("images/*"))) == 2


@pytest.fixture
def second_window(open_person):
    """Return a function that opens in another window what is removed here, and does something."""

    def open_and(do, after):
        after.viewer.layers.remove("image")
        other = open_person(FRAMES)
        other.wait_for_record()
        do(other)
        other.close()

    return open_and


def test_masks_that_another_window_went_on_with_meanwhile_are_not_overwritten(
    painter, second_window, folder
):
    labels = painter.labels
    second_window(lambda other: other.paint(1, row=40, column=40, label=3), after=painter)
    wanted = labels.data.copy()
    add_again(painter)
    assert painter.labels is labels
    assert np.array_equal(labels.data, wanted)
    assert "is kept beside them" in painter.message
    painter.close()
    kept = {record.name: masks_of(record, identity) for record, identity in records(folder)}
    of_the_other, of_the_first = (kept[name][1] for name in sorted(kept))
    assert of_the_other[20, 20] == of_the_first[20, 20] == 2
    assert (of_the_other[40, 40], of_the_first[40, 40]) == (3, 0)


def test_what_another_window_has_corrected_comes_in_where_nothing_was_painted_here(
    person_of_frames, second_window, folder
):
    """A slice that was predicted here, and that nobody has corrected here."""
    person, labels = person_of_frames, person_of_frames.labels
    second_window(lambda other: other.paint(0, row=40, column=40, label=3), after=person)
    add_again(person)
    assert person.labels is labels
    assert labels.data[0, 40, 40] == 3
    assert person.tracker.state((0,)) is SliceState.CORRECTED
    person.close()
    ((record, identity),) = records(folder)
    assert masks_of(record, identity)[0][40, 40] == 3


def test_closing_asks_only_where_something_was_painted_since(open_person, monkeypatch):
    asked = []

    def question(parent, title, text, *more):
        asked.append(text)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    painter = painted(open_person(FRAMES, show=True))
    recording, labels = painter.controller.recording, painter.labels
    painter.viewer.layers.remove("image")
    assert not recording.is_at_risk
    dab(labels, 4)
    assert recording.is_at_risk
    painter.viewer.window._qt_window.close()
    assert painter.dock.is_open
    assert "image masks is not recorded any more" in asked[0]
    labels.undo()
    assert not recording.is_at_risk


def test_masks_of_another_image_are_not_offered_as_those_of_the_next_one(painter):
    labels = painter.labels
    painter.viewer.layers.remove("image")
    painter.viewer.add_image(255 - FRAMES, name="other")
    painter.wait_for_record()
    dab(labels, 4)
    painter.settle()
    assert "choose it under Masks" not in painter.message
    assert painter.controller.binding is None


def test_masks_that_could_not_be_recorded_before_are_not_forgotten(
    open_person, monkeypatch, folder
):
    write, is_full = image_identity.write_described, [True]

    def write_or_fail(*given, **more):
        if is_full[0]:
            raise StorageError("image.json could not be written: No space left on device.")
        write(*given, **more)

    monkeypatch.setattr(image_identity, "write_described", write_or_fail)
    person = painted(open_person(FRAMES))
    labels = person.labels
    person.viewer.layers.remove("image")
    assert person.controller.recording.is_at_risk
    is_full[0] = False
    add_again(person)
    assert person.labels is labels
    assert not person.controller.recording.is_at_risk
    person.close()
    (path,) = folder.glob("images/*/journal.jsonl")
    assert [one.slice for one in read_journal(path).events] == [(1,)]
