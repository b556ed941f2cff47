"""Other pixels put into an image layer make it another image, with a record of its own."""

import json

import numpy as np
import pytest

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
