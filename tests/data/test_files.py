"""Image files of every common kind."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.data.files import (
    read_image,
    read_labels,
    read_mask,
)
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.mask_values import MergedValues
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.data.tiff import write_tiff
from napari_sam_adapter.errors import ImageError, StorageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30), dtype=np.uint16)
MASK = GREY > 128


def saved(path: Path, picture: np.ndarray | Image.Image, **options: object) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def test_what_is_noted_of_a_file_is_logged_once_however_often_it_is_read(
    tmp_path, monkeypatch, caplog
):
    image = open_image(saved(tmp_path / "a.png", GREY))
    noted = replace(image, notes=("Two series.",))
    monkeypatch.setattr("napari_sam_adapter.data.files.open_image", lambda path, like: noted)
    for name in ("a", "b", "a"):
        read_image(tmp_path / name)
    assert caplog.messages == ["Two series."] * 2


@pytest.mark.parametrize("picture", [GREY, COLOUR, DEEP], ids=["grey", "colour", "16 bit"])
def test_a_png_is_read_as_it_was_written(tmp_path, picture):
    found = read_image(saved(tmp_path / "a.png", picture))
    np.testing.assert_array_equal(found, picture)


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_is_dropped(tmp_path, alpha):
    picture = np.dstack([COLOUR, np.full(GREY.shape, alpha, np.uint8)])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", picture)), COLOUR)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), COLOUR)


def test_alpha_of_a_grey_png_is_dropped(tmp_path):
    picture = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(255 - GREY)])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", picture)), GREY)


def test_a_palette_png_is_read_as_its_colours(tmp_path):
    picture = Image.fromarray(COLOUR).quantize(16)
    found = read_image(saved(tmp_path / "a.png", picture))
    np.testing.assert_array_equal(found, np.asarray(picture.convert("RGB")))


def test_a_one_bit_png_is_read_as_a_mask(tmp_path):
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "a.png", MASK)), MASK)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_a_jpeg_is_read_in_colour(tmp_path, name):
    smooth = np.dstack([np.add.outer(np.arange(20), np.arange(30)) * k for k in (1, 2, 3)])
    found = read_image(saved(tmp_path / name, smooth.astype(np.uint8), quality=95))
    assert found.shape == (20, 30, 3)
    np.testing.assert_allclose(found, smooth, atol=12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (4, 20, 30), (4, 20, 30, 3)])
def test_a_tiff_of_one_or_more_pages_is_read_as_it_was_written(tmp_path, dtype, shape):
    picture = (RNG.random(shape) * 100).astype(dtype)
    photometric = "rgb" if shape[-1] == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tiff", picture, photometric=photometric)
    found = read_image(tmp_path / "a.tiff")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, picture)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"no file .*gone\.png"):
        read_image(tmp_path / "gone.png")


def test_a_file_of_another_type_lists_the_types(tmp_path):
    (tmp_path / "a.bmp").write_bytes(b"BM")
    with pytest.raises(ImageError, match=r"a\.bmp: expected one of \.png, \.jpg"):
        read_image(tmp_path / "a.bmp")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_text_instead_of_an_image_is_refused(tmp_path, name):
    (tmp_path / name).write_text("This is no picture, whatever it is called.")
    with pytest.raises(ImageError, match="could not be read as an image"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.7])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    picture = RNG.integers(0, 256, (200, 300), dtype=np.uint8)
    path = tmp_path / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, picture, compression="zlib")
    else:
        saved(path, picture)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match=path.name):
        read_image(path)


def test_a_png_that_claims_a_gigantic_size_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    path = tmp_path / "bomb.png"
    with path.open("wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in chunks:
            checksum = struct.pack(">I", zlib.crc32(kind + content))
            stream.write(struct.pack(">I", len(content)) + kind + content + checksum)
    with pytest.raises(ImageError, match=r"bomb\.png"):
        read_image(path)


def test_a_tiff_with_a_damaged_header_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["ImageLength"].overwrite(0)
    with pytest.raises(ImageError, match=r"a\.tif"):
        read_image(path)


def test_every_pixel_but_zero_belongs_to_a_mask(tmp_path):
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "a.png", GREY)), GREY != 0)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.float32])
@pytest.mark.parametrize("class_names", [("object",), ("a", "b")])
@pytest.mark.parametrize("image", [None, Geometry.of_steps((3, 8, 9))])
def test_a_mask_value_below_0_is_never_taken_for_the_object(tmp_path, dtype, class_names, image):
    labels = np.zeros((3, 8, 9), dtype)
    labels[1, 2:4] = 1
    labels[2, 5] = -1
    tifffile.imwrite(tmp_path / "m.tif", labels, photometric="minisblack")
    with pytest.raises(ImageError, match=r"m\.tif holds the value -1; masks hold 0 for"):
        read_labels(tmp_path / "m.tif", class_names, image)
    tifffile.imwrite(tmp_path / "m.tif", np.abs(labels), photometric="minisblack")
    assert read_labels(tmp_path / "m.tif", class_names, image)[2, 5].all()


def test_the_soft_edges_of_a_jpeg_mask_are_cut_at_half(tmp_path):
    mask = np.zeros((64, 64), bool)
    mask[13:40, 21:50] = True
    found = read_mask(saved(tmp_path / "a.jpg", np.uint8(255) * mask, quality=60))
    np.testing.assert_array_equal(found, mask)


def test_the_noise_of_a_jpeg_mask_is_not_taken_for_classes(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[13:40, 21:50] = 255
    said = []
    path = saved(tmp_path / "m.jpg", mask, quality=60)
    assert len(np.unique(read_image(path))) > 2
    read_mask(path, note=MergedValues(said.append))
    assert said == []
    read_mask(
        saved(tmp_path / "m.png", mask // 2 + np.eye(64, dtype=np.uint8)),
        note=MergedValues(said.append),
    )
    assert len(said) == 1


def test_a_mask_of_several_pages_is_a_stack_of_masks(tmp_path):
    labels = np.zeros((3, 8, 9), np.uint8)
    labels[1, 2:4] = 2
    tifffile.imwrite(tmp_path / "m.tif", labels, photometric="minisblack")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), labels != 0)
    np.testing.assert_array_equal(read_labels(tmp_path / "m.tif", ("a", "b")), labels)


def test_a_palette_mask_of_several_classes_is_read_by_its_indices(tmp_path):
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "m.png", ("a", "b")), indices)


def test_a_jpeg_mask_of_several_classes_is_refused(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "m.jpg")
    with pytest.raises(ImageError, match="JPEG changes pixel values"):
        read_labels(tmp_path / "m.jpg", ("a", "b"))


@pytest.mark.parametrize("shape", [(20, 30), (1, 20, 30), (3, 20, 30), (5, 20, 4)])
def test_written_labels_are_read_back(tmp_path, shape):
    labels = RNG.integers(0, 2, shape, dtype=np.uint8)
    write_tiff(tmp_path / "new folder" / "a.tif", labels)
    found = tifffile.imread(tmp_path / "new folder" / "a.tif")
    np.testing.assert_array_equal(found.reshape(shape), labels)


def test_labels_that_cannot_be_written_are_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not be written"):
        write_tiff(tmp_path / "file" / "a.tif", np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize("compression", ["lzw", "zlib", "jpeg"])
def test_compressed_tiffs_of_other_programs_are_read(tmp_path, compression):
    picture = np.full((32, 32, 3), 200, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", picture, compression=compression, photometric="rgb")
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - 200).max() < 5
