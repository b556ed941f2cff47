"""NIfTI files: read lazily, labels written back onto exactly the same voxels."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sam_adapter.data.export import export_masks
from napari_sam_adapter.data.files import read_image
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import LazyStack
from napari_sam_adapter.data.nifti import open_nifti
from napari_sam_adapter.errors import ImageError

nibabel = pytest.importorskip("nibabel")

RNG = np.random.default_rng(0)
HIPPOCAMPUS = Path(__file__).parents[2] / ".." / "shared" / "data" / "msd_hippocampus" / "train"
SUFFIXES = pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
# What of a header tells type and scale of the values; all else must survive.
OF_VALUES = {"datatype", "bitpix", "scl_slope", "scl_inter", "cal_min", "cal_max", "intent_code"}


def oblique(spacing) -> np.ndarray:
    """Return an affine turned about two axes."""
    first, second = np.deg2rad([20, -35])
    about_z = [[np.cos(first), -np.sin(first), 0], [np.sin(first), np.cos(first), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, np.cos(second), -np.sin(second)], [0, np.sin(second), np.cos(second)]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(about_z) @ np.array(about_x) @ np.diag(spacing)
    affine[:3, 3] = (-31.5, 12.25, 88)
    return affine


def saved(path, values, spacing=(0.7, 0.7, 3), kind=nibabel.Nifti1Image, codes=(4, 1)) -> Path:
    image = kind(values, None)
    image.header.set_sform(oblique(spacing), codes[0])
    image.header.set_qform(oblique(spacing), codes[1])
    image.header.set_xyzt_units("mm", "msec")
    if values.ndim > 3:
        image.header["pixdim"][4] = 2500
    nibabel.save(image, path)
    return path


def assert_same_place(path, other):
    """Compare every field of two headers but those of the values; the affines bit by bit."""
    ours, theirs = nibabel.load(path), nibabel.load(other)
    assert np.array_equal(ours.affine, theirs.affine)
    for name in set(ours.header.keys()) - OF_VALUES:
        np.testing.assert_array_equal(ours.header[name], theirs.header[name], err_msg=name)


@SUFFIXES
@pytest.mark.parametrize(
    ("shape", "spacing", "order"),
    [
        ((20, 30, 9), (0.7, 0.7, 3), (2, 1, 0)),
        ((9, 20, 30), (3, 0.7, 0.7), (0, 2, 1)),
        ((20, 9, 30), (0.7, 3, 0.7), (1, 2, 0)),
        ((20, 30, 9, 4), (0.7, 0.7, 3), (3, 2, 1, 0)),
        ((9, 20, 30, 4), (3, 0.7, 0.7), (3, 0, 2, 1)),
        ((20, 30), (0.7, 0.9, 1), (1, 0)),
    ],
)
def test_labels_go_back_onto_exactly_the_voxels_they_were_drawn_on(
    tmp_path, suffix, shape, spacing, order
):
    values = RNG.integers(-500, 500, shape, dtype=np.int16)
    path = saved(tmp_path / f"image{suffix}", values, spacing)
    image = open_nifti(path)
    assert image.geometry.file_axes == order
    assert image.data.shape == image.geometry.shape
    assert image.data.dtype == np.int16
    np.testing.assert_array_equal(image.data, values.transpose(order))
    mask = tmp_path / f"mask{suffix}"
    export_masks(mask, (np.asarray(image.data) > 100).astype(np.uint8), image.geometry)
    np.testing.assert_array_equal(np.asarray(nibabel.load(mask).dataobj), values > 100)
    assert nibabel.load(mask).get_data_dtype() == np.uint8
    assert_same_place(mask, path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_of_masks_says_that_it_holds_labels_and_its_image_does_not(tmp_path, suffix):
    values = RNG.integers(0, 2, (20, 30, 9), dtype=np.uint8)
    image = open_nifti(saved(tmp_path / f"image{suffix}", values, (0.7, 0.7, 3)))
    assert not image.is_labels
    for geometry in (image.geometry, None):
        export_masks(tmp_path / f"mask{suffix}", np.asarray(image.data), geometry)
        assert open_nifti(tmp_path / f"mask{suffix}").is_labels


def test_spacing_and_units_are_those_of_the_shown_axes(tmp_path):
    values = np.zeros((9, 20, 30, 2), np.uint8)
    geometry = open_nifti(saved(tmp_path / "a.nii", values, (3, 0.7, 0.8))).geometry
    assert geometry.axes == ("t", "z", "y", "x")
    assert geometry.spacing == (2500, 3, 0.8, 0.7)
    assert geometry.units == ("ms", "mm", "mm", "mm")
    expected = oblique((3, 0.7, 0.8)) @ (1, 3, 2, 1)
    np.testing.assert_allclose(geometry.in_patient((0, 1, 2, 3)), expected[:3], rtol=1e-6)


def test_the_place_may_be_told_by_the_qform_alone(tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((20, 30, 9), np.uint8), codes=(0, 1))
    image = open_nifti(path)
    assert image.geometry.affine is not None
    export_masks(tmp_path / "m.nii", np.zeros(image.geometry.shape, np.uint8), image.geometry)
    assert_same_place(tmp_path / "m.nii", path)


def test_a_file_without_a_place_has_sizes_only_and_its_mask_neither(tmp_path):
    values = np.zeros((20, 30, 9), np.uint8)
    path = saved(tmp_path / "a.nii", values, codes=(0, 0))
    image = open_nifti(path)
    assert image.geometry.affine is None
    assert image.geometry.spacing == (3, 0.7, 0.7)
    export_masks(tmp_path / "m.nii", np.zeros(image.geometry.shape, np.uint8), image.geometry)
    assert_same_place(tmp_path / "m.nii", path)


def test_nifti_2_stays_nifti_2(tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((20, 30, 9), "i2"), kind=nibabel.Nifti2Image)
    image = open_nifti(path)
    export_masks(tmp_path / "m.nii", np.zeros(image.geometry.shape, np.uint8), image.geometry)
    assert isinstance(nibabel.load(tmp_path / "m.nii"), nibabel.Nifti2Image)
    assert_same_place(tmp_path / "m.nii", path)


def test_values_are_scaled_as_the_header_says(tmp_path):
    image = nibabel.Nifti1Image(RNG.integers(0, 99, (20, 30, 9), dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -1024)
    nibabel.save(image, tmp_path / "a.nii")
    data = open_nifti(tmp_path / "a.nii").data
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, nibabel.load(tmp_path / "a.nii").get_fdata().T)


def test_a_file_of_the_other_byte_order_is_read(tmp_path):
    values = RNG.integers(-500, 500, (20, 30, 9), dtype=np.int16)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4), header), tmp_path / "a.nii")
    image = open_nifti(tmp_path / "a.nii")
    assert image.data.dtype.isnative
    np.testing.assert_array_equal(image.data, values.T)
    export_masks(tmp_path / "m.nii", (values.T > 0).astype(np.uint8), image.geometry)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "m.nii").dataobj, values > 0)


def test_colours_are_read_as_colours(tmp_path):
    colours = RNG.integers(0, 256, (20, 30, 9, 3), dtype=np.uint8)
    packed = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nibabel.save(nibabel.Nifti1Image(packed, np.eye(4)), tmp_path / "a.nii")
    image = open_nifti(tmp_path / "a.nii")
    assert image.is_colour
    np.testing.assert_array_equal(image.data, colours.transpose(2, 1, 0, 3))


def test_pixels_that_are_no_numbers_stay_so(tmp_path):
    values = RNG.random((20, 30, 9), dtype=np.float32)
    values[3] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_array_equal(open_nifti(tmp_path / "a.nii").data, values.T)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((20, 30, 9), np.complex64), "holds values of the type complex64"),
        (np.zeros((20, 30, 9, 2, 3), np.uint8), r"shape \(20, 30, 9, 2, 3\); expected two to four"),
    ],
)
def test_values_and_axes_that_are_no_slices_are_refused(tmp_path, values, message):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ImageError, match=rf"a\.nii .*{message}"):
        open_nifti(tmp_path / "a.nii")


@SUFFIXES
def test_a_file_that_was_cut_off_is_refused(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", RNG.integers(0, 99, (20, 30, 9), dtype=np.int16))
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ImageError, match=r"a\.nii"):
        np.asarray(open_nifti(path).data)


def test_a_packed_file_whose_content_was_cut_off_is_refused(tmp_path):
    path = saved(tmp_path / "a.nii", RNG.integers(0, 99, (20, 30, 9), dtype=np.int16))
    packed = tmp_path / "a.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()[:4000]))
    with pytest.raises(ImageError, match="holds 4000 bytes, and its header promises 11152"):
        np.asarray(open_nifti(packed).data)


def test_text_instead_of_an_image_is_refused(tmp_path):
    (tmp_path / "a.nii").write_text("no image")
    with pytest.raises(ImageError, match="could not be read as a NIfTI file"):
        open_nifti(tmp_path / "a.nii")


@SUFFIXES
def test_only_the_slice_that_is_looked_at_is_read(tmp_path, suffix, monkeypatch):
    path = saved(tmp_path / f"a{suffix}", RNG.integers(0, 99, (20, 30, 9), dtype=np.int16))
    data = open_nifti(path).data
    copied = []
    monkeypatch.setattr(np, "array", lambda one: copied.append(one.shape) or np.asarray(one))
    data[4, 2:5]
    assert copied == [(30, 20)]


def test_a_mask_is_shown_as_its_image_is_even_if_its_sizes_are_wrong(tmp_path):
    values = RNG.integers(0, 2, (9, 20, 30), dtype=np.uint8)
    image = open_nifti(saved(tmp_path / "a.nii", values, (3, 0.7, 0.7)))
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "m.nii")
    mask = open_nifti(tmp_path / "m.nii", like=image.geometry)
    np.testing.assert_array_equal(mask.data, image.data)


def test_masks_of_other_images_get_their_sizes_and_units(tmp_path):
    steps = (2.5, 3, 0.25, 0.5)
    geometry = Geometry.of_steps((4, 9, 30, 20), "tzyx", steps, ("s", "um", "um", "um"))
    export_masks(tmp_path / "m.nii.gz", np.ones(geometry.shape, bool), geometry)
    header = nibabel.load(tmp_path / "m.nii.gz").header
    assert header.get_data_shape() == (20, 30, 9, 4)
    assert header.get_zooms() == (0.5, 0.25, 3, 2.5)
    assert header.get_xyzt_units() == ("micron", "sec")
    assert (header["sform_code"], header["qform_code"]) == (0, 0)
    again = open_nifti(tmp_path / "m.nii.gz").geometry
    assert (again.spacing, again.units, again.affine) == (steps, geometry.units, None)


def test_typed_sizes_count_where_the_images_own_header_knows_no_place(tmp_path):
    values = RNG.integers(0, 9, (20, 30, 9), dtype=np.int16)
    image = open_nifti(saved(tmp_path / "a.nii", values, codes=(0, 0))).geometry
    assert image.affine is None
    typed = replace(image, spacing=(3.0, 0.5, 0.25), units=("mm",) * 3)
    export_masks(tmp_path / "m.nii", np.ones(image.shape, np.uint8), typed)
    header = nibabel.load(tmp_path / "m.nii").header
    assert header.get_zooms() == (0.25, 0.5, 3)
    assert header.get_xyzt_units()[0] == "mm"
    assert (header["sform_code"], header["qform_code"]) == (0, 0)


@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4"])
def test_labels_that_come_high_byte_first_are_written_as_they_are(tmp_path, kind):
    labels = RNG.integers(0, 9, (9, 30, 20)).astype(f">{kind}")
    for name in ("m.nii", "m.nii.gz", "m.tif", "m.ome.tif"):
        export_masks(tmp_path / name, labels, Geometry.of_steps(labels.shape))
        assert np.array_equal(read_image(tmp_path / name), labels)


def test_lengths_that_nifti_does_not_know_are_brought_to_millimetres(tmp_path):
    geometry = Geometry.of_steps((9, 30, 20), "zyx", (2e6, 5e5, 5e5), ("nm",) * 3)
    export_masks(tmp_path / "m.nii", np.ones(geometry.shape, np.uint8), geometry)
    header = nibabel.load(tmp_path / "m.nii").header
    np.testing.assert_allclose(header.get_zooms(), (0.5, 0.5, 2))
    assert header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize(
    "geometry",
    [Geometry.of_steps((2, 2, 2, 8, 9)), Geometry.of_steps((2, 3, 8, 9), "czyx")],
    ids=["five axes", "channels"],
)
def test_axes_that_nifti_does_not_have_are_refused_and_nothing_is_written(tmp_path, geometry):
    with pytest.raises(ImageError, match="NIfTI holds two to four axes"):
        export_masks(tmp_path / "m.nii", np.zeros(geometry.shape, np.uint8), geometry)
    assert list(tmp_path.iterdir()) == []


def test_each_slice_of_a_mask_is_asked_for_once_and_in_order(tmp_path):
    asked = []

    def read(index):
        asked.append(index)
        return np.full((30, 20), sum(index), np.uint8)

    for slider in (0, 2):
        order = (3, 0, 2, 1) if slider == 0 else (3, 2, 1, 0)
        file_shape = (9, 20, 30, 4) if slider == 0 else (20, 30, 9, 4)
        geometry = Geometry.of_affine(file_shape, oblique((1, 1, 1)), order)
        asked.clear()
        export_masks(tmp_path / "m.nii.gz", LazyStack(geometry.shape, np.uint8, read), geometry)
        assert asked == list(np.ndindex(4, 9))
        written = np.asarray(nibabel.load(tmp_path / "m.nii.gz").dataobj).transpose(order)
        np.testing.assert_array_equal(written[3, 5], 8)


def test_a_mask_that_fails_half_way_leaves_what_was_there(tmp_path):
    def read(index):
        if index == (5,):
            raise ImageError("slice 5 is broken")
        return np.zeros((30, 20), np.uint8)

    (tmp_path / "m.nii.gz").write_text("what was there")
    geometry = Geometry.of_steps((9, 30, 20))
    with pytest.raises(ImageError, match="slice 5 is broken"):
        export_masks(tmp_path / "m.nii.gz", LazyStack(geometry.shape, np.uint8, read), geometry)
    assert [path.name for path in tmp_path.iterdir()] == ["m.nii.gz"]
    assert (tmp_path / "m.nii.gz").read_text() == "what was there"


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="the real volumes are not on this machine")
def test_real_masks_survive_the_round_trip(tmp_path):
    for path in sorted((HIPPOCAMPUS / "labels").iterdir())[:5]:
        image = open_nifti(HIPPOCAMPUS / "images" / path.name)
        mask = open_nifti(path, like=image.geometry)
        assert mask.geometry.lies_on(image.geometry)
        written = tmp_path / path.name
        export_masks(written, np.asarray(mask.data).astype(np.uint8), image.geometry)
        truth = nibabel.load(path)
        np.testing.assert_array_equal(nibabel.load(written).dataobj, truth.dataobj)
        assert_same_place(written, HIPPOCAMPUS / "images" / path.name)


def test_without_nibabel_a_sentence_tells_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(ImageError, match=r'pip install "napari-sam-adapter\[volumes\]"'):
        open_nifti(tmp_path / "a.nii")


@pytest.mark.parametrize(("unit", "factor"), [("um", 1), ("mm", 1), ("nm", 1e-6), ("pixel", 1)])
def test_a_mask_keeps_where_an_image_of_no_patient_begins(tmp_path, unit, factor):
    geometry = Geometry.of_steps((4, 16, 20), "zyx", (3, 2, 1), (unit,) * 3, (100, 20, 30))
    export_masks(tmp_path / "m.nii.gz", np.zeros((4, 16, 20), np.uint8), geometry)
    mask = nibabel.load(tmp_path / "m.nii.gz")
    expected = np.diag([factor, 2 * factor, 3 * factor, 1])
    expected[:3, 3] = np.array([30, 20, 100]) * factor
    np.testing.assert_allclose(mask.affine, expected, rtol=1e-6)
    assert mask.header["sform_code"] == 2  # where others lie, but not in a scanner
    np.testing.assert_allclose(mask.header.get_zooms(), np.array([1, 2, 3]) * factor, rtol=1e-6)
    at_zero = Geometry.of_steps((4, 16, 20), "zyx", (3, 2, 1), (unit,) * 3)
    export_masks(tmp_path / "zero.nii", np.zeros((4, 16, 20), np.uint8), at_zero)
    assert nibabel.load(tmp_path / "zero.nii").header["sform_code"] == 0
