"""Predicting with help from around a slice, in a real viewer."""

import gc
import time
import weakref
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tifffile

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.volumes import volume_help
from napari_sam_adapter.widgets.predict.help_choice import HelpChoice


def visible(person):
    panel = person.dock.help_panel
    widgets = {
        "smooth": panel.smooth_box,
        "heed": panel.heed_box,
        "axes": panel.axes_box,
        "tile": panel.tile_box,
    }
    return {name for name, one in widgets.items() if one.isVisibleTo(person.dock)}


@pytest.mark.parametrize(
    ("shape", "offered"),
    [
        ((64, 64), set()),
        ((3, 64, 64), {"smooth", "heed", "axes"}),
        ((600, 64), {"tile"}),
        ((3, 600, 64), {"smooth", "heed", "axes", "tile"}),
    ],
)
def test_only_the_help_that_the_image_has_is_offered(open_person, shape, offered):
    person = open_person(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
    assert visible(person) == offered


@pytest.fixture
def told(monkeypatch):
    """Let the model say what the first pixel says: marked everywhere, or nowhere."""
    asked = []

    def predict_logits(self, image, model):
        asked.append(image.shape)
        value = 2.0 if image[0, 0] > 100 else -2.0
        return np.full((1, *image.shape[:2]), value, np.float32), ""

    monkeypatch.setattr(Predictor, "predict_logits", predict_logits)
    return asked


def volume(*first_pixels, side=64):
    data = np.random.default_rng(0).integers(0, 255, (len(first_pixels), side, side))
    data[:, 0, 0] = first_pixels
    return data.astype(np.uint8)


def test_smoothing_lets_neighbours_outvote_a_slice(open_person, told):
    person = open_person(volume(200, 200, 0, 200, 200))
    person.go_to(2)
    person.dock.help_panel.smooth_box.setValue(1.0)
    person.predict_all()
    assert person.labels.data.all()
    assert "5 slices predicted by the base model, smoothed across slices" in person.message
    assert person.tracker.confidence_of((2,)) is None
    person.undo()
    assert not person.labels.data[1].any()  # the last that came, as one step


def test_corrected_slices_are_heeded_and_stay(open_person, told):
    person = open_person(volume(0, 0, 0, 0))
    person.predict()
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 20:44] = 1
    person.correct(1, mask)
    person.dock.help_panel.heed_box.setChecked(True)
    person.predict_all()
    assert np.array_equal(person.labels.data[1], mask)
    assert person.tracker.state((1,)) is SliceState.CORRECTED
    for z in (0, 2):
        assert person.labels.data[z, 32, 32] == 1
        assert not person.labels.data[z, 2, 2]
    assert "heeding 1 corrected slice" in person.message


def test_large_pictures_are_predicted_in_tiles_and_cancel_works(open_person, told):
    picture = volume(200, side=700)[0]
    person = open_person(picture)
    box = person.dock.help_panel.tile_box
    box.setCurrentIndex(box.findData(256))
    person.predict()
    assert set(told) == {(256, 256)}
    assert person.labels.data.any()
    assert "in tiles of 256 pixels" in person.message


def test_cancel_leaves_a_large_picture_between_two_tiles(open_person, told, monkeypatch):
    person = open_person(volume(200, side=700)[0])
    person.controller.prediction.choose_help(HelpChoice(tile=256))
    whole = Predictor.predict_logits

    def then_cancel(self, image, model):
        person.controller.prediction.cancel()
        return whole(self, image, model)

    monkeypatch.setattr(Predictor, "predict_logits", then_cancel)
    person.predict()
    assert len(told) == 1
    assert not person.labels.data.any()


@pytest.fixture
def cube(open_person, told):
    """A volume of which the slices across Z say no, and those across the other axes yes."""
    data = volume(*[0] * 12)
    data[0, 0, :] = data[0, :, 0] = 200  # the first pixels of the slices across Y and X
    data[0, 0, 0] = 0
    person = open_person(data)
    person.dock.help_panel.axes_box.click()
    return person


def test_three_axes_let_all_directions_have_their_say(cube, told):
    seen = []
    cube.controller.prediction.progressed.connect(lambda done, total: seen.append((done, total)))
    cube.predict_all()
    assert len(told) == 12 + 64 + 64
    assert set(told) == {(64, 64), (12, 64)}
    assert seen[0] == (0, 140)
    assert seen[-2:] == [(140, 140), (0, 0)]
    # Yes from Y and X outvotes no from Z; at the first row and column two say no.
    assert cube.labels.data[:, 1:, 1:].all()
    assert not cube.labels.data[:, 0, 0].any()
    assert "12 slices predicted by the base model, along three axes." in cube.message


def test_a_single_slice_is_predicted_without_three_axes(cube, told, monkeypatch):
    asked = []
    predict = Predictor.predict
    monkeypatch.setattr(
        Predictor, "predict", lambda self, *a, **o: asked.append(1) or predict(self, *a, **o)
    )
    cube.predict()
    assert (len(asked), told) == (1, [])
    assert "three axes" not in cube.message


def test_the_tooltip_tells_what_three_axes_need_and_cost(cube):
    tooltip = cube.dock.help_panel.axes_box.toolTip()
    assert "trained on slices of all three" in tooltip
    assert "three times as long" in tooltip
    assert "140 slices across its axes instead of 12" in tooltip


def test_cancel_ends_three_axes_at_once_and_lets_go_of_the_volume(cube, told, monkeypatch):
    volumes = []
    predict_along = volume_help.predict_three_axes

    def remembering(voxels, *others):
        volumes.append(weakref.ref(voxels))
        return predict_along(voxels, *others)

    monkeypatch.setattr(volume_help, "predict_three_axes", remembering)
    predict_logits = Predictor.predict_logits

    def slowly(self, image, model):
        time.sleep(0.05)
        return predict_logits(self, image, model)

    monkeypatch.setattr(Predictor, "predict_logits", slowly)
    panel = cube.dock.predict_panel
    panel.all_button.click()
    cube.wait(lambda: panel.progress.value() > 14)
    panel.cancel_button.click()
    n_asked = len(told)
    cube.wait(lambda: not cube.controller.prediction.is_running)
    assert len(told) <= n_asked + 2
    assert not cube.labels.data.any()
    assert "Cancelled: 0 of 12 slices were predicted by the base model" in cube.message
    gc.collect()
    assert [reference() for reference in volumes] == [None]


def test_a_volume_that_does_not_fit_into_memory_is_refused_before_it_is_read(cube, monkeypatch):
    memory = SimpleNamespace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    cube.predict_all()
    assert "Three axes take 0.0 GiB of memory for a volume of 12 x 64 x 64 voxels" in cube.message
    assert not cube.labels.data.any()


def test_a_volume_too_thin_for_three_axes_is_told(open_person, told):
    person = open_person(volume(0, 0, 0))
    person.dock.help_panel.axes_box.click()
    person.predict_all()
    assert "The volume is too thin to be seen from all sides" in person.message
    assert told == []


def test_the_engine_answers_with_logits(person):
    """The same masks come from smoothing by nothing and from tiles that hold the slice."""
    person.predict()
    labels = person.labels.data[0].copy()
    image = person.controller.binding.source.read((0,))
    session = person.controller.session
    logits, who = session.predictor.predict_logits(image, session.in_use.reference)
    assert np.array_equal(logits[0] > 0, labels != 0)
    assert who == ""


def bright_and_dark(*first_pixels):
    """Slices (Z, C, Y, X); the model says of the second channel the opposite of the first."""
    bright = volume(*first_pixels)
    return np.stack([bright, 255 - bright], axis=1)


def opened_by_napari(open_person, data, path):
    """napari's own reader opens TIFF files, and says nothing of their axes."""
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "ZCYX"})
    person = open_person()
    person.viewer.open(path, plugin="napari")
    person.viewer.dims.current_step = (0,) * person.viewer.dims.ndim
    return person


@pytest.mark.parametrize("by", ["labels", "file"])
def test_smoothing_never_mixes_channels(open_person, told, tmp_path, by):
    data = bright_and_dark(200, 200, 0, 200, 200)
    if by == "labels":
        person = open_person(data, axis_labels=("z", "c", "y", "x"))
    else:
        person = opened_by_napari(open_person, data, tmp_path / "zc.tif")
    person.dock.help_panel.smooth_box.setValue(1.0)
    person.predict_all()
    assert person.labels.data[:, 0].all()
    assert not person.labels.data[:, 1].any()
    assert len(told) == 10


def test_three_axes_take_one_volume_per_channel(open_person, told):
    person = open_person(bright_and_dark(*[0] * 12), axis_labels=("z", "c", "y", "x"))
    person.dock.help_panel.axes_box.click()
    assert "140 slices across its axes instead of 12" in person.dock.help_panel.axes_box.toolTip()
    seen = []
    person.controller.prediction.progressed.connect(lambda done, total: seen.append(total))
    person.predict_all()
    assert len(told) == seen[0] == 2 * (12 + 64 + 64)


def test_a_stack_of_channels_alone_is_told_why_nothing_helps(open_person, told):
    person = open_person(volume(200, 0, 200), axis_labels=("c", "y", "x"))
    panel = person.dock.help_panel
    assert visible(person) == {"smooth", "heed", "axes"}
    for widget in (panel.smooth_box, panel.heed_box, panel.axes_box):
        assert not widget.isEnabled()
        assert "The only slider goes along channels" in widget.toolTip()
    # What was chosen for another image does nothing here.
    person.controller.prediction.choose_help(HelpChoice(smooth=1.0, heed=True, three_axes=True))
    person.predict_all()
    assert "3 slices predicted by the base model" in person.message
    assert "smoothed" not in person.message
    person.dock.correct_panel.fill_button.click()
    assert "The only slider goes along channels" in person.message


def test_frames_in_time_are_no_volume_to_be_seen_along_three_axes(open_person, told):
    person = open_person(volume(*[200] * 12), axis_labels=("time", "y", "x"))
    panel = person.dock.help_panel
    assert panel.smooth_box.isEnabled()
    assert panel.heed_box.isEnabled()
    assert not panel.axes_box.isEnabled()
    assert "moments of one place" in panel.axes_box.toolTip()
    # What was ticked for another image does nothing here.
    person.controller.prediction.choose_help(HelpChoice(smooth=1.0, three_axes=True))
    person.predict_all()
    assert len(told) == 12
    assert "three axes" not in person.message


def test_ticks_stay_from_image_to_image_and_are_gone_in_another_project(
    open_person, told, tmp_path
):
    person = open_person(volume(200, 0, 200))
    panel, numbers = person.dock.help_panel, person.dock.predict_panel.number_box
    for box in (panel.heed_box, panel.axes_box, numbers):
        box.click()
    panel.smooth_box.setValue(1.0)
    person.viewer.add_image(volume(0, 200, 0), name="second")
    assert panel.heed_box.isChecked()
    assert panel.smooth_box.value() == 1.0
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    assert not any(box.isChecked() for box in (panel.heed_box, panel.axes_box, numbers))
    assert panel.smooth_box.value() == 0
    person.predict_all()
    assert "3 slices predicted by the base model. " in person.message
