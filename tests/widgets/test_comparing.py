"""Before and after a retraining, on the slice in view."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.errors import EngineError
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter


@pytest.fixture
def compared(open_person, polyps, tmp_path):
    """A person with an adapter that answers otherwise than the base model."""
    path = tmp_path / "other.safetensors"
    model = build_adapted_sam(ModelSettings.default("lite_medsam"))
    for parameter in model.mask_decoder.output_hypernetworks_mlps.parameters():
        parameter.data.mul_(-1.0)
    save_adapter(path, model, gear="full")
    person = open_person(polyps.frames, rgb=True, scale=(2.0, 0.5, 0.5), translate=(10, 3, 4))
    person.dock.versions_panel.load_requested.emit(path)
    person.predict()
    return person


def press(person, button):
    button.click()
    person.wait(lambda: not person.controller.comparing.is_running)


def blink(person):
    press(person, person.dock.compare_panel.blink_button)


def compare_with(person, name):
    box = person.dock.compare_panel.other_box
    box.setCurrentIndex(box.findText(name, Qt.MatchFlag.MatchStartsWith))
    box.activated.emit(box.currentIndex())


def shown(person):
    """The comparison layer, if there is one."""
    layers = [x for x in person.viewer.layers if x.name.split(":")[0] in ("before", "after")]
    return layers[0] if layers else None


def test_before_after_and_the_masks_follow_each_other(compared):
    person = compared
    masks, mine = person.labels, person.labels.data[0].copy()
    person.viewer.layers.selection.active = masks
    blink(person)
    layer = shown(person)
    assert layer.name == "before: the base model"
    before = layer.data[0].copy()
    assert not masks.visible
    assert not layer.editable
    assert person.viewer.layers.selection.active is masks
    blink(person)
    assert shown(person) is layer
    assert layer.name == "after: v1"
    np.testing.assert_array_equal(layer.data[0] != 0, mine != 0)
    assert (before != layer.data[0]).any()
    blink(person)
    assert shown(person) is None
    assert masks.visible
    np.testing.assert_array_equal(masks.data[0], mine)


def test_the_comparison_lies_on_its_slice_and_is_no_masks_layer(compared):
    person = compared
    person.go_to(3)
    blink(person)
    layer = shown(person)
    corner = np.asarray(person.labels.data_to_world((3, 0, 0)))
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), corner)
    choices = person.dock.layers_panel.labels_box.choices
    assert layer not in choices
    assert person.labels in choices


def test_the_change_map_judges_by_the_persons_mask(compared, polyps):
    person = compared
    person.correct(0, polyps.masks[0].astype(np.uint8))
    panel = person.dock.compare_panel
    press(person, panel.map_button)
    layer = next(x for x in person.viewer.layers if x.name == "from the base model to v1")
    blink(person)
    before = shown(person).data[0] != 0
    assert "Dice" in person.message
    blink(person)
    after = shown(person).data[0] != 0
    press(person, panel.map_button)
    truth = polyps.masks[0] != 0
    found = layer.data[0]
    np.testing.assert_array_equal(found == 1, (before != truth) & (after == truth))
    np.testing.assert_array_equal(found == 2, (before == truth) & (after != truth))
    assert "pixels" in person.message
    press(person, panel.map_button)
    assert person.labels.visible


def test_no_model_is_judged_by_a_mask_that_was_predicted_after_the_last_correction(compared):
    person = compared
    person.paint(0)
    blink(person)
    assert "with your mask" in person.message
    blink(person)
    blink(person)
    person.predict()
    person.predict()  # once more: the slice is corrected
    assert "predicted by v1" in person.message
    blink(person)
    assert person.message == "Before: the base model. Once more shows after (v1)."
    person.dock.compare_panel.map_button.click()
    assert "added" in person.message or "removed" in person.message
    person.dock.compare_panel.map_button.click()
    person.dock.correct_panel.accept_button.click()
    blink(person)
    assert "with your mask" in person.message


def test_moving_the_slider_or_choosing_a_version_ends_it(compared):
    person = compared
    blink(person)
    person.go_to(2)
    assert shown(person) is None
    assert person.labels.visible
    person.go_to(0)
    blink(person)
    assert shown(person) is not None
    person.dock.versions_panel.choose(None)
    assert shown(person) is None
    blink(person)
    assert shown(person).name == "before: v1"


def test_a_comparison_that_is_being_made_ends_when_another_project_is_opened(compared, tmp_path):
    person = compared
    person.dock.compare_panel.blink_button.click()
    person.dock.project_panel.folder_requested.emit(tmp_path / "other")
    person.wait(lambda: not person.controller.comparing.is_running)
    assert shown(person) is None
    assert person.message == "Another project was opened, so comparing two versions has ended."
    person.wait_for_record()


def test_another_version_to_compare_with_is_shown_from_then_on(compared, adapter_file):
    person = compared
    person.dock.versions_panel.load_requested.emit(adapter_file)
    blink(person)
    assert shown(person).name == "before: the base model"
    compare_with(person, "v1")
    assert shown(person) is None
    blink(person)
    assert shown(person).name == "before: v1"
    person.go_to(3)
    person.dock.compare_panel.blink_button.click()
    compare_with(person, "the base model")
    person.wait(lambda: not person.controller.comparing.is_running)
    assert shown(person) is None


def test_what_is_asked_for_while_another_comparison_is_being_made_follows_it(
    compared, adapter_file
):
    person = compared
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.dock.compare_panel.blink_button.click()
    compare_with(person, "v1")
    blink(person)
    assert shown(person).name == "before: v1"
    blink(person)
    blink(person)
    person.go_to(2)
    person.dock.compare_panel.blink_button.click()
    person.go_to(3)
    blink(person)
    corner = np.asarray(person.labels.data_to_world((3, 0, 0)))
    np.testing.assert_allclose(shown(person).data_to_world((0, 0, 0)), corner)
    person.go_to(4)
    person.dock.compare_panel.blink_button.click()
    press(person, person.dock.compare_panel.map_button)
    assert person.message.startswith("From v1 to v2")


def test_what_was_asked_for_on_a_slice_that_was_left_is_not_shown_on_another(compared):
    person = compared
    person.dock.compare_panel.blink_button.click()
    person.go_to(1)
    person.dock.compare_panel.blink_button.click()
    person.go_to(2)
    person.wait(lambda: not person.controller.comparing.is_running)
    assert shown(person) is None
    assert person.labels.visible


def test_a_comparison_that_fails_says_so_once(compared, monkeypatch):
    person = compared
    asked = []

    def fail(*_):
        asked.append(1)
        raise EngineError("The prediction process has died.")

    monkeypatch.setattr(Predictor, "predict", fail)
    blink(person)
    assert person.message == "The prediction process has died."
    assert len(asked) == 1


@pytest.mark.parametrize("position", [0, 3])
def test_a_comparison_that_fails_keeps_only_what_was_asked_for_on_another_slice(
    compared, monkeypatch, position
):
    person = compared
    asked, predict = [], Predictor.predict

    def fail_on_the_first(self, index, *given):
        asked.append(index)
        if index == (0,):
            raise EngineError("The prediction process has died.")
        return predict(self, index, *given)

    monkeypatch.setattr(Predictor, "predict", fail_on_the_first)
    person.dock.compare_panel.blink_button.click()
    person.go_to(position)
    blink(person)
    if position == 0:
        assert person.message == "The prediction process has died."
        assert asked == [(0,)]
    else:
        assert shown(person).name == "before: the base model"
        assert asked == [(0,), (3,), (3,)]


def test_looking_twice_or_once_is_compared_anew(compared, turned_adapter_file, monkeypatch):
    person = compared
    views, predict = [], Predictor.predict

    def watched(self, index, image, model, *prompts):
        views.append(model.views)
        return predict(self, index, image, model, *prompts)

    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    monkeypatch.setattr(Predictor, "predict", watched)
    blink(person)
    assert views == [1, 2]
    person.dock.predict_panel.care_box.click()
    assert shown(person) is None
    blink(person)
    assert views == [1, 2, 1, 1]


def test_a_comparison_that_is_being_made_when_the_dock_is_closed_is_not_shown(compared):
    person = compared
    person.dock.compare_panel.blink_button.click()
    person.dock.rest()
    person.wait(lambda: not person.controller.comparing.is_running)
    assert shown(person) is None
    assert person.labels.visible


def test_a_comparison_layer_that_is_deleted_brings_the_masks_back(compared):
    person = compared
    blink(person)
    person.viewer.layers.remove(shown(person))
    assert person.labels.visible
    blink(person)
    assert shown(person).name == "before: the base model"


def test_where_there_is_one_model_only_it_is_said(open_person, polyps):
    person = open_person(polyps.frames, rgb=True)
    assert person.dock.compare_panel.isHidden()
    person.controller.comparing.blink()
    assert "There is one model only" in person.message
