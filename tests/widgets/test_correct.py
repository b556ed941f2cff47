"""Which slices count as corrected, whatever way the person edits them."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.widgets.layers.binding import STROKE_MS


def test_a_stroke_makes_a_slice_corrected(person):
    person.predict()
    person.paint(0)
    assert person.tracker.state((0,)) is SliceState.CORRECTED
    assert "<b>1 slice</b> is ready" in person.dock.retrain_panel.ready.text()


def test_a_real_mouse_stroke_and_ctrl_z_on_the_canvas_are_noticed(open_person, polyps, qtbot):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.predict()
    labels = person.labels
    predicted = labels.data[0].copy()
    person.viewer.layers.selection.active = labels
    labels.mode, labels.selected_label, labels.brush_size = "paint", 5, 12
    canvas = person.viewer.window._qt_viewer.canvas.native
    centre = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=centre)
    qtbot.mouseMove(canvas, centre + QPoint(20, 10))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=centre + QPoint(20, 10))
    person.settle()
    assert (labels.data[0] == 5).any()
    assert person.tracker.state((0,)) is SliceState.CORRECTED
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    person.settle()
    np.testing.assert_array_equal(labels.data[0], predicted)
    assert person.tracker.state((0,)) is SliceState.PREDICTED


def test_undo_of_a_stroke_makes_the_slice_predicted_again_and_redo_corrected(person):
    person.predict()
    person.paint(0)
    person.undo()
    assert person.tracker.state((0,)) is SliceState.PREDICTED
    person.redo()
    assert person.tracker.state((0,)) is SliceState.CORRECTED


def test_undo_of_a_prediction_is_not_a_correction(person):
    person.predict()
    person.undo()
    assert person.tracker.state((0,)) is SliceState.UNTOUCHED
    person.redo()
    assert person.tracker.state((0,)) is SliceState.PREDICTED


def test_erasing_a_whole_prediction_by_hand_is_a_correction_and_stays_one(person):
    person.predict()
    person.labels.brush_size = 400
    person.labels.paint((0, 48, 48), 0)
    person.settle()
    assert not person.labels.data[0].any()
    person.go_to(3)
    person.go_to(0)
    person.settle()
    assert person.tracker.state((0,)) is SliceState.CORRECTED
    person.predict()
    person.predict()  # again: the slice is corrected
    assert "predicted by the base model" in person.message
    assert not person.labels.data[0].any()


def test_fill_and_polygon_are_noticed(person):
    person.predict_all()
    person.go_to(1)
    person.labels.fill((1, 0, 0), 3)
    person.settle()
    assert person.tracker.state((1,)) is SliceState.CORRECTED
    person.go_to(2)
    person.labels.paint_polygon([(2, 5, 5), (2, 5, 40), (2, 40, 40)], 4)
    person.settle()
    assert person.tracker.state((2,)) is SliceState.CORRECTED


def test_a_write_from_the_console_is_noticed_on_a_slice_out_of_view(person):
    person.predict()
    person.labels.data[6, 10:20, 10:20] = 1
    person.wait(lambda: person.tracker.state((6,)) is SliceState.CORRECTED)


def test_accepting_an_empty_slice_makes_it_ready_to_train_on(person):
    person.predict()
    person.go_to(4)
    person.dock.correct_panel.accept_button.click()
    assert person.tracker.ready() == [(4,)]
    assert person.message == (
        "Slice 4 is accepted as showing no object: it is trained on, and stays so."
    )
    person.dock.correct_panel.accept_button.click()
    assert person.tracker.ready() == []


def test_undo_and_redo_of_a_slice_out_of_view_are_told_and_bring_its_acceptance_back(person):
    person.predict()
    person.paint(0)
    person.dock.correct_panel.accept_button.click()
    assert person.message == "Slice 0 is accepted: it is trained on, and stays so."
    mine = person.labels.data[0].copy()
    person.paint(5)
    person.undo()
    assert "Ctrl+Z" not in person.message  # slice 5 is in view
    person.undo()
    assert person.message == "Ctrl+Z changed slice 0, which is not in view."
    assert person.tracker.state((0,)) is SliceState.PREDICTED
    person.redo()
    np.testing.assert_array_equal(person.labels.data[0], mine)
    assert person.tracker.state((0,)) is SliceState.ACCEPTED
    assert person.message == "Ctrl+Shift+Z changed slice 0, which is not in view."


@pytest.mark.parametrize("follows", ["a prediction", "a stroke"])
def test_what_is_undone_counts_as_undone_whatever_follows_before_the_window_looks(person, follows):
    person.go_to(3)
    person.predict()
    person.paint(2)
    person.undo()
    person.go_to(5)
    person.labels.paint((2, 20, 20), 2)  # no moment to look, nor after that
    person.labels.undo()
    assert person.message == "Ctrl+Z changed slice 2, which is not in view."
    person.labels.undo()
    assert person.message == "Ctrl+Z changed slice 3, which is not in view."
    if follows == "a prediction":
        mask = np.zeros(person.labels.data.shape[1:], np.uint8)
        mask[10:20, 10:20] = 1
        person.controller.binding.apply(SlicePredicted((5,), mask, "id", 0.9))
    else:
        person.labels.paint((5, 20, 20), 2)
    person.controller.binding.check_known()
    assert not person.labels.data[3].any()
    assert person.tracker.state((3,)) is SliceState.UNTOUCHED
    assert (3,) not in person.tracker.ready()


def test_what_was_undone_out_of_view_is_no_longer_said_once_it_is_redone_in_view(person):
    person.predict()
    person.paint(0)
    person.go_to(5)
    person.undo()
    assert person.message == "Ctrl+Z changed slice 0, which is not in view."
    person.go_to(0)
    person.redo()
    assert person.message == ""


def test_painting_after_an_undo_out_of_view_is_no_redo(person):
    person.predict()
    person.paint(0)
    person.go_to(5)
    person.undo()
    person.paint(5)
    assert person.message == ""


def test_the_keys_work_on_the_labels_layer(person, qtbot):
    person.predict()
    person.viewer.layers.selection.active = person.labels
    canvas = person.viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier)
    assert person.tracker.state((0,)) is SliceState.ACCEPTED


def test_masks_painted_before_the_dock_opened_count_as_corrections(open_person, polyps):
    person = open_person(polyps.frames, rgb=True)
    labels = person.viewer.add_labels(polyps.masks.copy(), name="by hand")
    person.dock.layers_panel.labels_box.value = labels
    assert len(person.tracker.ready()) == 8
    person.predict()
    np.testing.assert_array_equal(person.labels.data[0], polyps.masks[0])
    person.predict()
    assert person.tracker.adapter_of((0,)) == ""
    assert (person.labels.data[0][polyps.masks[0] == 1] == 1).all()


def test_switching_layers_and_back_keeps_what_is_known(person, polyps):
    person.predict()
    person.paint(0)
    first = person.labels
    other = person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="other")
    person.dock.layers_panel.labels_box.value = other
    assert person.tracker.ready() == []
    person.dock.layers_panel.labels_box.value = first
    assert person.tracker.ready() == [(0,)]


def test_two_viewers_do_not_mix(open_person, polyps, tmp_path):
    one = open_person(polyps.frames, rgb=True)
    two = open_person(polyps.frames[:3], rgb=True, project=tmp_path / "other")
    one.predict()
    two.go_to(2)
    two.predict()
    assert one.tracker.count(SliceState.PREDICTED) == 1
    assert two.tracker.state((2,)) is SliceState.PREDICTED
    assert one.labels.data.shape != two.labels.data.shape


def test_another_image_of_the_same_size_gets_masks_of_its_own(person, polyps):
    person.predict()
    first = person.labels
    other = person.viewer.add_image(polyps.frames[::-1].copy(), name="other", rgb=True)
    person.dock.layers_panel.image_box.value = other
    person.go_to(0)
    person.predict()
    assert person.labels is not first
    assert person.labels.name == "other masks"
    person.dock.layers_panel.image_box.value = person.viewer.layers["image"]
    assert person.labels is first


def test_a_prediction_that_arrives_during_a_stroke_is_an_undo_step_of_its_own(person):
    person.predict()
    before = person.labels.data[0].copy()
    with person.labels.block_history():
        person.labels.paint((0, 40, 40), 3)
        person.go_to(0)
        person.dock.predict_panel.all_button.click()
        person.wait(lambda: not person.controller.prediction.is_running)
    person.settle()
    person.wait(lambda: person.tracker.count(SliceState.PREDICTED) == 7)
    assert (person.labels.data[0] == 3).any()
    for _ in range(7):
        person.undo()
    assert (person.labels.data[0] == 3).any()
    person.undo()
    np.testing.assert_array_equal(person.labels.data[0], before)


def test_new_pixels_of_the_image_layer_are_the_ones_that_are_predicted(person, polyps):
    person.predict()
    first = person.labels.data[0].copy()
    person.viewer.layers["image"].data = polyps.frames[::-1].copy()
    person.predict()
    assert (person.labels.data[0] != first).any()


def test_a_prediction_that_comes_during_a_stroke_that_changes_nothing_is_written_after_it(person):
    binding = person.controller.layers.need()
    person.settle()
    predicted = np.ones((96, 96), np.uint8)
    with person.labels.block_history():  # as while the mouse button is down
        person.labels.paint((0, 20, 20), 0)
        assert binding.apply(SlicePredicted((0,), predicted, "adapter", 0.9))
        person.qtbot.wait(3 * STROKE_MS)
        assert not person.labels.data[0].any()
    person.wait(lambda: person.labels.data[0].all())
    assert binding.tracker.adapter_of((0,)) == "adapter"
