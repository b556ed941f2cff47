"""Predicting with help from around a slice, in a real viewer."""

import numpy as np
import pytest

from napari_sam_adapter.annotations import SliceState
from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.widgets.help_choice import HelpChoice


def visible(person):
    panel = person.dock.help_panel
    widgets = {"smooth": panel.smooth_box, "heed": panel.heed_box, "tile": panel.tile_box}
    return {name for name, one in widgets.items() if one.isVisibleTo(person.dock)}


@pytest.mark.parametrize(
    ("shape", "offered"),
    [
        ((64, 64), set()),
        ((3, 64, 64), {"smooth", "heed"}),
        ((600, 64), {"tile"}),
        ((3, 600, 64), {"smooth", "heed", "tile"}),
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


def test_the_engine_answers_with_logits(person):
    """The same masks come from smoothing by nothing and from tiles that hold the slice."""
    person.predict()
    labels = person.labels.data[0].copy()
    image = person.controller.binding.source.read((0,))
    session = person.controller.session
    logits, who = session.predictor.predict_logits(image, session.in_use.reference)
    assert np.array_equal(logits[0] > 0, labels != 0)
    assert who == ""
