"""A Labels layer that was there before is chosen as masks: it lies on the image, or is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._layer_actions import _convert_to_labels

from napari_sam_adapter.widgets.layers.placement import lies_on

nibabel = pytest.importorskip("nibabel")

TURNED = np.array([[-0.4, 0.1, 0, 10], [0.1, 0.4, 0.3, -20], [0, -0.1, 3, 30], [0, 0, 0, 1]])
MIRRORED = np.diag([-0.8, 0.8, 2.5, 1.0])
MIRRORED[:3, 3] = (90, -126, -72)


def choose(person, labels):
    person.dock.layers_panel.labels_box.value = labels
    person.wait_for_record()


def open_scan(open_person, polyps, tmp_path, affine):
    """Return a person who has opened a NIfTI file, and its path."""
    scan = nibabel.Nifti1Image(polyps.frames[..., 0].T, affine)
    scan.header.set_xyzt_units("mm")
    nibabel.save(scan, tmp_path / "scan.nii.gz")
    person = open_person()
    person.dock.project_panel.file_requested.emit(tmp_path / "scan.nii.gz")
    person.wait(lambda: person.controller.layers.image is not None)
    person.wait_for_record()
    return person


def saved_affine(person, path):
    person.labels.save(str(path))
    return nibabel.load(path).affine


@pytest.mark.parametrize("affine", [TURNED, MIRRORED], ids=["oblique", "mirrored"])
def test_a_layer_of_napari_s_new_labels_button_is_saved_where_the_scan_lies(
    open_person, polyps, tmp_path, affine
):
    person = open_scan(open_person, polyps, tmp_path, affine)
    person.viewer.layers.selection = {person.controller.layers.image}
    person.viewer._new_labels()
    choose(person, person.viewer.layers[-1])
    person.paint(3)
    np.testing.assert_allclose(saved_affine(person, tmp_path / "masks.nii.gz"), affine, rtol=1e-6)


def test_a_layer_without_a_place_is_laid_onto_the_image_and_that_is_said(
    open_person, polyps, tmp_path
):
    person = open_scan(open_person, polyps, tmp_path, MIRRORED)
    image = person.controller.layers.image
    labels = person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="mine")
    choose(person, labels)
    assert person.labels is labels
    np.testing.assert_allclose(labels.data_to_world((3, 4, 5)), image.data_to_world((3, 4, 5)))
    assert labels.units == image.units
    assert "'mine' had no place of its own: it lies on 'scan' now" in person.message
    np.testing.assert_allclose(saved_affine(person, tmp_path / "masks.nii"), MIRRORED, rtol=1e-6)


@pytest.mark.parametrize(
    "place",
    [
        {"translate": (3, 0, 0)},
        {"scale": (1, 2, 2)},
        {"shear": (0, 0, 0.5)},
        {"affine": np.diag([1, 1, -1, 1])},
        {"rotate": 90},
    ],
    ids=lambda place: next(iter(place)),
)
def test_a_layer_that_lies_elsewhere_is_refused_with_what_to_do(person, place):
    labels = person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="mine", **place)
    choose(person, labels)
    assert person.controller.binding is None
    assert "'mine' lies elsewhere than the image 'image'" in person.message
    assert "Apply scale/transforms" in person.message


@pytest.mark.parametrize(("pixels", "is_there"), [(0.4, True), (0.6, False), (30, False)])
@pytest.mark.parametrize("size", [0.001, 50.0])
def test_masks_lie_on_an_image_to_half_a_pixel_whose_size_is_in_its_affine(size, pixels, is_there):
    affine = np.diag([size, size, 1])
    image = Image(np.zeros((64, 64)), affine=affine)
    affine[:2, 2] = (0, pixels * size)
    assert lies_on(Labels(np.zeros((64, 64), np.uint8), affine=affine), image) == is_there


def test_a_refused_layer_is_taken_once_it_lies_on_the_image_and_none_is_made_meanwhile(person):
    labels = person.viewer.add_labels(
        np.zeros((8, 96, 96), np.uint8), name="mine", translate=(3, 0, 0)
    )
    choose(person, labels)
    person.predict()
    assert "'mine' lies elsewhere" in person.message
    assert len(person.viewer.layers) == 2
    labels.translate = (0, 0, 0)
    person.predict()
    assert person.labels is labels
    assert labels.data[0].any()


@pytest.mark.parametrize("moved", ["masks", "image"])
@pytest.mark.parametrize(
    "place",
    [
        {"translate": (0, 9, 3)},
        {"scale": (1, 2, 2)},
        {"shear": (0, 0, 0.5)},
        {"affine": np.diag([1, 1, -1, 1])},
        {"rotate": (0, 0, 90)},
    ],
    ids=lambda place: next(iter(place)),
)
def test_masks_that_are_moved_away_from_their_image_are_put_back_onto_it(
    open_person, polyps, moved, place
):
    person = open_person(polyps.frames[..., 0], translate=(0, 2, 2))
    person.predict()
    labels, image = person.labels, person.viewer.layers["image"]
    for name, value in place.items():
        setattr(labels if moved == "masks" else image, name, value)
    person.wait(lambda: lies_on(labels, image))
    if (moved, *place) != ("image", "scale"):  # there they have followed at once
        assert "were moved apart: the masks lie on their image again" in person.message
    for name, value in place.items():
        now = Image(np.zeros((8, 96, 96)), **{name: value})
        is_as_moved = np.allclose(getattr(image, name), getattr(now, name))
        assert is_as_moved == (moved == "image")


def test_masks_of_another_image_are_put_back_too_and_a_drag_is_not_disturbed(person, polyps):
    person.predict()
    labels, image = person.labels, person.viewer.layers["image"]
    person.viewer.add_image(polyps.frames[:4], rgb=True, name="other")
    for step in range(1, 5):
        labels.translate = (0, step, 0)
        assert tuple(labels.translate) == (0, step, 0)
    person.wait(lambda: lies_on(labels, image))
    person.dock.shutdown()
    labels.translate = (0, 9, 0)
    person.settle()
    assert not lies_on(labels, image)


def test_masks_whose_file_lies_elsewhere_in_the_patient_are_refused(open_person, polyps, tmp_path):
    person = open_scan(open_person, polyps, tmp_path, MIRRORED)
    person.predict()
    theirs = person.labels
    # napari cannot show the two in different places: only their files know.
    person.dock.project_panel.file_requested.emit(other_scan(polyps, tmp_path))
    person.wait(lambda: person.controller.layers.image.name == "other")
    person.wait_for_record()
    choose(person, theirs)
    assert person.controller.binding is None
    assert "lies elsewhere in the patient than the image 'other'" in person.message


def other_scan(polyps, tmp_path):
    affine = MIRRORED.copy()
    affine[0, 0], affine[0, 3] = 0.8, -90.0
    path = tmp_path / "other.nii.gz"
    nibabel.save(nibabel.Nifti1Image(255 - polyps.frames[..., 0].T, affine), path)
    return path


def wait_until_read(person):
    person.wait(lambda: not person.controller.layers.is_reading)
    person.wait_for_record()


def test_masks_saved_as_nifti_come_back_as_masks_that_can_be_painted_in(
    open_person, polyps, tmp_path
):
    person = open_scan(open_person, polyps, tmp_path, TURNED)
    person.predict()
    before = person.labels.data.copy()
    person.labels.save(str(tmp_path / "masks.nii.gz"))
    person.viewer.layers.remove(person.labels)
    person.dock.project_panel.file_requested.emit(tmp_path / "masks.nii.gz")
    person.wait(lambda: "masks" in person.viewer.layers)
    person.settle()
    assert "under Masks" in person.message
    labels = person.viewer.layers["masks"]
    choose(person, labels)
    wait_until_read(person)
    assert person.labels is labels
    assert "'masks' is in memory now" in person.message
    np.testing.assert_array_equal(labels.data, before)
    person.paint(3, label=1)
    assert labels.data[3, 20, 20] == 1
    np.testing.assert_allclose(saved_affine(person, tmp_path / "again.nii.gz"), TURNED, rtol=1e-6)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "masks.nii.gz").dataobj, before.T)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_an_image_of_labels_is_converted_by_napari_and_chosen(open_person, polyps, tmp_path, dtype):
    person = open_scan(open_person, polyps, tmp_path, MIRRORED)
    masks = nibabel.Nifti1Image(polyps.masks.T.astype(dtype), MIRRORED)
    nibabel.save(masks, tmp_path / "theirs.nii.gz")
    person.viewer.open(tmp_path / "theirs.nii.gz", plugin="napari-sam-adapter")
    person.viewer.layers.selection = {person.viewer.layers["theirs"]}
    _convert_to_labels(person.viewer.layers)
    person.dock.layers_panel.image_box.value = person.viewer.layers["scan"]
    choose(person, next(one for one in person.viewer.layers if isinstance(one, Labels)))
    wait_until_read(person)
    np.testing.assert_array_equal(person.labels.data != 0, polyps.masks != 0)
    assert person.tracker.ready()


def test_read_only_and_lazy_masks_and_those_of_several_resolutions_are_read_into_memory(person):
    import dask.array

    masks = np.zeros((8, 96, 96), np.uint8)
    masks[2, 30:40, 30:40] = 1
    read_only = masks.copy()
    read_only.flags.writeable = False
    for name, data in {
        "read-only": read_only,
        "lazy": dask.array.from_array(masks, chunks=(1, 96, 96)),
        "several": [masks, masks[:, ::2, ::2]],
    }.items():
        labels = person.viewer.add_labels(data, name=name, opacity=0.3)
        choose(person, labels)
        wait_until_read(person)
        assert (person.labels.name, person.labels.opacity) == (name, 0.3)
        assert person.viewer.layers[-1] is person.labels
        assert person.dock.layers_panel.labels_box.value is person.labels
        np.testing.assert_array_equal(person.labels.data, masks)
        person.paint(3)
        assert person.labels.data[3].any()


def test_masks_that_cannot_be_read_say_why(person):
    import dask.array

    def broken(block):
        raise OSError("the network drive is gone")

    lazy = dask.array.zeros((8, 96, 96), np.uint8).map_blocks(
        broken, dtype=np.uint8, meta=np.array([], np.uint8)
    )
    labels = person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="far")
    labels._data = lazy
    choose(person, labels)
    wait_until_read(person)
    assert "'far' cannot be painted in: it could not be read: the network drive" in person.message


def test_masks_larger_than_the_free_memory_are_refused_with_both_sizes(person, monkeypatch):
    data = np.zeros((8, 96, 96), np.uint8)
    data.flags.writeable = False
    labels = person.viewer.add_labels(data, name="huge")
    free = SimpleNamespace(available=1000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    choose(person, labels)
    assert "'huge' takes 0.0 GiB of memory" in person.message
    assert person.controller.binding is None


def new_labels(person):
    """Press napari's own button while the image is selected."""
    person.viewer.layers.selection = {person.viewer.layers["image"]}
    person.viewer.window._qt_viewer.layerButtons.newLabelsButton.click()
    person.settle()
    person.wait_for_record()
    return person.viewer.layers[-1]


def test_the_layer_of_napari_s_own_button_becomes_the_masks_layer(person):
    person.wait_for_record()
    labels = new_labels(person)
    assert person.labels is labels
    assert "'image - Labels' is the masks layer of 'image' now" in person.message
    person.paint(3)
    assert person.tracker.ready() == [(3,)]
    person.predict()
    assert [type(one).__name__ for one in person.viewer.layers] == ["Image", "Labels"]


def test_where_the_image_has_masks_another_new_layer_is_left_alone(person):
    person.predict()
    labels = person.labels
    new_labels(person)
    assert person.labels is labels


def test_painting_in_another_layer_than_the_masks_says_where_these_are(person):
    person.predict()
    masks, other = person.labels, new_labels(person)
    other.paint((3, 20, 20), 1)
    assert (
        "'image - Labels' is not recorded: the masks of 'image' are in 'image masks'."
        in person.message
    )
    person.predict()
    other.paint((3, 30, 30), 1)
    assert "not recorded" not in person.message, "once is enough"
    assert person.labels is masks


def test_a_layer_that_holds_something_is_not_taken_but_named(person):
    person.wait_for_record()
    person.viewer.add_labels(np.ones((8, 96, 96), np.uint8), name="theirs")
    person.settle()
    assert person.controller.binding is None
    assert "'theirs' is not recorded: choose it under Masks" in person.message
    choose(person, person.viewer.layers["theirs"])
    person.wait_for_record()
    assert "not recorded" not in person.message


def test_a_hidden_layer_such_as_the_truth_of_the_samples_is_left_alone(open_person, polyps):
    person = open_person()
    person.viewer.add_labels(polyps.masks, name="truth", visible=False)
    person.viewer.add_image(polyps.frames, rgb=True, name="image")
    person.wait_for_record()
    person.viewer.add_labels(polyps.masks, name="another truth", visible=False)
    person.settle()
    assert "not recorded" not in person.message
    assert person.controller.binding is None


def test_painting_in_a_layer_from_before_the_dock_says_that_it_is_not_recorded(open_person, polyps):
    person = open_person()
    person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="early")
    person.settle()
    person.viewer.add_image(polyps.frames, rgb=True, name="image")
    person.wait_for_record()
    person.viewer.layers["early"].paint((3, 20, 20), 1)
    assert "'early' is not recorded: choose it under Masks" in person.message


def test_a_layer_painted_in_before_the_image_was_chosen_is_named(open_person, polyps):
    person = open_person()
    person.viewer.add_labels(np.ones((8, 96, 96), np.uint8), name="early")
    person.settle()
    person.viewer.add_image(polyps.frames, rgb=True, name="image")
    person.wait_for_record()
    assert "'early' is not recorded: choose it under Masks" in person.message


def test_masks_with_several_labels_say_what_becomes_of_them(person):
    masks = np.zeros((8, 96, 96), np.int32)
    masks[2, :3, :3] = np.arange(-1, 8).reshape(3, 3)[:, ::-1]
    masks[3, 0, 0] = 3
    choose(person, person.viewer.add_labels(masks, name="cells"))
    assert "'cells' has 7 labels (1, 2, 3, 4, 5, …). They count as instances" in person.message
    assert "add those with + under 2 · Correct" in person.message


def test_masks_with_one_label_or_with_classes_need_no_explanation(person):
    masks = np.zeros((8, 96, 96), np.uint8)
    masks[2, 0] = 255
    choose(person, person.viewer.add_labels(masks, name="one"))
    assert "labels" not in person.message
    person.dock.classes_panel.add_button.click()
    masks = masks.copy()
    masks[3, 0] = 1
    choose(person, person.viewer.add_labels(masks, name="two"))
    assert "labels" not in person.message
