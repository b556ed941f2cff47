"""What is ready to train on in the project's other images counts, and is said."""

import numpy as np
import pytest


@pytest.fixture
def two(open_person, polyps):
    """A person who has corrected a slice of one picture, and has another one open."""
    person = open_person()
    person.viewer.add_image(polyps.frames[0].copy(), name="one", rgb=True)
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    person.labels.paint((30, 30), 2)
    person.settle()
    person.viewer.add_image(polyps.frames[1].copy(), name="two", rgb=True)
    person.wait_for_record()
    return person


def ready(person):
    return person.dock.retrain_panel.ready.text()


def test_slices_of_other_images_are_counted_where_they_are_learned_from(two):
    two.wait(lambda: "<b>1 slice of another image of the project</b> is ready" in ready(two))
    assert ready(two).endswith("; correct or accept one of this image first")
    two.dock.retrain_panel.button.click()
    assert "This image has nothing to train on yet" in two.message
    two.predict()
    two.dock.correct_panel.accept_button.click()
    assert "<b>1 slice here and 1 of another image of the project</b> are ready" in ready(two)
    assert ready(two).endswith("are ready to train on")
    two.dock.retrain_panel.advanced.others_box.setChecked(False)
    assert "<b>1 slice</b> is ready" in ready(two)


def test_of_another_project_other_images_count(two, tmp_path):
    two.wait(lambda: "another image" in ready(two))
    two.dock.project_panel.folder_requested.emit(tmp_path / "elsewhere")
    two.wait(lambda: "another image" not in ready(two))
    two.wait_for_record()


def test_an_empty_slice_is_trained_on_together_with_the_object_in_another_image(two):
    two.predict()
    two.labels.data[:] = 0
    two.dock.correct_panel.accept_button.click()
    two.wait_for_record()
    two.retrain()
    two.wait_for_training()
    assert "empty" not in two.message
    assert two.controller.session.in_use.version is not None


def test_where_all_masks_are_empty_in_other_images_too_that_is_said(two, polyps):
    two.dock.layers_panel.image_box.value = two.viewer.layers["one"]
    two.wait_for_record()
    two.labels.data[:] = 0
    two.dock.correct_panel.accept_button.click()
    two.dock.layers_panel.image_box.value = two.viewer.layers["two"]
    two.predict()
    two.labels.data[:] = np.zeros((96, 96))
    two.dock.correct_panel.accept_button.click()
    two.wait_for_record()
    two.retrain()
    two.wait_for_training()
    assert "All masks to train on are empty, in the project's other images, too" in two.message
