"""What napari makes of an opened image, a projection or a part of a stack, is worked on like it."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from napari.layers import Labels
from napari.layers._layer_actions import _convert, _project, _split_stack

from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.widgets.readers import GEOMETRY, layer_of
from napari_sam_adapter.widgets.writers import write_coco, write_nifti, write_ome_tiff

VOLUME = np.random.default_rng(0).integers(0, 255, (40, 30, 3)).astype(np.int16)


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.diag([0.25, 0.5, 3, 1])), path)
    return path


def project(layers):
    _project(layers, axis=0, mode="max")


MADE = pytest.mark.parametrize("make", [project, _split_stack])


def made_of(viewer, path, make):
    """Open a file with our reader, as napari does, and choose an entry of the layer's menu."""
    data, properties, _ = layer_of(open_image(path), "scan")
    opened = viewer.add_image(data, **properties)
    viewer.layers.selection = {opened}
    make(viewer.layers)
    if opened in viewer.layers:
        viewer.layers.remove(opened)
    return viewer.layers[-1]


def saved(labels, write, path):
    data, properties, _ = labels.as_layer_data_tuple()
    (written,) = write(str(path), data, properties)
    return open_image(Path(written))


@MADE
def test_its_masks_and_boxes_are_kept_and_its_masks_exported(open_person, scan, tmp_path, make):
    person = open_person()
    image = made_of(person.viewer, scan, make)
    person.dock.layers_panel.image_box.value = image
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    person.dock.prompts_panel.boxes_button.click()
    boxes = person.viewer.layers[f"{image.name} boxes"]
    boxes.add_rectangles(np.array([(5, 5), (5, 20), (20, 20), (20, 5)], float))
    labels = person.labels
    labels.data_setitem((np.array([3]), np.array([4])), 2)
    for write in (write_ome_tiff, write_nifti):
        mask = saved(labels, write, tmp_path / "masks")
        np.testing.assert_array_equal(np.asarray(mask.data), labels.data)
    np.testing.assert_allclose(mask.geometry.spacing, (0.5, 0.25))
    write_coco(str(tmp_path / "masks.json"), labels.data, labels.as_layer_data_tuple()[1])
    pixels = image.data.copy()
    person.close()
    again = open_person(pixels)
    again.wait_for_record()
    assert again.labels.data[3, 4] == 2
    assert len(again.viewer.layers["image boxes"].data) == 1


@MADE
def test_another_orientation_of_it_says_nothing_of_the_whole(open_person, scan, make):
    """Four axes, so that what is made has still slices."""
    nibabel.save(nibabel.Nifti1Image(np.stack([VOLUME, VOLUME], -1), np.eye(4)), scan)
    person = open_person()
    person.dock.layers_panel.image_box.value = made_of(person.viewer, scan, make)
    person.viewer.dims.order = (2, 0, 1)
    person.dock.layers_panel.orientation_button.click()
    assert GEOMETRY not in person.controller.layers.image.metadata


def test_masks_that_napari_makes_of_it_are_exported_at_their_own_place(open_person, scan, tmp_path):
    viewer = open_person().viewer
    made_of(viewer, scan, _split_stack)
    viewer.layers.selection = {viewer.layers[0]}
    _convert(viewer.layers, "labels")
    (labels,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    mask = saved(labels, write_nifti, tmp_path / "masks.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.data), labels.data)
    np.testing.assert_allclose(mask.geometry.spacing, (0.5, 0.25))
