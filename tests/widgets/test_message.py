"""What the dock says is true as long as it is to be read."""

import numpy as np
import pytest

from napari_sam_adapter.widgets.panels.message_line import OPEN_AN_IMAGE, STARTING


def is_problem(person):
    return "color" in person.dock.message.styleSheet()


def test_without_an_image_the_first_thing_read_is_to_open_one(open_person, polyps):
    person = open_person()
    assert person.message == OPEN_AN_IMAGE
    assert person.dock.correct_panel.in_view.text() == "Open an image to begin."
    person.wait(lambda: "Ready on" in person.message)
    assert person.message.startswith(OPEN_AN_IMAGE)
    person.viewer.add_image(polyps.frames, rgb=True)
    assert OPEN_AN_IMAGE not in person.message
    assert person.dock.correct_panel.in_view.text() == "Predict a slice, then correct its mask."
    person.wait_for_record()


def test_with_an_image_the_dock_says_when_the_model_has_started(open_person, polyps):
    person = open_person(polyps.frames, rgb=True)
    person.wait(lambda: person.message != STARTING)
    assert person.message.startswith("Ready on")


def test_a_refusal_stays_though_the_record_of_the_masks_is_opened_after_it(open_person, polyps):
    person = open_person(polyps.frames, rgb=True)
    person.controller.layers.need()
    person.dock.retrain_panel.button.click()
    refusal = person.message
    assert "No slice of this image is corrected or accepted yet" in refusal
    person.wait_for_record()
    person.settle()
    assert person.message == refusal


def test_what_was_said_of_an_image_goes_when_another_one_is_chosen_or_all_are_closed(
    person, polyps
):
    person.predict()
    assert "predicted by" in person.message
    person.viewer.add_image(polyps.frames[0].copy(), name="new", rgb=True)
    assert person.message == ""
    person.wait_for_record()
    person.predict()
    assert "predicted by" in person.message
    person.viewer.layers.clear()
    assert person.message == OPEN_AN_IMAGE


def test_what_is_true_of_any_image_stays_when_another_one_is_chosen(person, polyps):
    person.dock.say_place()
    said = person.message
    person.viewer.add_image(polyps.frames[0].copy(), name="new", rgb=True)
    assert person.message == said


def test_a_prediction_that_ends_when_another_image_is_chosen_names_its_own(person, polyps):
    person.predict()
    other = person.viewer.add_image(polyps.frames[0].copy(), name="new", rgb=True)
    image_box = person.dock.layers_panel.image_box
    image_box.value = person.viewer.layers["image"]
    person.dock.predict_panel.all_button.click()
    image_box.value = other
    person.wait(lambda: not person.controller.prediction.is_running)
    assert person.message.startswith("image: 8 slices predicted")


@pytest.mark.parametrize("mend", ["undo", "add a class"])
def test_a_label_that_is_no_class_is_refused_at_once_until_it_is_mended(person, mend):
    person.predict()
    person.dock.classes_panel.add_button.click()
    person.paint(0, row=50, column=50, label=1)  # corrected it is in any case
    person.paint(0, row=20, column=20, label=3)
    person.retrain()
    assert not person.controller.retraining.is_running
    assert "slice 0 is marked with label 3, but there are 2 classes" in person.message
    assert is_problem(person)
    if mend == "undo":
        person.undo()
        assert person.message == ""
    else:
        person.dock.classes_panel.add_button.click()
        assert "class 3 is added" in person.message
    assert not is_problem(person)


def test_a_refusal_goes_when_a_slice_is_accepted(person):
    person.predict()
    person.retrain()
    assert "No slice of this image is corrected or accepted yet" in person.message
    person.controller.binding.toggle_accepted((0,))
    assert "No slice" not in person.message


def test_what_filling_lacks_is_said_until_a_slice_is_corrected(person):
    person.predict()
    person.dock.correct_panel.fill_button.click()
    assert "Correct a slice before and one after" in person.message
    person.paint(3)
    assert person.message == ""


def test_adding_naming_and_removing_a_class_is_said_in_place_of_an_older_problem(person):
    panel = person.dock.classes_panel
    panel.rename_requested.emit(1, "")
    assert is_problem(person)
    panel.add_button.click()
    assert "class 2 is added, and painted with from now on" in person.message
    assert not is_problem(person)
    panel.rename_requested.emit(2, "stool")
    assert person.message == "Class 2 is called stool from now on."
    panel.remove_button.click()
    assert person.message == "stool is no class any more; what is painted with it stays."


def test_an_empty_mask_is_no_label_of_no_class(person):
    person.predict()
    person.dock.classes_panel.add_button.click()
    person.labels.data[0] = np.zeros((96, 96))
    person.dock.correct_panel.accept_button.click()
    person.retrain()
    assert "All masks to train on are empty" in person.message
