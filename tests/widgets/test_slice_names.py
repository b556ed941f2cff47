"""Slices of images with several sliders are called by what the sliders are called."""

import numpy as np
import pytest
import tifffile


@pytest.fixture
def scans():
    return np.random.default_rng(0).integers(0, 255, (3, 5, 64, 64)).astype(np.uint8)


def accept_at(person, *place):
    person.viewer.dims.current_step = (*place, 0, 0)
    person.dock.correct_panel.accept_button.click()
    person.settle()


@pytest.mark.parametrize(
    ("axes", "name"),
    [
        (("t", "z", "y", "x"), "Slice t 2, z 4"),
        (("Time", "Z", "y", "x"), "Slice Time 2, Z 4"),
        (None, "Slice (2, 4)"),
    ],
)
def test_a_slice_is_called_by_its_sliders(open_person, scans, axes, name):
    person = open_person(scans, axis_labels=axes)
    accept_at(person, 2, 4)
    assert person.message.startswith(f"{name} is accepted")
    panel = person.dock.correct_panel
    assert panel.in_view.text().startswith(f"{name}: ")
    assert panel.ruler.tooltip_at(14).startswith(f"{name}: ")


def test_a_slider_that_is_renamed_is_called_so_at_once(open_person, scans):
    person = open_person(scans, axis_labels=("t", "z", "y", "x"))
    accept_at(person, 2, 4)
    person.viewer.dims.axis_labels = ("visit", "z", "y", "x")
    panel = person.dock.correct_panel
    assert panel.in_view.text().startswith("Slice visit 2, z 4: ")
    assert panel.ruler.tooltip_at(14).startswith("Slice visit 2, z 4: ")
    person.dock.correct_panel.accept_button.click()
    assert person.message.startswith("Slice visit 2, z 4 is open again")
    person.viewer.dims.axis_labels = ("0", "z", "y", "x")
    assert panel.in_view.text().startswith("Slice t 2, z 4: ")


def test_sliders_that_got_names_before_there_were_masks_are_called_so(open_person, scans):
    person = open_person()
    person.viewer.add_image(scans)
    person.viewer.dims.axis_labels = ("visit", "depth", "y", "x")
    accept_at(person, 2, 4)
    assert person.message.startswith("Slice visit 2, depth 4 is accepted")


def test_another_image_with_other_names_does_not_rename_the_sliders(open_person, scans):
    person = open_person(scans, axis_labels=("t", "z", "y", "x"))
    accept_at(person, 2, 4)
    image = person.controller.layers.image
    person.viewer.add_image(scans, axis_labels=("c", "depth", "y", "x"))
    person.dock.layers_panel.image_box.value = image
    person.settle()
    assert person.dock.correct_panel.in_view.text().startswith("Slice t 2, z 4: ")


def test_sliders_that_cannot_move_are_not_named(open_person, scans):
    person = open_person(scans[:1], axis_labels=("t", "z", "y", "x"))
    accept_at(person, 0, 4)
    assert person.message.startswith("Slice 4 is accepted")


def test_an_ome_tiff_that_napari_reads_tells_the_names(open_person, scans, tmp_path):
    tifffile.imwrite(tmp_path / "scan.ome.tif", scans, metadata={"axes": "TZYX"})
    person = open_person()
    person.viewer.open(tmp_path / "scan.ome.tif", plugin="napari")
    accept_at(person, 2, 4)
    assert person.message.startswith("Slice t 2, z 4 is accepted")
