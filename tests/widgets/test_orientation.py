"""A volume whose slices are others than the person wants is worked on in the plane in view."""

import dask.array as da
import numpy as np
import pytest

from napari_sam_adapter.data.lazy import LazyStack
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.widgets.readers import GEOMETRY, volume_reader

# (x, y, z), as other readers show a file.
VOLUME = np.random.default_rng(0).integers(0, 255, (20, 30, 9)).astype(np.uint8)
ROLLED = (2, 0, 1)
COLOURS = np.stack([VOLUME, 255 - VOLUME, VOLUME // 2], axis=-1)


def button(person):
    return person.dock.layers_panel.orientation_button


def press(person, order=ROLLED):
    person.viewer.dims.order = order
    assert not button(person).isHidden()
    button(person).click()
    return person.controller.layers.image


def test_the_button_is_there_only_while_other_planes_of_a_volume_are_in_view(open_person, polyps):
    person = open_person(VOLUME)
    assert button(person).isHidden()
    person.viewer.dims.order = ROLLED
    assert not button(person).isHidden()
    person.viewer.dims.order = (0, 2, 1)  # the same plane, turned
    assert button(person).isHidden()
    person.viewer.dims.order = ROLLED
    person.viewer.add_image(polyps.frames[0], rgb=True)
    assert button(person).isHidden()


def test_the_refusal_names_the_button_and_makes_no_masks(open_person):
    person = open_person(VOLUME)
    person.viewer.dims.order = ROLLED
    person.dock.predict_panel.slice_button.click()
    assert "Press “Work in this orientation”, below Masks" in person.message
    panel = person.dock.layers_panel
    rows = [panel.layout().itemAt(row).widget() for row in range(panel.layout().count())]
    (masks,) = (row for row in rows if row.isAncestorOf(panel.labels_box.native))
    assert rows.index(button(person)) == rows.index(masks) + 1
    assert len(person.viewer.layers) == 1


def test_what_is_in_view_stays_in_view_and_is_worked_on(open_person):
    person = open_person(
        VOLUME,
        scale=(0.5, 0.25, 3),
        translate=(1, 2, 30),
        units="um",
        axis_labels=("x", "y", "z"),
        contrast_limits=(3, 200),
        colormap="green",
    )
    before = person.viewer.layers["image"]
    person.viewer.dims.order = ROLLED
    person.viewer.dims.set_point(2, 30 + 3 * 7)
    person.viewer.camera.zoom *= 2
    looked_at = (person.viewer.camera.center, person.viewer.camera.zoom)
    image = press(person)
    assert (person.viewer.camera.center, person.viewer.camera.zoom) == looked_at
    assert np.shares_memory(image.data, VOLUME)
    np.testing.assert_array_equal(image.data, VOLUME.transpose(ROLLED))
    assert person.viewer.dims.order == (0, 1, 2)
    assert person.viewer.dims.point[0] == 30 + 3 * 7
    np.testing.assert_array_equal(image._slice.image.view, VOLUME[:, :, 7])
    np.testing.assert_array_equal(image.scale, (3, 0.5, 0.25))
    np.testing.assert_array_equal(image.translate, (30, 1, 2))
    assert [str(unit) for unit in image.units] == ["micrometer"] * 3
    assert image.axis_labels == ("z", "x", "y")
    assert tuple(image.contrast_limits) == (3, 200)
    assert image.colormap.name == "green"
    # Nothing was done on the image as it was, so it does not lengthen the sliders.
    assert before not in person.viewer.layers
    assert person.viewer.dims.nsteps[0] == 9
    assert person.viewer.layers.selection.active is image
    person.predict()
    assert person.labels.data.shape == (9, 20, 30)
    assert person.controller.binding.index_in_view() == (7,)


def test_an_image_with_masks_is_hidden_and_comes_back_by_the_same_button(open_person):
    person = open_person(VOLUME.transpose(2, 0, 1))
    before = person.viewer.layers["image"]
    person.predict()
    masks = person.labels
    image = press(person, (1, 0, 2))
    assert not before.visible
    assert not masks.visible
    assert image.data.shape == (20, 9, 30)
    assert press(person, (1, 0, 2)) is before
    assert before.visible
    assert masks.visible
    assert person.labels is masks


def test_a_turned_image_lies_where_it_lay(open_person):
    turn = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    affine = np.diag([2, 3, 4, 1.0])
    affine[:3, 3] = (5, 6, 7)
    person = open_person(
        VOLUME, scale=(1, 2, 3), translate=(9, 8, 7), rotate=turn, shear=(0, 0.1, 0), affine=affine
    )
    before = person.viewer.layers["image"]
    image = press(person)
    there = np.array(before.data_to_world((4, 5, 6)))[list(ROLLED)]
    np.testing.assert_allclose(image.data_to_world((6, 4, 5)), there)


@pytest.mark.parametrize("kind", ["dask", "slices", "multiscale"])
def test_a_lazy_image_stays_lazy(open_person, kind):
    read = []

    def slice_of(index):
        read.append(index)
        return VOLUME[index]

    stack = LazyStack(VOLUME.shape, VOLUME.dtype, slice_of)
    lazy = {
        "dask": da.from_array(VOLUME, chunks=(1, 30, 9)),
        "slices": stack,
        "multiscale": [stack, VOLUME[::2, ::2]],
    }[kind]
    person = open_person(lazy, contrast_limits=(0, 255), multiscale=kind == "multiscale")
    image = press(person)
    data = image.data[0] if kind == "multiscale" else image.data
    assert isinstance(data, da.Array if kind == "dask" else LazyStack)
    np.testing.assert_array_equal(np.asarray(data[4]), VOLUME[:, :, 4])


def test_no_other_plane_of_a_stack_with_time_is_lost(open_person):
    series = np.stack([VOLUME, 255 - VOLUME])
    person = open_person(series, axis_labels=("t", "z", "y", "x"))
    person.viewer.dims.set_point(0, 1)
    image = press(person, (0, 3, 1, 2))
    assert image.axis_labels == ("t", "x", "z", "y")
    np.testing.assert_array_equal(image.data, series.transpose(0, 3, 1, 2))
    assert person.viewer.dims.point[0] == 1
    source = person.controller.layers.need().source
    assert source.depth.axis == 1  # x is space, and comes before time


@pytest.mark.parametrize("kind", ["array", "dask", "slices", "multiscale"])
def test_a_colour_volume_is_worked_on_in_another_plane_too(open_person, kind):
    stack = LazyStack(COLOURS.shape, COLOURS.dtype, lambda index: COLOURS[index], is_colour=True)
    data = {
        "array": COLOURS,
        "dask": da.from_array(COLOURS, chunks=(1, 30, 9, 3)),
        "slices": stack,
        "multiscale": [stack, COLOURS[::2, ::2]],
    }[kind]
    person = open_person(
        data, rgb=True, multiscale=kind == "multiscale", scale=(1, 2, 3), units="um"
    )
    image = press(person)
    assert image.rgb
    np.testing.assert_array_equal(image.scale, (3, 1, 2))
    person.viewer.dims.set_current_step(0, 7)
    np.testing.assert_array_equal(image._slice.image.view, COLOURS[:, :, 7])
    person.predict()
    assert person.labels.data.shape == (9, 20, 30)
    assert person.labels.data[7].any()


@pytest.fixture
def scan(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "scan.nii.gz"
    affine = np.array([[-0.5, 0.1, 0, 10], [0, 1.0, 0, 20], [0, 0.2, 1, 30], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(VOLUME, affine), path)
    return path


@pytest.fixture
def scanned(open_person, scan):
    """A person who works on the NIfTI file in the orientation of its second axis."""
    person = open_person()
    data, properties, _ = volume_reader(str(scan))(str(scan))[0]
    from napari.layers._source import layer_source

    with layer_source(path=str(scan)):
        person.viewer.add_image(data, **properties)
    press(person, (1, 0, 2))
    person.wait_for_record()
    return person


def test_masks_of_another_orientation_are_saved_onto_the_voxels_of_the_file(
    scanned, scan, tmp_path
):
    nibabel = pytest.importorskip("nibabel")
    image = scanned.controller.layers.image
    assert image.data.shape == (30, 9, 20)
    scanned.predict()
    scanned.labels.data = (np.asarray(image.data) > 200).astype(np.uint8)
    scanned.labels.save(str(tmp_path / "masks.nii.gz"), plugin="napari-sam-adapter")
    mask = nibabel.load(tmp_path / "masks.nii.gz")
    np.testing.assert_array_equal(mask.affine, nibabel.load(scan).affine)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), VOLUME > 200)
    scanned.labels.save(str(tmp_path / "masks.ome.tif"), plugin="napari-sam-adapter")
    again, original = open_image(tmp_path / "masks.ome.tif"), open_image(scan)
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(original.data) > 200)
    np.testing.assert_allclose(again.geometry.spacing, original.geometry.spacing)
    np.testing.assert_allclose(again.geometry.origin, original.geometry.origin)


def test_the_project_opens_it_from_its_file_in_the_same_orientation(scanned, open_person):
    scanned.predict()
    scanned.labels.paint((4, 4, 4), 1)
    scanned.settle()
    scanned.wait_for_record()
    geometry = scanned.controller.layers.image.metadata[GEOMETRY]
    record = scanned.controller.recording.record_of(scanned.controller.binding).folder
    assert not (record / "image.tif").exists()
    scanned.dock.shutdown()
    again = open_person()
    again.controller.opening.open_record(record)
    again.wait(lambda: again.controller.binding is not None)
    again.wait_for_record()
    assert again.controller.layers.image.metadata[GEOMETRY] == geometry
    assert again.labels.data[4, 4, 4] == 1
