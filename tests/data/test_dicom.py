"""DICOM series: sorted in the patient, rescaled, with their place."""

import errno
import re
from pathlib import Path

import numpy as np
import pytest

from napari_sam_adapter.data.dicom import open_dicom
from napari_sam_adapter.data.dicom_series import dicom_files, series_in
from napari_sam_adapter.data.export import export_masks
from napari_sam_adapter.data.files import list_images
from napari_sam_adapter.data.stacks import read_slices
from napari_sam_adapter.errors import ImageError

pydicom = pytest.importorskip("pydicom")

RNG = np.random.default_rng(0)
SLICES = RNG.integers(0, 1000, (5, 12, 10), dtype=np.uint16)
# Rows run towards (0.8, 0.6, 0), columns down; so slices follow one another along (-0.6, 0.8, 0).
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)
FIRST = np.array([10.0, -20.0, 30.0])
NORMAL = np.array([-0.6, 0.8, 0.0])


def upright(numbers, spacing=3.0):
    return [(-100, -50, spacing * number) for number in numbers]


def oblique(numbers, spacing=3.0):
    return [tuple(FIRST + spacing * number * NORMAL) for number in numbers]


def test_slices_are_sorted_by_their_place_whatever_their_files_are_called(write_dicom):
    order = [3, 0, 4, 1, 2]
    folder = write_dicom(SLICES[order], oblique(order), orientation=OBLIQUE)
    image = open_dicom(folder)
    assert image.data.shape == (5, 12, 10)
    assert image.data.dtype == np.uint16
    assert image.notes == ()
    np.testing.assert_array_equal(image.data, SLICES)
    assert image.geometry.spacing == (3, 0.5, 0.25)
    assert image.geometry.units == ("mm",) * 3


def test_a_mask_lies_on_the_series_by_a_case_computed_by_hand(write_dicom, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = open_dicom(write_dicom(SLICES, oblique(range(5)), orientation=OBLIQUE))
    labels = np.zeros(image.data.shape, np.uint8)
    labels[1, 2, 4] = 1
    export_masks(tmp_path / "m.nii.gz", labels, image.geometry)
    mask = nibabel.load(tmp_path / "m.nii.gz")
    (voxel,) = np.argwhere(np.asarray(mask.dataobj))
    assert tuple(voxel) == (4, 2, 1)
    # Column 4: 4 x 0.25 mm along the rows; row 2: 2 x 0.5 mm down; slice 1: 3 mm along the normal.
    # LPS: (10 + 0.8 - 1.8, -20 + 0.6 + 2.4, 30 - 1) = (9, -17, 29); RAS turns the first two round.
    np.testing.assert_allclose(mask.affine @ [4, 2, 1, 1], [-9, 17, 29, 1], atol=1e-5)
    np.testing.assert_allclose(image.geometry.in_patient((1, 2, 4)), [-9, 17, 29])
    np.testing.assert_allclose(mask.get_qform(), mask.get_sform(), atol=1e-5)
    codes = (mask.header["sform_code"], mask.header["qform_code"])
    assert codes == (1, 1)
    assert mask.header.get_xyzt_units()[0] == "mm"


def test_the_place_is_what_nibabel_makes_of_the_first_file(write_dicom):
    nicom = pytest.importorskip("nibabel.nicom.dicomwrappers")
    folder = write_dicom(SLICES, oblique(range(5)), orientation=OBLIQUE)
    affine = np.array(open_dicom(folder).geometry.affine)
    theirs = nicom.wrapper_from_file(folder / "1.2.3_0.dcm").affine
    for row, column in [(0, 0), (2, 4), (11, 9)]:
        left, posterior, superior, _ = theirs @ [row, column, 0, 1]
        expected = (-left, -posterior, superior)
        np.testing.assert_allclose((affine @ [column, row, 0, 1])[:3], expected, atol=1e-6)


def test_an_axial_series_of_a_person_on_the_back_runs_left_posterior_superior(write_dicom):
    nibabel = pytest.importorskip("nibabel")
    image = open_dicom(write_dicom(SLICES, upright(range(5))))
    assert nibabel.aff2axcodes(np.array(image.geometry.affine)) == ("L", "P", "S")


def test_the_step_of_a_tilted_gantry_is_kept_as_a_shear(write_dicom, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    positions = [(0, 0.5 * number, 2 * number) for number in range(5)]
    image = open_dicom(write_dicom(SLICES, positions))
    export_masks(tmp_path / "m.nii", np.zeros((5, 12, 10), np.uint8), image.geometry)
    mask = nibabel.load(tmp_path / "m.nii")
    np.testing.assert_allclose(mask.affine @ [0, 0, 4, 1], [0, -2, 8, 1], atol=1e-6)
    assert mask.header["qform_code"] == 0


def test_values_are_rescaled_each_slice_by_its_own_numbers(write_dicom):
    of_two = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    write_dicom(SLICES[:2], upright((0, 1)), **of_two)
    data = open_dicom(write_dicom(SLICES[2:], upright((2, 3, 4)), first=2, RescaleSlope="0.5")).data
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data[:2], SLICES[:2] * 2.0 - 1024)
    np.testing.assert_array_equal(data[2:], SLICES[2:] * 0.5)


def test_signed_values_and_colours_are_read_as_they_are(write_dicom):
    signed = RNG.integers(-500, 500, (3, 12, 10), dtype=np.int16)
    found = open_dicom(write_dicom(signed, upright(range(3)), folder="signed")).data
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, signed)
    colours = RNG.integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)
    image = open_dicom(write_dicom(colours, upright(range(3)), folder="colours"))
    assert image.is_colour
    np.testing.assert_array_equal(image.data, colours)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_real_numbers_as_in_parametric_maps_are_read_as_they_are(write_dicom, dtype):
    real = RNG.normal(0, 3, (3, 12, 10)).astype(dtype)
    found = open_dicom(write_dicom(real, upright(range(3)))).data
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, real)


def test_files_of_several_types_of_numbers_are_a_series_that_holds_them_all(write_dicom):
    signed = RNG.integers(-500, 0, (2, 12, 10), dtype=np.int16)
    write_dicom(SLICES[:1] + np.uint16(60000), upright((0,)))
    write_dicom(SLICES[1:2].astype(np.uint8), upright((1,)), first=1)
    found = open_dicom(write_dicom(signed, upright((2, 3)), first=2)).data
    np.testing.assert_array_equal(found[0], SLICES[0] + np.uint16(60000))
    np.testing.assert_array_equal(found[1], SLICES[1].astype(np.uint8))
    np.testing.assert_array_equal(found[2:], signed)


def test_one_file_is_a_picture_with_its_place(write_dicom):
    folder = write_dicom(SLICES[:1], oblique((0,)), orientation=OBLIQUE, SliceThickness="4")
    image = open_dicom(folder / "1.2.3_0.dcm")
    np.testing.assert_array_equal(image.data, SLICES[0])
    assert image.geometry.spacing == (0.5, 0.25)
    assert image.geometry.affine is not None


def test_a_file_of_several_frames_is_a_stack(write_dicom):
    film = SLICES.reshape(1, 60, 10)
    folder = write_dicom(film, Rows=12, NumberOfFrames=5, FrameTime="40")
    image = open_dicom(folder / "1.2.3_0.dcm")
    np.testing.assert_array_equal(image.data, SLICES)
    assert image.geometry.axes == ("t", "y", "x")
    assert image.geometry.spacing == (40, 1, 1)
    assert image.geometry.units == ("ms", "pixel", "pixel")


def of_frames(positions):
    """Return what a newer file of several frames says of them, in groups."""

    def group(name, **values):
        inner, outer = pydicom.Dataset(), pydicom.Dataset()
        for key, value in values.items():
            setattr(inner, key, value)
        setattr(outer, name, pydicom.Sequence([inner]))
        return outer

    shared = group("PixelMeasuresSequence", PixelSpacing=[0.5, 0.25], SliceThickness="3")
    turned = group("PlaneOrientationSequence", ImageOrientationPatient=list(OBLIQUE))
    values = group("PixelValueTransformationSequence", RescaleSlope="2", RescaleIntercept="-5")
    shared.update(turned)
    shared.update(values)
    places = [group("PlanePositionSequence", ImagePositionPatient=list(one)) for one in positions]
    return {
        "SharedFunctionalGroupsSequence": pydicom.Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": pydicom.Sequence(places),
    }


def test_frames_that_tell_their_places_in_groups_are_sorted_and_rescaled(write_dicom):
    order = [1, 0, 3, 2, 4]
    film = SLICES[order].reshape(1, 60, 10)
    groups = of_frames(oblique(order))
    folder = write_dicom(film, Rows=12, NumberOfFrames=5, **groups)
    image = open_dicom(folder)
    np.testing.assert_array_equal(image.data, SLICES * 2.0 - 5)
    assert image.geometry.spacing == (3, 0.5, 0.25)
    np.testing.assert_allclose(image.geometry.in_patient((1, 2, 4)), [-9, 17, 29])


def test_without_positions_the_scanners_count_is_the_order(write_dicom):
    image = open_dicom(write_dicom(SLICES))
    np.testing.assert_array_equal(image.data, SLICES)
    assert image.geometry.affine is None
    assert image.geometry.units == ("pixel",) * 3


def test_the_largest_of_several_series_is_opened_and_the_others_are_named(write_dicom):
    write_dicom(SLICES[:2], upright((0, 1)), uid="1.2.4")
    image = open_dicom(write_dicom(SLICES, upright(range(5))))
    assert image.data.shape == (5, 12, 10)
    (note,) = image.notes
    assert "holds 2 DICOM series; the largest, 'series 1.2.3' (5 images), was opened" in note
    assert "'series 1.2.4' (2 images)" in note


def test_images_of_another_orientation_are_a_series_of_their_own(write_dicom):
    write_dicom(SLICES[:2], oblique((0, 1)), orientation=OBLIQUE)
    image = open_dicom(write_dicom(SLICES, upright(range(5)), first=2))
    np.testing.assert_array_equal(image.data, SLICES)
    assert "not 'series 1.2.3' (2 images)" in image.notes[0]


def test_series_of_one_size_are_refused_and_named(write_dicom):
    write_dicom(SLICES, upright(range(5)))
    folder = write_dicom(SLICES, upright(range(5)), uid="1.2.4")
    with pytest.raises(
        ImageError, match=r"none is the largest: 'series 1\.2\.3' .* 'series 1\.2\.4'"
    ):
        open_dicom(folder)


def test_missing_slices_are_told(write_dicom):
    image = open_dicom(write_dicom(SLICES, upright((0, 1, 2, 4, 5))))
    (note,) = image.notes
    assert "3.00 mm apart as a rule but 6.00 mm between slices 2 and 3" in note


# Two times at each of three positions, counted by the scanner in one order or the other.
TIMES = RNG.integers(0, 1000, (2, 3, 12, 10), dtype=np.uint16)
COUNTED = {
    "position by position": [(t, z) for z in range(3) for t in range(2)],
    "time by time": [(t, z) for t in range(2) for z in range(3)],
}


@pytest.mark.parametrize("counted", COUNTED)
def test_several_images_at_each_position_are_the_first_of_four_axes(write_dicom, counted):
    order = COUNTED[counted]
    # Positions of one slice may differ in their last digit.
    places = [(-100, -50, 3.0 * z + 1e-5 * (1 - t)) for t, z in order]
    image = open_dicom(write_dicom(np.array([TIMES[at] for at in order]), places))
    np.testing.assert_array_equal(image.data, TIMES)
    assert image.geometry.axes == ("t", "z", "y", "x")
    assert image.geometry.spacing == (1, 3, 0.5, 0.25)
    assert image.geometry.units == ("pixel", "mm", "mm", "mm")
    (note,) = image.notes
    assert "has 2 images at each position: times, echoes or copies" in note
    np.testing.assert_allclose(image.geometry.in_patient((1, 2, 0, 0)), [100, 50, 6], atol=1e-4)


def test_masks_of_several_times_are_saved_in_their_place(write_dicom, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    order = COUNTED["time by time"]
    folder = write_dicom(np.array([TIMES[at] for at in order]), upright([z for _, z in order]))
    image = open_dicom(folder)
    labels = np.zeros(image.data.shape, np.uint8)
    labels[1, 2, 4, 7] = 1
    export_masks(tmp_path / "m.nii.gz", labels, image.geometry)
    mask = nibabel.load(tmp_path / "m.nii.gz")
    assert np.argwhere(np.asarray(mask.dataobj)).tolist() == [[7, 4, 2, 1]]
    np.testing.assert_allclose(mask.affine @ [0, 0, 2, 1], [100, 50, 6, 1], atol=1e-5)


def test_one_position_at_several_times_is_a_stack_of_them(write_dicom):
    image = open_dicom(write_dicom(SLICES, upright([2] * 5)))
    np.testing.assert_array_equal(image.data, SLICES[:, np.newaxis])
    assert image.geometry.axes == ("t", "z", "y", "x")


def test_several_times_of_pixels_of_no_known_size_are_four_axes_too(write_dicom):
    order = COUNTED["time by time"]
    slices, places = np.array([TIMES[at] for at in order]), upright([z for _, z in order])
    image = open_dicom(write_dicom(slices, places, PixelSpacing=None))
    np.testing.assert_array_equal(image.data, TIMES)
    assert image.geometry.axes == ("t", "z", "y", "x")


def test_positions_that_have_more_images_than_others_are_refused(write_dicom):
    folder = write_dicom(SLICES, upright((0, 1, 2, 2, 3)))
    expected = r"has 2 images at 6\.0 mm and 1 elsewhere; expected equally many"
    with pytest.raises(ImageError, match=expected):
        open_dicom(folder)


def test_a_folder_without_a_picture_is_refused(write_dicom, tmp_path):
    with pytest.raises(ImageError, match="holds no DICOM image"):
        open_dicom(tmp_path)
    folder = write_dicom(SLICES, Modality="SEG")
    with pytest.raises(ImageError, match="holds no DICOM image"):
        open_dicom(folder)


def test_only_the_slice_that_is_looked_at_is_read(write_dicom):
    folder = write_dicom(SLICES, upright(range(5)))
    data = open_dicom(folder).data
    (folder / "1.2.3_4.dcm").unlink()
    np.testing.assert_array_equal(data[3], SLICES[3])
    with pytest.raises(ImageError, match="series, slice 4, could not be read"):
        data[4]


def test_a_damaged_file_is_named(write_dicom):
    folder = write_dicom(SLICES, upright(range(5)))
    (folder / "1.2.3_4.dcm").write_bytes((folder / "1.2.3_4.dcm").read_bytes()[:140])
    with pytest.raises(ImageError, match=r"1\.2\.3_4\.dcm could not be read as a DICOM file"):
        open_dicom(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "compressed as JPEG-LS Lossless .* Install a decoder"),
        ("image_dfl.dcm", "compressed as Deflated"),
        ("examples_palette.dcm", "palette colours"),
    ],
)
def test_what_cannot_be_decoded_is_told_when_it_is_opened(name, message, monkeypatch):
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not ship {name}")
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(ImageError, match=message):
        open_dicom(Path(path))


def test_compressed_images_are_read_where_a_decoder_is_installed():
    from pydicom.data import get_testdata_file

    packed, plain = (
        get_testdata_file(name, download=False) for name in ("MR_small_RLE.dcm", "MR_small.dcm")
    )
    if packed is None or plain is None:
        pytest.skip("pydicom does not ship these pictures")
    np.testing.assert_array_equal(open_dicom(Path(packed)).data, open_dicom(Path(plain)).data)


def test_without_pydicom_a_sentence_tells_how_to_get_it(write_dicom, monkeypatch):
    folder = write_dicom(SLICES)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ImageError, match=r'pip install "napari-sam-adapter\[volumes\]"'):
        open_dicom(folder)


def test_images_of_one_patient_are_known_without_saying_who_it_is(write_dicom):
    one = write_dicom(SLICES, upright(range(5)), folder="one", PatientID="MRN-4711 ")
    other = write_dicom(SLICES[:1], folder="other", uid="1.2.4", PatientID="MRN-4711")
    images = open_dicom(one), open_dicom(other)
    assert images[0].patient == images[1].patient
    assert "4711" not in repr(images[0]) + repr(series_in(dicom_files(one)))
    stranger = write_dicom(SLICES[:1], folder="stranger", uid="1.2.5", PatientID="MRN-4712")
    assert open_dicom(stranger).patient != images[0].patient
    nobody = write_dicom(SLICES[:1], folder="nobody", uid="1.2.6", PatientID="")
    assert open_dicom(nobody).patient is None
    assert open_dicom(write_dicom(SLICES, folder="missing", uid="1.2.7")).patient is None


def test_slices_to_train_on_are_of_the_group_of_their_patient(write_dicom, tmp_path):
    places = upright(range(5))
    one = write_dicom(SLICES, places, folder="one", PatientID="MRN-4711")
    two = write_dicom(SLICES, places, folder="two", uid="1.2.4", PatientID="MRN-4711")
    mask = tmp_path / "mask.nii.gz"
    export_masks(mask, np.ones((5, 12, 10), np.uint8), open_dicom(one).geometry)
    groups = {group for *_, group in read_slices([(one, mask), (two, mask)])}
    assert groups == {open_dicom(one).patient}
    named = {group for *_, group in read_slices([(one, mask)], group_by=re.compile("o"))}
    assert named == {"o"}


def without_position(folder, number):
    path = folder / f"1.2.3_{number}.dcm"
    header = pydicom.dcmread(path)
    del header.ImagePositionPatient
    header.save_as(path)


@pytest.mark.parametrize(
    ("header", "apart", "unit", "told"),
    [
        ({"SliceThickness": "3"}, 3.0, "mm", "taken to be 3 mm apart, as the files say"),
        ({}, 1.0, "pixel", "how far apart they are is not known"),
    ],
)
def test_one_missing_position_is_told_and_the_thickness_stands_in(
    write_dicom, header, apart, unit, told
):
    folder = write_dicom(SLICES, upright(range(5)), **header)
    without_position(folder, 2)
    image = open_dicom(folder)
    np.testing.assert_array_equal(image.data, SLICES)
    assert image.geometry.spacing == (apart, 0.5, 0.25)
    assert image.geometry.units == (unit, "mm", "mm")
    (note,) = image.notes
    assert "1 of 5 images does not say where it lies" in note
    assert told in note


def test_the_thickness_stands_in_for_positions_that_nobody_knows(write_dicom):
    image = open_dicom(write_dicom(SLICES, PixelSpacing=[0.5, 0.25], SliceThickness="3"))
    assert image.geometry.spacing == (3, 0.5, 0.25)
    assert "5 of 5 images do not say where they lie" in image.notes[0]


def test_positions_without_a_direction_are_told(write_dicom):
    folder = write_dicom(SLICES, upright(range(5)), SpacingBetweenSlices="2", SliceThickness="3")
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        del header.ImageOrientationPatient
        header.save_as(path)
    image = open_dicom(folder)
    assert image.geometry.spacing == (2, 0.5, 0.25)
    assert "5 of 5 images do not say where they lie" in image.notes[0]


def test_directions_that_differ_by_rounding_are_one_series(write_dicom):
    for numbers, tilt in ((slice(0, 3), 0.0002), (slice(3, 5), 0.0008)):
        folder = write_dicom(
            SLICES[numbers],
            upright(range(5)[numbers]),
            first=numbers.start,
            orientation=(1, 0, tilt, 0, 1, 0),
        )
    image = open_dicom(folder)
    np.testing.assert_array_equal(image.data, SLICES)
    assert image.notes == ()


def test_pixels_of_another_size_are_a_series_of_their_own_and_told(write_dicom):
    write_dicom(SLICES[:2], upright((0, 1)), PixelSpacing=[0.8, 0.8])
    image = open_dicom(write_dicom(SLICES[2:], upright((2, 3, 4)), first=2))
    assert image.data.shape == (3, 12, 10)
    assert image.geometry.spacing == (3, 0.5, 0.25)
    assert "not 'series 1.2.3' (2 images)" in image.notes[0]
    assert "differ in size, colour, orientation or size of the pixels" in image.notes[0]


@pytest.mark.parametrize("spacing", [[0, 0], [0.5, -1]])
def test_pixels_of_no_size_are_told_and_slices_sorted_all_the_same(write_dicom, spacing):
    order = [3, 0, 4, 1, 2]
    image = open_dicom(write_dicom(SLICES[order], upright(order), PixelSpacing=spacing))
    np.testing.assert_array_equal(image.data, SLICES)
    assert image.geometry.spacing == (1, 1, 1)
    assert image.geometry.units == ("pixel",) * 3
    assert image.geometry.affine is None
    (note,) = image.notes
    assert "which is no size of a pixel" in note


def test_pictures_in_which_high_is_dark_are_turned_round_and_told(write_dicom):
    options = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    image = open_dicom(write_dicom(SLICES, upright(range(5)), **options))
    assert image.data.dtype == np.uint16
    np.testing.assert_array_equal(image.data, 4095 - SLICES)
    assert "high values are dark (MONOCHROME1)" in image.notes[0]
    signed = SLICES.astype(np.int16) - 500
    options = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "2"}
    image = open_dicom(write_dicom(signed, upright(range(5)), folder="signed", **options))
    np.testing.assert_array_equal(image.data, 2.0 * (-1 - signed))


def test_a_slice_that_is_a_link_to_nothing_is_told(tmp_path, write_dicom):
    folder = write_dicom(np.ones((2, 8, 8), np.uint8), folder="images")
    (folder / "1.2.3_2.dcm").symlink_to(tmp_path / "nowhere.dcm")
    for look, place in ((open_dicom, folder), (list_images, folder), (list_images, tmp_path)):
        with pytest.raises(ImageError, match=r"1\.2\.3_2\.dcm in .* leads to nothing"):
            look(place)


def test_a_slice_that_may_not_be_read_is_told(write_dicom, monkeypatch):
    folder = write_dicom(np.ones((3, 8, 8), np.uint8))
    real, closed = open, folder / "1.2.3_1.dcm"

    def checked(path, *args, **options):
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr("builtins.open", checked)
    monkeypatch.setattr("io.open", checked)
    with pytest.raises(ImageError, match=r"1\.2\.3_1\.dcm.*Permission denied"):
        open_dicom(folder)
