"""Several images are open: the one that is worked on is the one that is seen."""

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState


@pytest.fixture
def two(open_person, polyps):
    """A person with two single pictures; both were predicted, the second one last."""
    person = open_person()
    for number in range(2):
        person.viewer.add_image(polyps.frames[number].copy(), name=f"frame{number}", rgb=True)
        person.wait_for_record()
        person.predict()
        person.wait_for_record()
    return person


def image_box(person):
    return person.dock.layers_panel.image_box


def test_an_image_that_is_opened_is_the_one_that_is_worked_on(person, polyps):
    person.predict()
    for number in range(3):
        person.viewer.add_image(polyps.frames[number].copy(), name=f"frame{number}", rgb=True)
    newest = person.viewer.layers[-1]
    assert person.controller.layers.image is newest
    assert image_box(person).value is newest
    person.wait_for_record()
    person.predict()
    assert person.labels.name == "frame2 masks"
    # Masks of the other image would lie on this one.
    assert not person.viewer.layers["image masks"].visible


def test_an_image_opened_while_another_is_trained_on_waits_and_the_dock_says_so(person, polyps):
    person.predict()
    person.paint(0)
    person.begin_training()
    person.viewer.add_image(polyps.frames[0].copy(), name="later", rgb=True)
    assert person.controller.layers.image.name == "image"
    assert person.labels.visible
    assert "choose later under Image" in person.message
    person.stop_training()


def test_a_polygon_that_is_not_finished_keeps_the_dock_at_its_image(person, polyps):
    person.predict()
    person.labels.mode = "polygon"
    person.labels._overlays["polygon"].points = [(0, 10, 10), (0, 20, 20)]
    person.viewer.add_image(polyps.frames[0].copy(), name="later", rgb=True)
    assert person.controller.layers.image.name == "image"


def test_choosing_an_image_raises_it_with_its_masks_and_hides_those_of_others(two):
    layers = two.viewer.layers
    mine = two.viewer.add_labels(np.ones((96, 96), np.uint8), name="mine")
    image_box(two).value = layers["frame0"]
    assert [layer.name for layer in layers][-2:] == ["frame0", "frame0 masks"]
    assert layers.selection.active is two.labels
    shown = {layer.name for layer in layers if layer.visible}
    assert shown == {"frame0", "frame0 masks", "frame1", "mine"}
    assert mine.visible
    image_box(two).value = layers["frame1"]
    assert [layer.name for layer in layers][-2:] == ["frame1", "frame1 masks"]
    assert two.labels.visible
    assert not layers["frame0 masks"].visible


@pytest.fixture
def short_and_long(open_person, polyps):
    """A person with a stack of 8 slices, which was predicted, beside one of 50, in view at 30."""
    person = open_person(polyps.frames[..., 0], scale=(2, 1, 1))
    person.predict()
    person.wait_for_record()
    longer = np.resize(polyps.frames[..., 0], (50, 96, 96))
    person.viewer.add_image(longer, name="long", scale=(2, 1, 1))
    person.wait_for_record()
    person.viewer.dims.set_point(0, 60)
    return person


def test_choosing_an_image_brings_the_slider_to_its_nearest_slice(short_and_long):
    person, dims = short_and_long, short_and_long.viewer.dims
    image_box(person).value = person.viewer.layers["image"]
    assert dims.point[0] == 14
    assert not person.viewer.layers["image"]._slice.empty
    # Where it has a slice, the slider stays.
    image_box(person).value = person.viewer.layers["long"]
    assert dims.point[0] == 14


def test_an_image_that_is_opened_beside_a_longer_one_shows_its_nearest_slice(
    short_and_long, polyps
):
    person = short_and_long
    person.viewer.add_image(polyps.frames[..., 1], name="later", translate=(20, 0, 0))
    assert person.controller.layers.image.name == "later"
    assert not person.viewer.layers["later"]._slice.empty
    assert person.viewer.dims.point[0] == 27


@pytest.mark.parametrize("button", ["accept_button", "go_on_button", "slice_button"])
def test_no_slice_is_accepted_or_predicted_that_the_slider_is_outside_of(short_and_long, button):
    person = short_and_long
    image_box(person).value = person.viewer.layers["image"]
    person.viewer.dims.set_point(0, 60)
    panels = (person.dock.correct_panel, person.dock.predict_panel)
    next(getattr(panel, button) for panel in panels if hasattr(panel, button)).click()
    assert not person.controller.prediction.is_running
    assert person.tracker.state((7,)) is SliceState.UNTOUCHED
    assert not person.labels.data[7].any()
    said = "The slider stands where 'image' has no slice: move it to slice 7, the nearest one."
    assert person.message == said
    assert person.viewer.dims.point[0] == 60


@pytest.mark.parametrize("button", ["accept_button", "go_on_button", "slice_button"])
def test_no_slice_is_accepted_or_predicted_where_all_are_shown_at_once(person, button):
    person.predict()
    before = person.labels.data.copy()
    person.viewer.dims.ndisplay = 3
    panels = (person.dock.correct_panel, person.dock.predict_panel)
    next(getattr(panel, button) for panel in panels if hasattr(panel, button)).click()
    assert "shows all slices at once" in person.message
    assert "Ctrl+Y" in person.message
    assert not person.controller.prediction.is_running
    assert person.tracker.ready() == []
    np.testing.assert_array_equal(person.labels.data, before)


def test_coming_back_to_an_image_the_masks_last_worked_on_are_chosen_of_several(two):
    layers, masks_box = two.viewer.layers, two.dock.layers_panel.labels_box
    first = two.labels
    second = two.viewer.add_labels(np.zeros((96, 96), np.uint8), name="second")
    for masks in (second, first):
        masks_box.value = masks
        two.wait_for_record()
    for name in ("frame0", "frame1"):
        image_box(two).value = layers[name]
        two.wait_for_record()
    assert two.labels is first
    assert layers.selection.active is first


def test_masks_that_are_recorded_again_with_their_image_are_not_those_last_worked_on(two):
    layers, first = two.viewer.layers, two.labels
    two.viewer.add_labels(np.ones((96, 96), np.uint8), name="second")
    for masks in (layers["second"], first):
        two.dock.layers_panel.labels_box.value = masks
        two.wait_for_record()
    image = layers["frame1"]
    layers.remove(image)
    two.settle()
    layers.append(image)
    image_box(two).value = image
    two.wait_for_record()
    chosen = two.labels
    two.wait(lambda: len(two.controller.layers.bindings()) == 3)
    for name in ("frame0", "frame1"):
        image_box(two).value = layers[name]
        two.wait_for_record()
    assert two.labels is chosen


def test_boxes_on_an_image_come_and_go_with_it(two):
    two.dock.prompts_panel.boxes_button.click()
    boxes = two.viewer.layers[-1]
    image_box(two).value = two.viewer.layers["frame0"]
    assert not boxes.visible
    image_box(two).value = two.viewer.layers["frame1"]
    assert boxes.visible


def test_when_an_image_is_closed_the_masks_of_the_one_below_are_seen_again(two):
    layers = two.viewer.layers
    for name in ("frame1 masks", "frame1"):
        layers.remove(name)
    assert two.controller.layers.image.name == "frame0"
    assert two.controller.binding is not None
    assert layers["frame0 masks"].visible


def test_masks_hidden_for_a_comparison_do_not_come_back_over_another_image(person, polyps):
    """Ending the comparison shows the masks of its image; another image is in front by then."""
    person.predict()
    person.controller.comparing._pair = _Pair(person.controller.binding)
    person.controller.comparing._layer = person.viewer.add_labels(
        np.zeros((96, 96), np.uint8), name="before"
    )
    masks = person.labels
    masks.visible = False
    person.viewer.add_image(polyps.frames[0].copy(), name="later", rgb=True)
    assert "before" not in person.viewer.layers
    assert not masks.visible


class _Pair:
    def __init__(self, binding):
        self.binding, self.index = binding, (0,)
