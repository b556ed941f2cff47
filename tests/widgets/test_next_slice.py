"""The way to the next slice: a key, a button, and a ruler that shows where the model is unsure."""

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QToolTip

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.next_slice import uncertainty_of
from napari_sam_adapter.widgets import commands
from napari_sam_adapter.widgets.panels.slice_ruler import SliceRuler

SURE = [0.9, 0.8, 0.85, 0.9, 0.62, 0.8, 0.9, 0.7]


def in_view(person):
    return person.viewer.dims.current_step[0]


def next_slice(person):
    person.dock.correct_panel.next_button.click()
    person.settle()
    return in_view(person)


@pytest.fixture
def sure_person(person, polyps, monkeypatch):
    """A person to whom a well trained adapter has predicted all slices, with these confidences."""
    monkeypatch.setattr(person.controller.next_slice, "learned_from", lambda: 100)
    person.predict()
    for z, sure in enumerate(SURE):
        mask = polyps.masks[z].astype(np.uint8)
        person.controller.binding.apply(SlicePredicted((z,), mask, "an adapter", sure))
    person.settle()
    return person


def test_the_key_goes_to_the_slice_the_adapter_is_least_sure_of_and_says_so(sure_person, qtbot):
    person = sure_person
    person.viewer.layers.selection.active = person.labels
    canvas = person.viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert in_view(person) == 4
    assert person.message == "Slice 4: the adapter is least sure here (confidence 62%)."
    assert "Shift+N next" in person.dock.keys_line.text()


def test_after_a_correction_the_next_slice_is_not_its_neighbour(sure_person):
    assert next_slice(sure_person) == 4
    sure_person.paint(4)
    assert next_slice(sure_person) == 1
    assert sure_person.message == (
        "Slice 1: the adapter is unsure here (confidence 80%), and the nearest corrected one is 3 "
        "slices away."
    )


def test_a_slice_left_as_it_is_is_passed_over_until_all_are(sure_person):
    seen = [next_slice(sure_person) for _ in range(8)]
    assert sorted(seen) == list(range(8))
    assert next_slice(sure_person) == seen[0]


def test_a_version_just_trained_is_asked_and_the_dock_says_how_sure_it_is(person, polyps):
    person.predict_all()
    for z in (1, 6):
        person.correct(z, polyps.masks[z])
    person.retrain()
    person.wait_for_training()
    person.predict_all()
    assert person.controller.next_slice.learned_from() == 2
    assert next_slice(person) in (3, 4)
    sure = person.tracker.confidence_of((in_view(person),))
    assert f"confidence {sure:.0%}" in person.message


def test_when_every_slice_is_accepted_the_dock_says_so(sure_person):
    for z in range(8):
        sure_person.go_to(z)
        sure_person.dock.correct_panel.accept_button.click()
    sure_person.dock.correct_panel.next_button.click()
    assert "none left" in sure_person.message


def test_slices_of_the_base_model_are_offered_spread_over_the_stack(person):
    person.predict_all()
    assert set(uncertainty_of(person.tracker, [(z,) for z in range(8)]).values()) == {None}
    assert next_slice(person) == 3
    assert "not known" in person.message
    person.dock.correct_panel.accept_button.click()
    assert next_slice(person) == 1


def test_slices_nobody_has_predicted_are_offered_too(person):
    person.predict()
    person.paint(0)
    assert next_slice(person) == 4


def test_the_button_is_there_for_stacks_only_and_the_palette_does_the_same(
    open_person, polyps, monkeypatch
):
    person = open_person(polyps.frames, rgb=True)
    assert not person.dock.correct_panel.next_button.isVisibleTo(person.dock)
    person.predict()
    assert person.dock.correct_panel.next_button.isVisibleTo(person.dock)
    monkeypatch.setattr(commands, "open_dock", lambda viewer: person.dock)
    commands.next_slice(person.viewer)
    assert in_view(person) == 3


def test_without_an_image_the_key_says_what_is_missing(open_person):
    person = open_person()
    person.controller.next_slice.go()
    assert "no image layer" in person.message


def test_in_a_series_of_volumes_the_next_slice_is_in_another_volume(open_person, polyps):
    frames = np.stack([polyps.frames[:4], polyps.frames[4:]])
    person = open_person(frames, rgb=True)
    person.predict()
    person.labels.paint((0, 0, 20, 20), 2)
    person.settle()
    person.dock.correct_panel.next_button.click()
    assert person.viewer.dims.current_step[:2] == (1, 1)
    assert person.message.startswith("Slice (1, 1): ")


def test_the_cells_of_the_ruler_name_slice_state_and_confidence(sure_person):
    sure_person.paint(2)
    ruler = sure_person.dock.correct_panel.ruler
    said = "Slice 4: predicted by adapter an adapt, confidence 62%"
    assert ruler.tooltip_at(4) == said
    assert ruler.tooltip_at(2).startswith("Slice 2: corrected (")
    where = QPoint(int(ruler.width() * 4.5 / 8), 10)
    QApplication.sendEvent(ruler, QHelpEvent(QEvent.Type.ToolTip, where, ruler.mapToGlobal(where)))
    assert QToolTip.text().startswith(said)


def test_the_arrow_keys_walk_along_the_ruler(sure_person, qtbot):
    ruler = sure_person.dock.correct_panel.ruler
    assert ruler.focusPolicy() & Qt.FocusPolicy.TabFocus
    for key, wanted in (("Right", 1), ("Right", 2), ("Left", 1), ("End", 7), ("Right", 7)):
        qtbot.keyClick(ruler, getattr(Qt.Key, f"Key_{key}"))
        assert in_view(sure_person) == wanted


@pytest.mark.parametrize("colours", [("#262930", "#f0f1f2"), ("#efebe9", "#3b3a39")])
def test_the_less_sure_slice_has_the_taller_bar_in_a_dark_and_a_light_theme(qtbot, colours):
    back, text = colours
    ruler = SliceRuler()
    qtbot.addWidget(ruler)
    ruler.setStyleSheet(f"background: {back}; color: {text};")
    ruler.resize(240, ruler.sizeHint().height())
    ruler.set_states([SliceState.PREDICTED] * 4, 0, [0.1, 0.5, None, 0.2])
    picture = ruler.grab().toImage()
    columns = [90, 210, 150]  # in the middle of the cells of slices 1, 3 and 2
    below = range(25, ruler.height() - 6)
    tall = [sum(picture.pixelColor(x, y).name() == text for y in below) for x in columns]
    assert tall[0] > tall[1] > tall[2] == 0


@pytest.mark.parametrize("count", [7, 30, 5000])
def test_the_mark_of_the_last_slice_is_whole(qtbot, count):
    ruler = SliceRuler()
    qtbot.addWidget(ruler)
    ruler.setStyleSheet("background: #262930; color: #ff00ff;")
    ruler.resize(200, ruler.sizeHint().height())
    ruler.set_states([SliceState.UNTOUCHED] * count, count - 1)
    picture = ruler.grab().toImage()
    edges = [x for x in range(200) if picture.pixelColor(x, 12).name() == "#ff00ff"]
    assert len(edges) == 2
    assert edges[1] == 199


def test_thousands_of_slices_still_show_the_least_sure_one(qtbot):
    ruler = SliceRuler()
    qtbot.addWidget(ruler)
    ruler.resize(200, ruler.sizeHint().height())
    unsure = [0.0] * 5000
    unsure[2500] = 1.0
    ruler.set_states([SliceState.PREDICTED] * 5000, 0, unsure)
    picture = ruler.grab().toImage()
    tall = [picture.pixelColor(x, 26).name() for x in range(90, 110)]
    assert len(set(tall)) == 2


def test_the_way_to_the_next_slice_is_measured_along_z_and_not_across_channels(open_person):
    data = np.random.default_rng(0).integers(0, 255, (9, 2, 64, 64)).astype(np.uint8)
    person = open_person(data, axis_labels=("z", "c", "y", "x"))
    person.dock.correct_panel.next_button.click()
    assert person.viewer.dims.current_step[:2] == (4, 0)
    person.dock.correct_panel.accept_button.click()
    person.dock.correct_panel.next_button.click()
    assert person.viewer.dims.current_step[:2] == (4, 1)
