"""Filling the slices between corrected ones, in a real viewer."""

import json

import numpy as np
import pytest
from qtpy.QtGui import QTextDocumentFragment

from napari_sam_adapter.annotations.slice_history import FILLED
from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.provenance import provenance_of

N, SIDE = 9, 64


def disk(radius, column=32):
    rows, columns = np.indices((SIDE, SIDE))
    return (np.hypot(rows - 32, columns - column) <= radius).astype(np.uint8)


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(0, 255, (N, SIDE, SIDE)).astype(np.uint8)


@pytest.fixture
def person(open_person, volume):
    person = open_person(volume)
    person.wait_for_record()
    person.dock.layers_panel.labels_box.value = person.viewer.add_labels(
        np.zeros(volume.shape, np.uint8), name="mine"
    )
    person.wait_for_record()
    return person


def fill(person):
    person.dock.correct_panel.fill_button.click()
    person.wait(lambda: not person.controller.prediction.is_running)


def radius_of(labels):
    return np.sqrt((labels != 0).sum() / np.pi)


def states(person):
    return [person.tracker.state((z,)) for z in range(N)]


def test_shapes_are_interpolated_between_two_corrected_slices(person):
    person.correct(0, disk(8))
    person.correct(8, disk(16))
    fill(person)
    for z in range(1, 8):
        assert abs(radius_of(person.labels.data[z]) - (8 + z)) < 0.7
        assert person.tracker.state((z,)) is SliceState.PREDICTED
        assert person.tracker.adapter_of((z,)) == FILLED
    assert "Filled 7 slices between 2 of yours; look through them" in person.message
    assert "Up to 7 lie between two of yours" in person.message
    person.go_to(3)
    assert person.dock.correct_panel.in_view.text() == "Slice 3: filled by interpolation"


def test_filled_slices_are_counted_and_named_as_filled_not_as_predicted(person):
    person.correct(0, disk(8))
    person.correct(4, disk(16))
    fill(person)
    person.go_to(8)
    person.predict()
    panel = person.dock.correct_panel
    legend = QTextDocumentFragment.fromHtml(panel.legend.text()).toPlainText()
    assert " ".join(legend.split()) == "■ 1 predicted, 3 filled ■ 2 corrected ■ 0 accepted"
    assert panel.ruler.tooltip_at(3) == "Slice 3: filled by interpolation"
    assert panel.ruler.tooltip_at(8) == "Slice 8: predicted by the base model"
    person.go_to(3)
    panel.accept_button.click()
    legend = QTextDocumentFragment.fromHtml(panel.legend.text()).toPlainText()
    assert " ".join(legend.split()) == "■ 1 predicted, 2 filled ■ 2 corrected ■ 1 accepted"


def test_the_persons_slices_and_pixels_stay_as_they_are(person):
    for z, radius in ((0, 8), (8, 16), (4, 5)):
        person.correct(z, disk(radius))
    person.go_to(2)
    person.dock.correct_panel.accept_button.click()  # as it is: empty
    before = person.labels.data.copy()
    fill(person)
    for z in (0, 2, 4, 8):
        assert np.array_equal(person.labels.data[z], before[z])
    assert person.tracker.state((2,)) is SliceState.ACCEPTED
    assert person.labels.data[6].any()
    assert "Filled 5 slices between 4 of yours" in person.message
    assert "accept the others" in person.message


def test_one_undo_takes_one_filled_slice_back(person):
    person.correct(0, disk(10))
    person.correct(3, disk(10))
    fill(person)
    person.undo()
    assert not person.labels.data[2].any()
    assert person.labels.data[1].any()
    assert states(person)[:4] == [
        SliceState.CORRECTED,
        SliceState.PREDICTED,
        SliceState.UNTOUCHED,
        SliceState.CORRECTED,
    ]
    person.redo()
    assert person.tracker.adapter_of((2,)) == FILLED
    assert person.labels.data[2].any()


def test_predicted_slices_are_filled_anew_and_corrections_of_filled_ones_are_heeded(person):
    person.predict_all()
    person.correct(0, disk(10))
    person.correct(8, disk(10))
    fill(person)
    assert abs(radius_of(person.labels.data[4]) - 10) < 0.7
    person.correct(4, disk(14))
    fill(person)
    assert abs(radius_of(person.labels.data[2]) - 12) < 0.7
    assert person.tracker.state((4,)) is SliceState.CORRECTED


def test_labels_of_one_class_that_differ_are_one_object(person):
    person.correct(0, disk(10))
    person.correct(2, 3 * disk(10))
    fill(person)
    assert abs(radius_of(person.labels.data[1]) - 10) < 0.7
    assert set(np.unique(person.labels.data[1])) == {0, 1}


def test_each_of_several_classes_is_filled(person):
    person.controller.classes.add()
    two = disk(6, column=18) + 2 * disk(6, column=46)
    person.correct(0, two)
    person.correct(4, two)
    fill(person)
    assert np.array_equal(person.labels.data[2], two)


def test_filled_slices_come_back_and_are_called_interpolated(person, open_person, volume, tmp_path):
    person.correct(0, disk(8))
    person.correct(4, disk(12))
    fill(person)
    wanted = person.labels.data.copy()
    person.dock.shutdown()
    person.viewer.layers.clear()
    folder = tmp_path / "project"
    (journal,) = folder.glob("images/*/journal.jsonl")
    filled = [event for event in read_journal(journal).events if event.adapter == FILLED]
    assert [(event.do, event.slice) for event in filled] == [("predicted", (z,)) for z in (1, 2, 3)]
    (image,) = provenance_of(Project(folder))["images"]
    assert image["slices"][1]["adapter"] == "interpolation"
    assert json.dumps(image)

    again = open_person(volume)
    again.wait_for_record()
    assert np.array_equal(again.labels.data, wanted)
    assert again.tracker.adapter_of((2,)) == FILLED
    assert again.tracker.state((2,)) is SliceState.PREDICTED


@pytest.mark.parametrize("corrected", [[], [4]])
def test_too_few_corrected_slices_end_in_a_sentence(person, corrected):
    for z in corrected:
        person.correct(z, disk(8))
    fill(person)
    so_far = "One slice" if corrected else "No slice"
    assert (
        f"{so_far} along the slider in use is corrected or accepted so far. Correct a slice before"
        in person.message
    )


def test_where_nothing_lies_between_it_is_said(person):
    person.correct(3, disk(8))
    person.correct(4, disk(8))
    fill(person)
    assert "none is open" in person.message


def test_a_single_picture_has_no_button_and_the_command_says_why(open_person, volume):
    person = open_person(volume[0])
    person.predict()
    assert not person.dock.correct_panel.fill_button.isVisibleTo(person.dock)
    person.controller.filling.fill()
    assert "A single picture has no slices" in person.message


def test_an_image_without_masks_gets_none_by_asking(open_person, volume):
    person = open_person(volume)
    person.controller.filling.fill()
    assert "There are no masks yet" in person.message
    assert person.controller.binding is None


def test_filling_and_predicting_wait_for_each_other(person):
    person.correct(0, disk(8))
    person.correct(8, disk(8))
    person.dock.predict_panel.all_button.click()
    assert not person.dock.correct_panel.fill_button.isEnabled()
    person.controller.filling.fill()
    assert "Slices are being predicted or filled" in person.message
    person.wait(lambda: not person.controller.prediction.is_running)
    assert person.dock.correct_panel.fill_button.isEnabled()


def test_with_two_sliders_the_one_moved_last_is_filled_along(open_person, volume):
    person = open_person(np.stack([volume, volume[::-1], volume]))
    person.wait_for_record()
    labels = person.viewer.add_labels(np.zeros((3, N, SIDE, SIDE), np.uint8), name="mine")
    for t, z in ((1, 0), (1, 4), (0, 2)):
        labels.data[t, z] = disk(9)
    person.dock.layers_panel.labels_box.value = labels
    person.wait_for_record()
    person.viewer.dims.set_current_step(0, 1)
    person.viewer.dims.set_current_step(1, 2)
    person.viewer.dims.last_used = 1  # as moving its slider does
    fill(person)
    filled = {index for index in np.ndindex(3, N) if labels.data[index].any()}
    assert filled == {(1, z) for z in range(5)} | {(0, 2)}


def test_shapes_are_never_filled_along_channels(open_person, volume):
    person = open_person(np.stack([volume] * 3, axis=1), axis_labels=("z", "c", "y", "x"))
    person.wait_for_record()
    labels = person.viewer.add_labels(np.zeros((N, 3, SIDE, SIDE), np.uint8), name="mine")
    for z, c in ((0, 0), (4, 0), (0, 2)):
        labels.data[z, c] = disk(9)
    person.dock.layers_panel.labels_box.value = labels
    person.wait_for_record()
    person.viewer.dims.last_used = 1  # the person has looked at the channels
    fill(person)
    filled = {index for index in np.ndindex(N, 3) if labels.data[index].any()}
    assert filled == {(z, 0) for z in range(5)} | {(0, 2)}
