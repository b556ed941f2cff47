"""Other pixels put into an image layer make it another image, with a record of its own."""

import json

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.pixels import image_of
from napari_sam_adapter.project.project import Project

RNG = np.random.default_rng(0)
FIRST, SECOND = (RNG.integers(0, 255, (5, 48, 48)).astype(np.uint8) for _ in range(2))


@pytest.fixture
def painter(open_person):
    """A person with a stroke on the second slice of the first image."""
    person = open_person(FIRST)
    person.controller.layers.need()
    person.wait_for_record()
    person.paint(1)
    return person


def painted(person):
    return [z for z in range(5) if person.labels.data[z].any()]


def test_strokes_go_to_the_record_of_what_the_image_is_now(painter, open_person):
    masks = painter.labels
    painter.viewer.layers["image"].data = SECOND
    painter.paint(2)  # before it is identified
    painter.wait_for_record()
    assert painter.labels is masks
    assert "Other pixels were put into 'image'" in painter.message
    painter.paint(3)
    painter.close()
    for image, slices in ((FIRST, [1]), (SECOND, [1, 2, 3])):
        again = open_person(image)
        again.wait_for_record()
        assert painted(again) == slices
        again.close()


def test_a_stroke_made_right_before_belongs_to_the_image_before(painter, open_person):
    painter.labels.paint((4, 20, 20), 2)
    painter.viewer.layers["image"].data = SECOND
    painter.close()
    again = open_person(FIRST)
    again.wait_for_record()
    assert painted(again) == [1, 4]


def test_the_pixels_that_came_from_no_file_are_kept(painter, folder):
    painter.viewer.layers["image"].data = SECOND
    painter.wait_for_record()
    painter.paint(2)
    painter.close()
    images = [image_of(*one).data for one in Project(folder).records()]
    assert sorted(int(one[0, 0, 0]) for one in images) == sorted([FIRST[0, 0, 0], SECOND[0, 0, 0]])


def test_the_same_pixels_again_go_on_in_the_same_record(painter, folder):
    painter.viewer.layers["image"].data = FIRST.copy()
    painter.wait_for_record()
    painter.paint(2)
    painter.close()
    (path,) = folder.glob("images/*/journal.jsonl")
    assert [event.slice for event in read_journal(path).events] == [(1,), (2,)]


def test_pixels_of_another_shape_let_the_masks_go_and_say_so(painter):
    masks = painter.labels
    painter.viewer.layers["image"].data = SECOND[:3, :32]
    assert f"{masks.name!r} has shape (5, 48, 48)" in painter.message
    painter.wait_for_record()
    painter.controller.layers.need()
    assert painter.labels.data.shape == (3, 32, 48)


def choose_anew(person, masks):
    for chosen in (None, masks):
        person.dock.layers_panel.labels_box.value = chosen
    person.wait_for_record()


@pytest.mark.parametrize("first", ["image", "masks"])
def test_masks_that_were_cropped_with_their_image_go_on_with_what_is_known_of_the_slices_left(
    painter, open_person, first
):
    image, masks = painter.viewer.layers["image"], painter.labels
    painter.paint(4)
    painter.controller.binding.toggle_accepted((2,))
    for layer in (image, masks) if first == "image" else (masks, image):
        layer.data = layer.data[:4]
    choose_anew(painter, masks)
    assert painter.labels is masks
    states = {index: painter.tracker.state(index) for index in painter.tracker.known()}
    assert states == {(1,): SliceState.CORRECTED, (2,): SliceState.ACCEPTED}
    painter.undo()  # what was painted on the slice that is gone
    painter.paint(3)
    painter.close()
    for pixels, slices in ((FIRST, [1, 4]), (FIRST[:4], [1, 3])):
        again = open_person(pixels)
        again.wait_for_record()
        assert [z for z in range(len(pixels)) if again.labels.data[z].any()] == slices
        assert again.tracker.state((2,)) is SliceState.ACCEPTED
        again.close()


def test_masks_that_got_another_axis_with_their_image_are_taken_over_as_the_person_s(painter):
    image, masks = painter.viewer.layers["image"], painter.labels
    for layer in (image, masks):
        layer.data = np.stack([layer.data] * 2)
    choose_anew(painter, masks)
    assert painter.labels is masks
    assert painter.tracker.ready() == [(0, 1), (1, 1)]
    painter.undo()
    masks.paint((1, 3, 20, 20), 2)
    painter.settle()
    assert painter.tracker.ready() == [(0, 1), (1, 1), (1, 3)]


def test_masks_that_were_cropped_for_another_image_stay_as_they_were_in_the_record_before(
    painter, open_person
):
    masks = painter.labels
    painter.controller.binding.toggle_accepted((0,))
    masks.data = masks.data[1:]
    painter.dock.layers_panel.image_box.value = painter.viewer.add_image(SECOND[1:], name="other")
    choose_anew(painter, masks)
    assert painter.labels is masks
    assert painter.tracker.ready() == [(0,)]
    painter.close()
    again = open_person(FIRST)
    again.wait_for_record()
    assert painted(again) == [1]


def test_masks_made_before_the_first_record_of_an_image_are_kept_in_that_one(open_person, folder):
    person = open_person(FIRST)
    own = np.zeros(FIRST.shape, np.uint8)
    own[1, 3:9, 3:9] = 1
    person.dock.layers_panel.labels_box.value = person.viewer.add_labels(own, name="mine")
    person.wait_for_record()
    assert "other masks" not in person.message
    assert len(list(folder.glob("images/*"))) == 1


def test_boxes_drawn_later_are_those_of_what_the_image_is_now(painter, folder):
    corners = np.array([(0, 5, 5), (0, 5, 20), (0, 20, 20), (0, 20, 5)], float)
    painter.dock.prompts_panel.boxes_button.click()
    boxes = painter.viewer.layers["image boxes"]
    boxes.add_rectangles([corners])
    painter.wait(lambda: len(list(folder.glob("layers/*.json"))) == 1)
    (before,) = folder.glob("layers/*.json")
    painter.viewer.layers["image"].data = SECOND
    painter.wait_for_record()
    boxes.add_rectangles([corners + np.array((0, 10, 10))])
    painter.close()
    kept = {path: json.loads(path.read_text())["boxes"] for path in folder.glob("layers/*.json")}
    assert len(kept.pop(before)) == 1
    assert [len(boxes) for boxes in kept.values()] == [2]
