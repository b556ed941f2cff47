"""Boxes and points in the dock."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.metrics import dice
from napari_sam_adapter.sam import registry
from napari_sam_adapter.widgets.dock import SamAdapterDock


@pytest.fixture
def panel(person):
    return person.dock.prompts_panel


def layer(person, name):
    return person.viewer.layers[f"image {name}"]


def around(mask, position):
    """The corners of a box around an object, as napari's rectangle tool leaves them."""
    rows, columns = np.nonzero(mask)
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array([(position, *corner) for corner in corners], float)


def prompts_in(person, position):
    controller = person.controller
    return controller.prompts.in_slice(controller.layers.need(), (position,), 1)


def test_a_box_in_the_slice_replaces_the_prediction_without_prompts(person, panel, polyps):
    person.go_to(3)
    person.predict()
    before = dice(person.labels.data[3] > 0, polyps.masks[3] > 0)
    panel.boxes_button.click()
    boxes = layer(person, "boxes")
    assert boxes.mode == "add_rectangle"
    assert person.viewer.layers.selection.active is boxes
    boxes.add_rectangles(around(polyps.masks[3], 3))
    person.predict()
    after = dice(person.labels.data[3] > 0, polyps.masks[3] > 0)
    assert after > max(before + 0.1, 0.6)
    assert "predicted from 1 box by the base model." in person.message
    assert person.tracker.state((3,)) is SliceState.PREDICTED
    person.undo()
    assert dice(person.labels.data[3] > 0, polyps.masks[3] > 0) == pytest.approx(before)


def test_boxes_of_other_slices_are_not_used(person, panel, polyps):
    panel.boxes_button.click()
    layer(person, "boxes").add_rectangles(around(polyps.masks[3], 3))
    person.go_to(0)
    person.predict()
    assert "predicted by the base model." in person.message
    assert not prompts_in(person, 0)
    assert len(prompts_in(person, 3).boxes) == 1


def test_predict_all_ignores_prompts(person, panel, polyps):
    panel.boxes_button.click()
    layer(person, "boxes").add_rectangles(around(polyps.masks[0], 0))
    person.predict_all()
    without = person.labels.data[0].copy()
    layer(person, "boxes").data = []
    person.predict()
    np.testing.assert_array_equal(person.labels.data[0], without)
    assert "boxes and points" in person.dock.predict_panel.all_button.toolTip()


def test_a_polygon_counts_as_its_bounding_box(person, panel):
    panel.boxes_button.click()
    triangle = np.array([(2, 10, 40), (2, 30, 20), (2, 30, 60)], float)
    layer(person, "boxes").add_polygons(triangle)
    np.testing.assert_allclose(prompts_in(person, 2).boxes, [[20, 10, 60, 30]])


def test_points_mark_the_object_or_the_background(person, panel):
    assert not panel.kind_box.isVisibleTo(panel)
    panel.points_button.click()
    assert panel.kind_box.isVisibleTo(panel)
    points = layer(person, "points")
    assert points.mode == "add"
    points.add((0, 20, 30))
    panel.kind_box.setCurrentText("background")
    panel.kind_box.textActivated.emit("background")
    points.add((0, 5, 6))
    points.add((1, 7, 8))
    prompts = prompts_in(person, 0)
    np.testing.assert_allclose(prompts.points, [[30, 20], [6, 5]])
    assert prompts.is_object.tolist() == [True, False]
    assert not np.allclose(points.face_color[0], points.face_color[1])
    np.testing.assert_allclose(points.face_color[1], points.face_color[2])
    # Choosing an object point in the layer makes new points mark the object again.
    points.selected_data = {0}
    assert panel.kind_box.currentText() == "object"
    person.viewer.layers.remove(points)
    assert not panel.kind_box.isVisibleTo(panel)


def test_a_model_that_knows_boxes_only_says_so_until_it_is_trained(person, panel, polyps):
    panel.points_button.click()
    assert "lite_medsam knows boxes only: points help little" in person.message
    person.predict()
    person.correct(0, polyps.masks[0])
    person.retrain()
    person.wait_for_training()
    panel.points_button.click()
    assert person.message.startswith("Click on the object")
    layer(person, "points").add((1, 48, 48))
    person.go_to(1)
    person.predict()
    assert "predicted from 1 point by v1" in person.message
    assert "confidence" not in person.message, "it was calibrated without prompts"


def test_an_imported_adapter_takes_no_prompts_and_says_why(
    person, panel, monkeypatch, adapter_file
):
    person.dock.versions_panel.load_requested.emit(adapter_file)
    active = person.controller.session.in_use.version
    imported = replace(active, card=replace(active.card, own_prompt_embedding=True))
    session = person.controller.session
    monkeypatch.setattr(session, "in_use", session.in_use.with_version(imported))
    for button in (panel.boxes_button, panel.points_button):
        button.click()
        assert "v1 comes from an original SAM-Adapter checkpoint" in person.message


def test_a_model_that_answers_to_points_says_nothing(person, panel, monkeypatch):
    model = replace(registry.LITE_MEDSAM, answers_points=True)
    monkeypatch.setitem(registry.BASE_MODELS, "lite_medsam", model)
    panel.points_button.click()
    assert person.message.startswith("Click on the object")


def test_the_layers_lie_exactly_on_the_image(open_person, polyps):
    person = open_person(polyps.frames[..., 0], scale=(2.0, 0.5, 0.5), translate=(1.0, 3.0, 4.0))
    person.dock.prompts_panel.boxes_button.click()
    person.dock.prompts_panel.points_button.click()
    for name in ("boxes", "points"):
        np.testing.assert_allclose(layer(person, name).scale, (2.0, 0.5, 0.5))
        np.testing.assert_allclose(layer(person, name).translate, (1.0, 3.0, 4.0))
        assert layer(person, name).units == person.viewer.layers["image"].units
    # What the pointer says there, in the layer, is the pixel of the image.
    layer(person, "points").add(layer(person, "points").world_to_data((7.0, 13.0, 9.0)))
    np.testing.assert_allclose(prompts_in(person, 3).points, [[10, 20]])


def test_a_single_2d_picture_takes_boxes_and_points(open_person, polyps):
    person = open_person(polyps.frames[0], rgb=True)
    person.dock.prompts_panel.boxes_button.click()
    layer(person, "boxes").add_rectangles(around(polyps.masks[0], 0)[:, 1:])
    person.predict()
    assert dice(person.labels.data > 0, polyps.masks[0] > 0) > 0.6


def test_pressing_again_chooses_the_layer_that_is_there(person, panel):
    panel.boxes_button.click()
    panel.points_button.click()
    panel.boxes_button.click()
    assert len(person.viewer.layers) == 3
    assert person.viewer.layers.selection.active is layer(person, "boxes")


def test_a_selected_layer_of_ones_own_holds_the_boxes(person, panel, polyps, qtbot):
    own = person.viewer.add_shapes(around(polyps.masks[0], 0)[None], name="my boxes")
    panel.boxes_button.click()
    assert len(person.viewer.layers) == 2, "the image and the person's own"
    assert own.mode == "add_rectangle"
    assert len(prompts_in(person, 0).boxes) == 1
    canvas = person.viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, "P", Qt.KeyboardModifier.ShiftModifier)
    person.wait(lambda: "predicted from 1 box" in person.message)


def test_another_selected_layer_takes_the_place_of_the_first(person, panel, polyps):
    panel.boxes_button.click()
    layer(person, "boxes").add_rectangles(around(polyps.masks[0], 0))
    own = person.viewer.add_shapes(around(polyps.masks[1], 1)[None], name="my boxes")
    panel.boxes_button.click()
    assert person.viewer.layers.selection.active is own
    assert not prompts_in(person, 0)
    assert len(prompts_in(person, 1).boxes) == 1
    person.viewer.layers.selection.active = layer(person, "boxes")
    panel.boxes_button.click()
    assert len(prompts_in(person, 0).boxes) == 1


def test_ones_own_points_mark_the_object_until_told_otherwise(person, panel):
    own = person.viewer.add_points(np.array([(0, 20, 30), (1, 7, 8)]), name="my points")
    panel.points_button.click()
    panel.kind_box.setCurrentText("background")
    panel.kind_box.textActivated.emit("background")
    own.add((0, 5, 6))
    prompts = prompts_in(person, 0)
    np.testing.assert_allclose(prompts.points, [[30, 20], [6, 5]])
    assert prompts.is_object.tolist() == [True, False]
    assert not np.allclose(own.face_color[0], own.face_color[2])


def test_boxes_without_an_axis_for_the_slider_lie_in_every_slice(person, panel, polyps):
    own = person.viewer.add_shapes(around(polyps.masks[0], 0)[None, :, 1:], name="flat boxes")
    panel.boxes_button.click()
    expected = prompts_in(person, 0).boxes
    assert len(expected) == 1
    np.testing.assert_allclose(prompts_in(person, 5).boxes, expected)
    assert own in person.viewer.layers


def test_ones_own_boxes_are_meant_where_they_are_seen(open_person, polyps):
    person = open_person(polyps.frames[..., 0], scale=(2.0, 0.5, 0.5), translate=(1.0, 3.0, 4.0))
    corners = np.array([(3, 10, 20), (3, 10, 40), (3, 30, 40), (3, 30, 20)], float)
    in_world = corners * (2.0, 0.5, 0.5) + (1.0, 3.0, 4.0)
    person.viewer.add_shapes(in_world[None], name="in micrometres")
    person.dock.prompts_panel.boxes_button.click()
    np.testing.assert_allclose(prompts_in(person, 3).boxes, [[20, 10, 40, 30]])


def test_a_layer_about_another_image_is_not_taken(person, panel, polyps):
    panel.boxes_button.click()
    first = layer(person, "boxes")
    person.viewer.add_image(polyps.frames, rgb=True, name="other")
    person.dock.layers_panel.image_box.value = person.viewer.layers["other"]
    person.viewer.layers.selection.active = first
    panel.boxes_button.click()
    assert [one.name for one in person.viewer.layers if "boxes" in one.name] == [
        "image boxes",
        "other boxes",
    ]


def test_prompts_outside_of_the_image_are_refused_in_words(person, panel):
    panel.points_button.click()
    layer(person, "points").add((0, -20, 30))
    person.predict()
    assert "lie outside of the image" in person.message


def test_a_click_with_the_rectangle_tool_is_no_box(open_person):
    person = open_person(np.random.default_rng(0).random((300, 400)))
    person.dock.prompts_panel.boxes_button.click()
    boxes = layer(person, "boxes")
    person.predict()
    before = person.labels.data.copy()
    # What napari leaves of a click: 2.5 pixels of the screen, here of one about as wide.
    dot = np.array([(100, 100), (100, 102.5), (102.5, 102.5), (102.5, 100)])
    boxes.add_rectangles(dot)
    person.predict()
    assert "a click alone makes no box" in person.message
    np.testing.assert_array_equal(person.labels.data, before)
    boxes.add_rectangles(np.array([(100, 100), (100, 300), (102, 300), (102, 100)]))
    person.predict()
    assert "predicted from 1 box" in person.message, "narrow things have narrow boxes"


def test_without_an_image_the_buttons_say_what_to_do(open_person):
    person = open_person()
    person.dock.prompts_panel.boxes_button.click()
    assert "There is no image layer" in person.message
    person.dock.prompts_panel.points_button.click()
    assert "There is no image layer" in person.message


def test_a_box_for_a_class_that_is_not_learned_yet_is_refused_in_words(person, panel, polyps):
    person.predict()
    person.dock.classes_panel.add_button.click()
    panel.boxes_button.click()
    layer(person, "boxes").add_rectangles(around(polyps.masks[0], 0))
    person.predict()
    assert "meant for class 2, but the model knows 1: object" in person.message


def test_the_key_predicts_while_the_layer_of_boxes_is_active(person, panel, polyps, qtbot):
    panel.boxes_button.click()
    layer(person, "boxes").add_rectangles(around(polyps.masks[0], 0))
    canvas = person.viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, "P", Qt.KeyboardModifier.ShiftModifier)
    person.wait(lambda: "predicted from 1 box" in person.message)


def test_a_new_dock_finds_the_boxes_and_points_again(person, panel, open_person):
    panel.points_button.click()
    layer(person, "points").add((0, 20, 30))
    person.dock.shutdown()
    again = SamAdapterDock(person.viewer, person.controller.session)
    assert again.prompts_panel.kind_box.isVisibleTo(again.prompts_panel)
    again.prompts_panel.points_button.click()
    assert len(person.viewer.layers) == 2
    again.shutdown()
    again.deleteLater()
