"""Predicting in a real viewer."""

import dask.array
import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.project import pixels
from napari_sam_adapter.volumes.slice_source import connected_objects


def test_predicting_the_slice_in_view_fills_only_that_slice(person):
    person.go_to(2)
    person.predict()
    assert person.labels.data[2].any()
    assert not np.delete(person.labels.data, 2, axis=0).any()
    assert person.tracker.state((2,)) is SliceState.PREDICTED


def test_the_new_masks_layer_lies_exactly_on_the_image(open_person, polyps):
    person = open_person(polyps.frames[..., 0], scale=(2.0, 0.5, 0.5), translate=(1.0, 3.0, 4.0))
    person.predict()
    assert person.labels.data.shape == polyps.frames.shape[:3]
    np.testing.assert_allclose(person.labels.scale, (2.0, 0.5, 0.5))
    np.testing.assert_allclose(person.labels.translate, (1.0, 3.0, 4.0))
    assert person.labels.units == person.viewer.layers["image"].units


def test_one_undo_takes_a_prediction_back_and_keeps_the_strokes(person):
    person.predict()
    person.undo()
    assert not person.labels.data.any()
    person.paint(0)
    stroke = person.labels.data[0].copy()
    person.predict()
    assert (person.labels.data[0] != stroke).any()
    person.undo()
    np.testing.assert_array_equal(person.labels.data[0], stroke)


def test_a_new_prediction_never_overwrites_corrected_pixels(person):
    person.predict()
    rows, columns = np.nonzero(person.labels.data[0])
    row, column = int(rows[rows.size // 2]), int(columns[rows.size // 2])
    person.paint(0, row, column, label=0)
    erased = person.labels.data[0] == 0
    dab = np.hypot(*(np.indices(erased.shape) - np.array([row, column])[:, None, None])) <= 3
    assert erased[dab].all()
    person.predict()
    person.predict()  # again: the slice is corrected
    assert "predicted by the base model" in person.message
    assert (person.labels.data[0][dab] == 0).all()


def test_predict_all_does_every_slice_and_shows_progress(person):
    seen = []
    person.controller.prediction.progressed.connect(lambda done, total: seen.append((done, total)))
    person.predict_all()
    assert all(person.tracker.state((z,)) is SliceState.PREDICTED for z in range(8))
    assert seen[0] == (0, 8)
    assert (8, 8) in seen
    assert "8 slices predicted by the base model" in person.message


def test_cancel_keeps_the_slices_that_are_done(person):
    person.dock.predict_panel.all_button.click()
    person.wait(lambda: person.tracker.count(SliceState.PREDICTED) >= 1)
    person.dock.predict_panel.cancel_button.click()
    person.wait(lambda: not person.controller.prediction.is_running)
    assert 1 <= person.tracker.count(SliceState.PREDICTED) < 8
    assert "Cancelled" in person.message
    assert person.dock.predict_panel.all_button.isEnabled()


def test_predict_all_ends_when_another_project_is_opened(open_polyps, folder):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.dock.predict_panel.all_button.click()
    person.wait(lambda: person.tracker.count(SliceState.PREDICTED) >= 2)
    there = person.tracker.count(SliceState.PREDICTED)
    person.dock.project_panel.folder_requested.emit(folder.with_name("other"))
    person.wait(lambda: not person.controller.prediction.is_running)
    person.wait_for_record()
    assert person.message.startswith(
        f"Another project was opened, so predicting 8 slices has ended. {there} of 8 were done"
    )
    assert person.tracker.count(SliceState.PREDICTED) == there
    person.predict_all()  # begins anew
    assert "8 slices predicted by the base model" in person.message
    person.dock.project_panel.folder_requested.emit(folder)
    person.wait_for_record()
    assert person.tracker.count(SliceState.PREDICTED) == there


def test_predict_all_leaves_accepted_slices_as_they_are(person):
    person.go_to(1)
    person.dock.correct_panel.accept_button.click()
    person.predict_all()
    assert not person.labels.data[1].any()
    assert person.tracker.state((1,)) is SliceState.ACCEPTED


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.float64])
def test_grey_stacks_of_any_type_can_be_predicted(open_person, polyps, dtype):
    person = open_person(polyps.frames[..., 1].astype(dtype) - (100 if dtype == np.int16 else 0))
    person.predict()
    assert person.labels.data[0].any()


def test_a_single_2d_picture_can_be_predicted(open_person, polyps):
    person = open_person(polyps.frames[0], rgb=True)
    person.predict()
    assert person.labels.data.shape == (96, 96)
    assert person.labels.data.any()
    assert person.tracker.state(()) is SliceState.PREDICTED


def test_a_lazy_volume_is_read_one_slice_at_a_time(open_person, polyps, monkeypatch):
    monkeypatch.setattr(pixels, "LARGEST_COPY", 1000)  # as if it were a large one
    read = []

    def load(block, block_info=None):
        if block_info:
            read.append(block_info[None]["chunk-location"][0])
        return block

    volume = np.tile(polyps.frames[..., 0], (5, 1, 1))
    lazy = dask.array.from_array(volume, chunks=(1, 96, 96))
    person = open_person(lazy.map_blocks(load, dtype=np.uint8), contrast_limits=(0, 255))
    person.go_to(5)
    person.qtbot.wait(300)  # napari loads what it shows
    read.clear()
    person.predict()
    person.wait_for_record()
    assert person.labels.data[5].any()
    # Besides it, what the image is known by: three slices, and more until sixteen show anything.
    assert {0, 5, 20, 39} <= set(read)
    assert len(set(read)) <= 20 < len(volume)


def test_two_slider_axes_work(open_person, polyps):
    person = open_person(polyps.frames[..., 0].reshape(2, 4, 96, 96))
    person.viewer.dims.set_current_step(0, 1)
    person.viewer.dims.set_current_step(1, 2)
    person.predict()
    assert person.labels.data[1, 2].any()
    assert person.labels.data.sum() == person.labels.data[1, 2].sum()


def test_the_slider_position_is_right_for_a_scaled_and_shifted_volume(open_person, polyps):
    person = open_person(polyps.frames[..., 0], scale=(3.0, 1.0, 1.0), translate=(7.0, 0.0, 0.0))
    person.controller.layers.choose(person.viewer.layers["image"], None)
    person.go_to(4)
    person.predict()
    assert person.tracker.state((4,)) is SliceState.PREDICTED
    person.dock.correct_panel.slice_requested.emit(6)
    assert person.controller.binding.index_in_view() == (6,)


def test_a_click_on_the_ruler_goes_to_the_slice(person, qtbot):
    from qtpy.QtCore import QPoint, Qt

    person.predict()
    ruler = person.dock.correct_panel.ruler
    ruler.resize(240, 26)
    qtbot.mouseClick(ruler, Qt.MouseButton.LeftButton, pos=QPoint(int(240 * 5.5 / 8), 13))
    assert person.viewer.dims.current_step[0] == 5


def test_objects_are_numbered_on_request(person):
    person.dock.predict_panel.number_box.click()
    person.predict()
    found = person.labels.data[0]
    objects = connected_objects(found)
    np.testing.assert_array_equal(found, objects)
    person.dock.predict_panel.number_box.click()
    person.predict()
    np.testing.assert_array_equal(person.labels.data[0], objects > 0)


def test_more_objects_than_the_masks_layer_can_number_are_refused_in_words(person, monkeypatch):
    from napari_sam_adapter.widgets.predict import numbering

    many = np.arange(96 * 96, dtype=np.uint16).reshape(96, 96)
    monkeypatch.setattr(numbering, "connected_objects", lambda labels: many)
    person.dock.predict_panel.number_box.click()
    person.predict()
    assert "the masks layer can number 255" in person.message
    assert "of type uint16" in person.message
    assert not person.labels.data.any()


def test_more_objects_than_16_bits_count_are_refused_for_masks_of_16_bits():
    from napari_sam_adapter.widgets.predict.numbering import numbered

    labels = np.zeros((600, 600), np.uint8)
    labels[::2, ::2] = 1
    with pytest.raises(ImageError, match=r"90000 objects .* number 65535.* of type uint32"):
        numbered(labels, np.dtype(np.uint16))


def test_objects_are_not_numbered_among_several_classes(person):
    panel = person.dock.predict_panel
    panel.number_box.click()
    person.dock.classes_panel.add_requested.emit()
    assert not panel.number_box.isEnabled()
    assert not panel.number_box.isChecked()
    assert "one class" in panel.number_box.toolTip()
