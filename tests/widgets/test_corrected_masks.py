"""No prediction touches a mask that a person stands behind, unless it is asked for."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam_adapter.annotations.slice_tracker import SliceState

STAYS = "Slice {} is corrected, so its mask stays. Press Predict slice again"


@pytest.fixture
def imported(open_person, polyps):
    """A person who has opened frames with complete masks of all but the last two."""
    person = open_person(polyps.frames, rgb=True)
    person.wait_for_record()
    masks = polyps.masks.astype(np.uint8)
    masks[6:] = 0
    person.dock.layers_panel.labels_box.value = person.viewer.add_labels(masks, name="by hand")
    person.wait_for_record()
    return person


def new_version_is_there(person):
    """What follows when a training run ends with a version that takes over."""
    person.controller.retraining.version_made.emit()
    person.wait(lambda: not person.controller.prediction.is_running)


def test_predict_all_leaves_every_pixel_of_corrected_and_accepted_slices(person, polyps):
    person.predict_all()
    for position in (1, 4):
        person.correct(position, polyps.masks[position])
    person.go_to(2)
    person.dock.correct_panel.accept_button.click()
    before = person.labels.data.copy()
    number = person.tracker.history_of((1,)).now.number
    person.predict_all()
    for z in (1, 2, 4):
        np.testing.assert_array_equal(person.labels.data[z], before[z])
    assert person.tracker.history_of((1,)).now.number == number
    assert person.message.startswith(
        "5 slices predicted by the base model. 3 corrected or accepted slices stay as they are."
    )


def test_masks_that_were_there_before_are_left_and_those_without_are_predicted(imported):
    before = imported.labels.data.copy()
    imported.predict_all()
    np.testing.assert_array_equal(imported.labels.data[:6], before[:6])
    assert imported.labels.data[6].any()
    assert imported.labels.data[7].any()
    assert "6 corrected or accepted slices stay as they are" in imported.message


def test_where_all_is_corrected_there_is_nothing_to_predict(imported, polyps):
    for position in (6, 7):
        imported.correct(position, polyps.masks[position])
    before = imported.labels.data.copy()
    imported.predict_all()
    assert "Every slice is corrected or accepted; there is nothing to predict" in imported.message
    np.testing.assert_array_equal(imported.labels.data, before)


def test_a_slice_that_is_corrected_while_predict_all_runs_is_left_too(person, polyps):
    person.predict_all()
    person.go_to(0)
    truth = polyps.masks[7].astype(np.uint8)
    person.dock.predict_panel.all_button.click()
    person.labels.data[7] = truth
    person.wait(lambda: not person.controller.prediction.is_running)
    np.testing.assert_array_equal(person.labels.data[7], truth)
    assert person.tracker.state((7,)) is SliceState.CORRECTED
    assert "7 slices predicted" in person.message
    assert "1 corrected or accepted slice stays as it is" in person.message


def test_a_new_version_predicts_the_slice_in_view_only_where_it_was_merely_predicted(
    person, polyps, adapter_file
):
    person.predict_all()
    person.undo()  # the prediction of the last slice
    person.correct(1, polyps.masks[1])
    person.dock.versions_panel.load_requested.emit(adapter_file)
    before = person.labels.data.copy()
    for position in (1, 7):
        person.go_to(position)
        new_version_is_there(person)
        np.testing.assert_array_equal(person.labels.data, before)
    assert person.tracker.state((7,)) is SliceState.UNTOUCHED
    person.go_to(5)
    new_version_is_there(person)
    adapter_id = person.controller.session.in_use.version.card.adapter_id
    assert person.tracker.adapter_of((5,)) == adapter_id


def test_a_new_version_leaves_a_filled_slice_as_it_was_asked_for(person, polyps):
    person.controller.layers.need()
    for position in (0, 2):
        person.correct(position, polyps.masks[position])
    person.dock.correct_panel.fill_button.click()
    person.wait(lambda: not person.controller.prediction.is_running)
    filled = person.labels.data[1].copy()
    assert filled.any()
    person.go_to(1)
    new_version_is_there(person)
    np.testing.assert_array_equal(person.labels.data[1], filled)


def test_predict_slice_leaves_a_corrected_mask_until_it_is_pressed_again(person, polyps):
    person.predict()
    person.paint(0)
    mine, stroke = person.labels.data[0].copy(), person.labels.data[0] == 2
    person.predict()
    assert person.message.startswith(STAYS.format(0))
    np.testing.assert_array_equal(person.labels.data[0], mine)
    person.controller.binding.image.data = polyps.frames[::-1].copy()  # so that it differs
    person.predict()
    assert "Slice 0 is predicted by the base model" in person.message
    assert "not learned from any more until you paint in it or accept it" in person.message
    assert (person.labels.data[0] != mine).any()
    assert (person.labels.data[0][stroke] == 2).all()
    person.undo()
    np.testing.assert_array_equal(person.labels.data[0], mine)


def test_what_the_second_press_left_is_not_learned_from_until_the_person_goes_on(
    person, open_person, polyps
):
    person.predict()
    person.wait_for_record()
    person.paint(0)
    person.controller.binding.image.data = polyps.frames[::-1].copy()  # so that it differs
    person.wait_for_record()
    person.predict()
    person.predict()
    assert person.tracker.state((0,)) is SliceState.PREDICTED
    person.retrain()
    assert "No slice of this image is corrected or accepted yet" in person.message
    person.undo()
    assert person.tracker.state((0,)) is SliceState.CORRECTED
    person.redo()
    person.dock.shutdown()
    person.viewer.layers.clear()
    again = open_person(polyps.frames[::-1].copy(), rgb=True)
    again.wait_for_record()
    assert again.tracker.state((0,)) is SliceState.PREDICTED
    again.dock.correct_panel.accept_button.click()
    assert again.tracker.ready() == [(0,)]


def test_after_another_stroke_or_on_another_slice_it_is_asked_again(person):
    person.predict_all()
    person.paint(0)
    person.paint(1)
    person.predict()
    assert person.message.startswith(STAYS.format(1))
    person.go_to(0)
    person.predict()
    assert person.message.startswith(STAYS.format(0))
    person.paint(0, 50, 50)
    person.predict()
    assert person.message.startswith(STAYS.format(0))


def test_a_mask_that_was_there_before_is_left_at_first_by_the_key_too(imported, qtbot):
    before = imported.labels.data[0].copy()
    imported.viewer.layers.selection.active = imported.labels
    canvas = imported.viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_P, Qt.KeyboardModifier.ShiftModifier)
    assert imported.message.startswith(STAYS.format(0))
    np.testing.assert_array_equal(imported.labels.data[0], before)
    qtbot.keyClick(canvas, Qt.Key.Key_P, Qt.KeyboardModifier.ShiftModifier)
    imported.wait(lambda: not imported.controller.prediction.is_running)
    assert (imported.labels.data[0] != before).any()


def test_strokes_in_a_slice_without_a_mask_and_boxes_are_answered_at_once(person):
    person.go_to(0)
    person.controller.layers.need()
    person.paint(0)
    person.predict()
    assert "predicted by the base model" in person.message
    assert (person.labels.data[0] == 1).any()
    assert (person.labels.data[0] == 2).any()
    person.dock.prompts_panel.boxes_button.click()
    (boxes,) = (layer for layer in person.viewer.layers if "boxes" in layer.name)
    boxes.add_rectangles(np.array([(0, 30, 30), (0, 30, 60), (0, 60, 60), (0, 60, 30)], float))
    person.predict()
    assert "predicted from 1 box by the base model" in person.message
