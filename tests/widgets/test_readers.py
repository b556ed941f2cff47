"""Volumes opened and masks saved by napari, in a real viewer."""

import json

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.widgets.readers import GEOMETRY, volume_reader

nibabel = pytest.importorskip("nibabel")

NAME = "napari-sam-adapter"
VOLUME = np.random.default_rng(0).integers(0, 500, (9, 30, 20), dtype=np.int16)
# (z, y, x) of 3, 0.5 and 0.25 mm, the patient's left first; the first voxel 10 mm to the right.
AFFINE = np.array([[-0.25, 0, 0, 10], [0, 0.5, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1.0]])


@pytest.fixture
def viewer(make_napari_viewer):
    manager = PluginManager.instance()
    if NAME not in manager:
        manager.register(PluginManifest.from_distribution(NAME))
    return make_napari_viewer()


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii.gz"
    image = nibabel.Nifti1Image(VOLUME.T, AFFINE)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def opened(viewer, path):
    viewer.open(path, plugin=NAME)
    return viewer.layers[-1]


def masks_of(viewer, layer):
    labels = (np.asarray(layer.data) > 250).astype(np.uint8)
    return viewer.add_labels(
        labels, name=f"{layer.name} masks", scale=layer.scale, metadata=dict(layer.metadata)
    )


def test_a_nifti_file_opens_lazily_with_spacing_units_and_axes(viewer, scan):
    layer = opened(viewer, scan)
    assert layer.name == "scan"
    assert not isinstance(layer.data, np.ndarray)
    np.testing.assert_array_equal(layer.data, VOLUME)
    np.testing.assert_allclose(layer.scale, (3, 0.5, 0.25))
    np.testing.assert_allclose(layer.translate, (30, 20, -10))
    assert layer.axis_labels == ("z", "y", "x")
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert layer.metadata[GEOMETRY].shape == (9, 30, 20)


def test_the_slider_shows_the_slices(viewer, scan):
    layer = opened(viewer, scan)
    viewer.dims.set_current_step(0, 7)
    np.testing.assert_array_equal(layer._slice.image.view, VOLUME[7])
    assert (
        layer.get_value((30 + 7 * 3, 20 + 4 * 0.5, -10 + 5 * 0.25), world=True) == VOLUME[7, 4, 5]
    )
    viewer.dims.order = (2, 0, 1)
    np.testing.assert_array_equal(
        layer._slice.image.view, VOLUME[:, :, viewer.dims.current_step[2]]
    )


def test_masks_are_saved_onto_the_place_of_their_image(viewer, scan, tmp_path):
    labels = masks_of(viewer, opened(viewer, scan))
    written = labels.save(str(tmp_path / "masks.nii.gz"))
    assert written == [str(tmp_path / "masks.nii.gz")]
    mask = nibabel.load(tmp_path / "masks.nii.gz")
    assert np.array_equal(mask.affine, AFFINE)
    np.testing.assert_array_equal(mask.dataobj, VOLUME.T > 250)


def test_masks_are_saved_as_ome_tiff_and_coco(viewer, scan, tmp_path):
    labels = masks_of(viewer, opened(viewer, scan))
    labels.features = {"index": [0, 1], "class": ["background", "bone"]}
    labels.save(str(tmp_path / "masks.ome.tif"))
    with tifffile.TiffFile(tmp_path / "masks.ome.tif") as file:
        assert file.is_ome
        assert 'PhysicalSizeZ="3.0"' in file.ome_metadata
        np.testing.assert_array_equal(file.asarray(), VOLUME > 250)
    labels.save(str(tmp_path / "masks.json"))
    content = json.loads((tmp_path / "masks.json").read_text())
    assert [one["name"] for one in content["categories"]] == ["bone"]
    assert content["images"][2]["file_name"] == "scan#2"
    assert sum(one["area"] for one in content["annotations"]) == (VOLUME > 250).sum()


def test_masks_of_other_images_are_saved_with_their_scale(viewer, tmp_path):
    labels = viewer.add_labels(np.ones((4, 8, 9), np.uint8), scale=(2, 0.5, 0.5), units="um")
    labels.save(str(tmp_path / "masks.nii"))
    header = nibabel.load(tmp_path / "masks.nii").header
    assert header.get_zooms() == (0.5, 0.5, 2)
    assert header.get_xyzt_units()[0] == "micron"


def test_masks_that_do_not_fit_their_image_are_told(viewer, tmp_path):
    labels = viewer.add_labels(
        np.ones((4, 8, 9), np.uint8), metadata={GEOMETRY: Geometry.of_steps((5, 8, 9))}
    )
    with pytest.raises(Exception, match="Masks and image must be alike"):
        labels.save(str(tmp_path / "masks.nii"))
    assert list(tmp_path.glob("*.nii")) == []


def test_a_plain_tiff_is_still_napari_s_own(viewer, tmp_path):
    manager = PluginManager.instance()
    writer, _ = manager.get_writer(str(tmp_path / "masks.ome.tif"), ["labels"])
    assert writer.plugin_name == NAME
    assert NAME not in {one.plugin_name for one in manager.iter_compatible_readers("a.tif")}
    viewer.add_labels(np.ones((8, 9), np.uint8)).save(str(tmp_path / "masks.tif"), plugin="napari")


def test_a_dicom_folder_opens_and_says_what_it_left_out(viewer, write_dicom):
    places = [(0, 0, 2 * number) for number in range(9)]
    unsigned = VOLUME.astype(np.uint16)
    write_dicom(unsigned[:2], places, uid="1.2.4")
    folder = write_dicom(unsigned, places)
    layer = opened(viewer, folder)
    np.testing.assert_array_equal(layer.data, VOLUME)
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.25))
    assert "'series 1.2.4' (2 images)" in notification_manager.records[-1].message


def test_an_ome_zarr_image_opens_with_all_its_sizes(viewer, tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="w")
    create = getattr(group, "create_array", group.create_dataset)
    steps = [(2.0, 0.5, 0.5), (2.0, 1.0, 1.0)]
    datasets = []
    for number, step in enumerate(steps):
        create(str(number), data=VOLUME[None, :, :: number + 1, :: number + 1])
        transform = {"type": "scale", "scale": (1, *step)}
        datasets.append({"path": str(number), "coordinateTransformations": [transform]})
    axes = [{"name": "c"}, *({"name": name, "unit": "micrometer"} for name in "zyx")]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    layer = opened(viewer, tmp_path / "a.ome.zarr")
    assert layer.name == "a"
    assert layer.multiscale
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.5))
    np.testing.assert_array_equal(layer.data[0], VOLUME)
    assert {str(unit) for unit in layer.units} == {"micrometer"}


def test_a_picture_in_colours_opens_in_colours(viewer, write_dicom):
    colours = np.random.default_rng(0).integers(0, 256, (1, 12, 10, 3), dtype=np.uint8)
    layer = opened(viewer, write_dicom(colours))
    assert layer.rgb
    np.testing.assert_array_equal(layer.data, colours[0])


def test_folders_and_lists_that_are_not_ours_are_declined(tmp_path):
    (tmp_path / "frame.png").touch()
    assert volume_reader(str(tmp_path)) is None
    assert volume_reader([str(tmp_path / "a.nii"), str(tmp_path / "b.nii")]) is None


def test_a_file_that_cannot_be_read_is_told_in_a_sentence(viewer, tmp_path):
    (tmp_path / "a.nii").write_text("no image")
    with pytest.raises(Exception, match="could not be read as a NIfTI file"):
        viewer.open(tmp_path / "a.nii", plugin=NAME)


def test_the_manifest_is_valid():
    manifest = PluginManifest.from_distribution(NAME)
    manifest.validate_imports()
    extensions = [e for one in manifest.contributions.writers for e in one.filename_extensions]
    assert extensions == [".nii.gz", ".nii", ".ome.tif", ".ome.tiff", ".json"]
