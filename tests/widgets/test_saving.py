"""Masks made in the dock are saved onto the place of their image."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari._qt import qt_viewer
from PIL import Image

nibabel = pytest.importorskip("nibabel")


def predict_in(person, path):
    person.dock.project_panel.file_requested.emit(path)
    person.wait(lambda: person.controller.layers.image is not None)
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    return person.labels


def test_masks_of_a_scan_lie_where_the_scan_lies_in_the_patient(open_person, polyps, tmp_path):
    turned = np.array([[-0.4, 0.1, 0, 10], [0.1, 0.4, 0.3, -20], [0, -0.1, 3, 30], [0, 0, 0, 1]])
    scan = nibabel.Nifti1Image(polyps.frames[..., 0].T, turned)
    scan.header.set_xyzt_units("mm")
    nibabel.save(scan, tmp_path / "scan.nii.gz")
    labels = predict_in(open_person(), tmp_path / "scan.nii.gz")
    labels.save(str(tmp_path / "masks.nii.gz"))
    masks = nibabel.load(tmp_path / "masks.nii.gz")
    np.testing.assert_allclose(masks.affine, turned, rtol=1e-6)
    assert np.array_equal(masks.dataobj, labels.data.T)


def test_a_typed_scale_is_that_of_the_saved_masks(open_person, polyps, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", polyps.frames[..., 0], photometric="minisblack")
    person = open_person()
    person.dock.project_panel.file_requested.emit(tmp_path / "stack.tif")
    person.wait(lambda: person.controller.layers.image is not None)
    person.controller.layers.image.scale = (3, 0.5, 0.25)
    person.controller.layers.image.units = "mm"
    person.predict()
    person.labels.save(str(tmp_path / "masks.nii"))
    header = nibabel.load(tmp_path / "masks.nii").header
    assert header.get_zooms() == (0.25, 0.5, 3)
    assert header.get_xyzt_units()[0] == "mm"


def named_in_coco(labels, folder):
    labels.save(str(folder / "masks.json"))
    content = json.loads((folder / "masks.json").read_text())
    return [one["file_name"] for one in content["images"]]


def test_coco_names_the_file_of_the_image_whatever_its_layers_are_called(
    open_person, polyps, tmp_path
):
    Image.fromarray(polyps.frames[0]).save(tmp_path / "frame7.jpg")
    person = open_person()
    (image,) = person.viewer.open(str(tmp_path / "frame7.jpg"), plugin="napari")
    image.name = "mine"
    person.predict()
    labels = person.labels
    assert named_in_coco(labels, tmp_path) == ["frame7.jpg"]
    # Chosen for an image that was opened from no file, they are no longer masks of that one.
    other = person.viewer.add_image(polyps.frames[1], rgb=True, name="of a script")
    labels.name = "of a script masks"
    person.controller.layers.choose(other, labels)
    assert named_in_coco(labels, tmp_path) == ["of a script"]


@pytest.mark.parametrize("name", ["scan masks", "patient.01 masks"])
@pytest.mark.parametrize(
    ("chosen", "suffix", "begins"),
    [
        ("NIfTI masks", ".nii.gz", b"\x1f\x8b"),
        ("OME-TIFF masks", ".ome.tif", b"II*\0"),
        ("COCO annotations", ".json", b"{"),
    ],
)
def test_under_the_name_that_napari_proposes_they_get_the_suffix_of_the_chosen_format(
    open_person, tmp_path, monkeypatch, name, chosen, suffix, begins
):
    def choose(dialog, parent, caption, proposed, filter, **more):
        (entry,) = (one for one in filter.split(";;") if chosen in one)
        return str(tmp_path / Path(proposed).name), entry

    monkeypatch.setattr(qt_viewer.QFileDialog, "getSaveFileName", choose)
    viewer = open_person().viewer
    viewer.add_labels(np.ones((3, 16, 16), np.uint8), name=name)
    viewer.window._qt_viewer._save_layers_dialog(selected=True)
    (saved,) = (path for path in tmp_path.iterdir() if path.is_file())
    assert saved.name == name + suffix
    assert saved.read_bytes().startswith(begins)
