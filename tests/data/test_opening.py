"""Which reader opens what, and what counts as an image in a folder."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.data.export import export_masks, mask_suffix
from napari_sam_adapter.data.files import list_images, pair_by_stem, read_image, read_labels
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.opening import file_stem, open_image
from napari_sam_adapter.errors import ImageError

VOLUME = np.random.default_rng(0).integers(0, 200, (5, 12, 10), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        ("image.nii.gz", "image", ".nii.gz"),
        ("image.NII", "image", ".nii.gz"),
        ("case.1.nii.gz", "case.1", ".nii.gz"),
        ("scan.ome.tif", "scan", ".ome.tif"),
        ("scan.tif", "scan", ".tif"),
        ("frame.1.png", "frame.1", ".tif"),
        ("slice.dcm", "slice", ".nii.gz"),
        ("IM1.IMA", "IM1", ".nii.gz"),
        ("1.2.840.1001", "1.2.840.1001", ".nii.gz"),
        (".png", ".png", ".tif"),
    ],
)
def test_a_stem_is_the_name_without_the_format_and_masks_keep_the_place(
    tmp_path, name, stem, suffix
):
    (tmp_path / name).touch()
    assert file_stem(tmp_path / name) == stem
    assert mask_suffix(tmp_path / name) == suffix


@pytest.mark.parametrize(
    ("options", "suffix"),
    [
        ({"imagej": True, "metadata": {"axes": "ZYX", "spacing": 3.0, "unit": "um"}}, ".ome.tif"),
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5}}, ".ome.tif"),
        ({"imagej": True, "metadata": {"axes": "ZYX"}}, ".tif"),
        ({}, ".tif"),
    ],
    ids=["imagej", "ome", "imagej without sizes", "plain"],
)
def test_masks_of_a_tiff_file_keep_the_sizes_that_it_tells(tmp_path, options, suffix):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME, resolution=(2, 2), **options)
    image = open_image(tmp_path / "a.tif").geometry
    assert mask_suffix(tmp_path / "a.tif") == suffix
    export_masks(tmp_path / f"mask{suffix}", VOLUME, image)
    written = open_image(tmp_path / f"mask{suffix}").geometry
    assert (written.spacing, written.units) == (image.spacing, image.units)


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [("a.ome.zarr", "a", ".ome.tif"), ("a.zarr", "a", ".ome.tif"), ("CT.1", "CT.1", ".nii.gz")],
)
def test_folders_have_stems_too(tmp_path, name, stem, suffix):
    (tmp_path / name).mkdir()
    assert file_stem(tmp_path / name) == stem
    assert mask_suffix(tmp_path / name) == suffix


def test_a_link_to_a_folder_has_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "real" / "series").mkdir(parents=True)
    (tmp_path / "case_p1").symlink_to(tmp_path / "real" / "series")
    assert file_stem(tmp_path / "case_p1") == "case_p1"
    monkeypatch.chdir(tmp_path / "real" / "series")
    assert (file_stem(Path(".")), file_stem(Path(".."))) == ("series", "real")


def test_dicom_files_named_by_uid_are_paired_with_their_own_masks(tmp_path, write_dicom):
    (tmp_path / "masks").mkdir()
    for number in (1001, 1002):
        folder = write_dicom(VOLUME[:1], folder="x-rays", uid=f"1.2.{number}")
        (folder / f"1.2.{number}_0.dcm").rename(folder / f"1.2.840.{number}")
        (tmp_path / "masks" / f"1.2.840.{number}.png").touch()
    pairs = pair_by_stem(folder, tmp_path / "masks")
    assert [(image.name, mask.name) for image, mask in pairs] == [
        ("1.2.840.1001", "1.2.840.1001.png"),
        ("1.2.840.1002", "1.2.840.1002.png"),
    ]


def test_pictures_volumes_and_folders_are_listed_together(tmp_path, write_dicom):
    write_dicom(VOLUME, folder="ct")
    for name in ("a.png", "b.nii.gz", "c.tif", "notes.txt", ".b.nii"):
        (tmp_path / name).touch()
    (tmp_path / "d.zarr").mkdir()
    (tmp_path / "empty").mkdir()
    found = [path.name for path in list_images(tmp_path)]
    assert found == ["a.png", "b.nii.gz", "c.tif", "ct", "d.zarr"]


def test_a_series_is_one_image_and_pictures_of_different_people_are_one_each(write_dicom):
    folder = write_dicom(VOLUME, folder="series")
    assert list_images(folder) == [folder]
    for number in range(3):
        folder = write_dicom(VOLUME[:1], folder="x-rays", uid=f"1.2.{number}")
    assert [path.name for path in list_images(folder)] == [f"1.2.{n}_0.dcm" for n in range(3)]


def test_a_series_beside_pictures_is_refused(write_dicom):
    folder = write_dicom(VOLUME)
    (folder / "preview.png").touch()
    with pytest.raises(ImageError, match=r"1\.2\.3_0\.dcm, beside other images, like preview\.png"):
        list_images(folder)


def test_a_dicom_file_is_known_by_its_content(write_dicom):
    folder = write_dicom(VOLUME[:1])
    path = (folder / "1.2.3_0.dcm").rename(folder / "IM000001")
    np.testing.assert_array_equal(read_image(path), VOLUME[0])
    assert list_images(folder) == [folder]


def test_volumes_are_paired_with_masks_of_other_formats(tmp_path):
    for name in ("images/a.nii.gz", "images/b.ome.tif", "masks/a.tif", "masks/b.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    pairs = pair_by_stem(tmp_path / "images", tmp_path / "masks")
    assert [(a.name, b.name) for a, b in pairs] == [("a.nii.gz", "a.tif"), ("b.ome.tif", "b.nii")]


def test_every_format_gives_the_same_volume(tmp_path, write_dicom):
    pytest.importorskip("nibabel")
    export_masks(tmp_path / "a.nii.gz", VOLUME)
    export_masks(tmp_path / "a.ome.tif", VOLUME)
    tifffile.imwrite(tmp_path / "a.tif", VOLUME)
    for path in (*tmp_path.glob("a.*"), write_dicom(VOLUME)):
        np.testing.assert_array_equal(read_image(path), VOLUME, err_msg=path.name)


def test_a_picture_is_open_at_once(tmp_path):
    Image.fromarray(VOLUME[0]).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.data, VOLUME[0])
    assert image.geometry == Geometry.of_steps((12, 10))


def test_classes_saved_as_real_numbers_are_read(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    labels = (VOLUME % 3).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(labels.T, np.eye(4)), tmp_path / "m.nii")
    np.testing.assert_array_equal(read_labels(tmp_path / "m.nii", ("a", "b")), VOLUME % 3)
    nibabel.save(nibabel.Nifti1Image(labels.T / 2, np.eye(4)), tmp_path / "m.nii")
    with pytest.raises(ImageError, match="holds whole numbers"):
        read_labels(tmp_path / "m.nii", ("a", "b"))


def test_a_pixel_of_a_mask_that_is_no_number_belongs_to_nothing(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    values = (VOLUME > 100).astype(np.float32)
    values[0] = np.nan
    nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), tmp_path / "m.nii")
    expected = np.concatenate([np.zeros_like(VOLUME[:1]), VOLUME[1:] > 100])
    np.testing.assert_array_equal(read_labels(tmp_path / "m.nii", ("a",)), expected)


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    mirrored = np.diag([-1, 1, 1, 1])
    nibabel.save(nibabel.Nifti1Image(VOLUME.T, np.eye(4)), tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Image(VOLUME.T, mirrored), tmp_path / "m.nii")
    image = open_image(tmp_path / "a.nii").geometry
    with pytest.raises(ImageError, match=r"m\.nii has the size of its image, but lies elsewhere"):
        read_labels(tmp_path / "m.nii", ("a",), image)
    read_labels(tmp_path / "a.nii", ("a",), image)


@pytest.mark.parametrize("name", ["m.png", "m.nii.bz2", "m"])
def test_masks_of_another_format_are_refused(tmp_path, name):
    with pytest.raises(ImageError, match=r"masks are written as \.nii, .*\.json"):
        export_masks(tmp_path / name, VOLUME)


def test_masks_of_another_size_than_their_image_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"shape \(5, 12, 10\), and the image .* \(5, 12, 11\)"):
        export_masks(tmp_path / "m.tif", VOLUME, Geometry.of_steps((5, 12, 11)))


def test_a_folder_that_is_no_image_is_told(tmp_path):
    with pytest.raises(ImageError, match="holds no DICOM image"):
        open_image(tmp_path)
    with pytest.raises(ImageError, match=r"holds no image \(\.png, .*\.nii, .*DICOM"):
        list_images(tmp_path)
