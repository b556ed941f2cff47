"""An image of a project can be opened again, or it is said why not."""

import json
import os

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_sam_adapter.data.lazy import LazyStack
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.project import pixels
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.pixels import COPY, image_of, keep_pixels
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.volumes.slice_source import SliceSource

NOISE = np.random.default_rng(0).integers(0, 255, (5, 16, 16)).astype(np.uint8)


@pytest.fixture
def keep(tmp_path):
    """Return a function that lets a project keep an image, and returns its record's folder."""

    def keep_in_project(data, path=None, *, is_colour=False):
        source = SliceSource(data, is_colour=is_colour)
        identity = ImageIdentity.of(source, "frames", None if path is None else str(path))
        record = Project(tmp_path / "project").open_record(identity)
        try:
            keep_pixels(record, identity, source)
        finally:
            record.close()
        return record.folder

    return keep_in_project


def again(folder):
    identity = ImageIdentity.read(folder)
    image = image_of(folder, identity)
    found = ImageIdentity.of(SliceSource(image.data, is_colour=image.is_colour), "again")
    assert found.is_same(identity)
    return image.data


@pytest.mark.parametrize(
    "data",
    [
        NOISE,
        NOISE[0],
        NOISE[:1],
        NOISE > 100,
        NOISE.astype(">i2"),
        NOISE.astype(np.float16),
        NOISE.astype(np.float64) / 7,
        NOISE.reshape(5, 1, 16, 16),
        NOISE[::-1, :, ::-1],
        da.from_array(NOISE, chunks=(2, 16, 16)),
        LazyStack(NOISE.shape, NOISE.dtype, lambda index: NOISE[index]),
    ],
)
def test_what_no_file_brings_is_copied_whatever_the_array_is_made_of(keep, data):
    assert np.array_equal(again(keep(data)), np.asarray(data))


@pytest.mark.parametrize("n_colours", [3, 4])
def test_colours_are_copied(keep, n_colours):
    frames = np.random.default_rng(1).integers(0, 255, (3, 16, 16, n_colours)).astype(np.uint8)
    assert np.array_equal(again(keep(frames, is_colour=True)), frames)


def test_a_copy_that_a_killed_program_has_left_unfinished_goes_after_a_day(keep):
    folder = keep(NOISE)
    old, new = folder / f".{COPY}.01234567", folder / f".{COPY}.89abcdef"
    for path in (old, new):
        path.write_bytes(b"half a copy")
    os.utime(old, (0, 0))
    keep(NOISE)
    assert not old.exists()
    assert new.exists(), "another program may be writing it"
    assert np.array_equal(again(folder), NOISE)


def test_an_image_that_came_from_its_copy_stays_while_the_project_is_moved(keep):
    folder = keep(NOISE)
    data = again(folder)
    folder.rename(folder.with_name("moved"))
    assert np.array_equal(data, NOISE)


def test_an_image_that_its_file_brings_is_not_copied(keep, tmp_path):
    path = tmp_path / "frames.tif"
    tifffile.imwrite(path, NOISE)
    folder = keep(NOISE, path)
    assert not (folder / COPY).exists()
    assert np.array_equal(again(folder), NOISE)


def test_an_image_whose_file_has_other_pixels_or_cannot_be_read_here_is_copied(keep, tmp_path):
    tifffile.imwrite(tmp_path / "frames.tif", 255 - NOISE)
    np.save(tmp_path / "other.npy", NOISE[:3])
    for data, name in ((NOISE, "frames.tif"), (NOISE[:3], "other.npy")):
        folder = keep(data, tmp_path / name)
        assert np.array_equal(again(folder), data)


def test_where_an_image_lies_is_written_down_when_it_is_opened_from_elsewhere(keep, tmp_path):
    before, now = tmp_path / "before.tif", tmp_path / "now.tif"
    tifffile.imwrite(before, NOISE)
    folder = keep(NOISE, before)
    before.rename(now)
    assert keep(NOISE, now) == folder
    assert json.loads((folder / "image.json").read_text())["source"] == str(now)
    # A path that brings something else does not take its place.
    tifffile.imwrite(before, NOISE[:2])
    keep(NOISE, before)
    assert json.loads((folder / "image.json").read_text())["source"] == str(now)


@pytest.mark.parametrize(
    "source",
    ["/home/ann/frames.tif", r"C:\scans\frames.tif", r"\\server\scans\frames.tif", "C:/frames.tif"],
)
def test_a_file_is_found_by_its_name_whatever_system_its_path_was_written_on(tmp_path, source):
    identity = ImageIdentity.of(SliceSource(NOISE, is_colour=False), "frames", source)
    with pytest.raises(ImageError, match=r"frames is not at .*/frames\.tif, or"):
        image_of(tmp_path / "record", identity, moved_to=tmp_path)
    tifffile.imwrite(tmp_path / "frames.tif", NOISE)
    found = image_of(tmp_path / "record", identity, moved_to=tmp_path)
    assert np.array_equal(found.data, NOISE)


@pytest.mark.skipif(os.name == "nt", reason="it parts folders there")
def test_a_backslash_may_be_part_of_a_name_where_it_parts_no_folders(tmp_path):
    path = tmp_path / r"mouse\1.tif"
    identity = ImageIdentity.of(SliceSource(NOISE, is_colour=False), "frames", str(path))
    tifffile.imwrite(path, NOISE)
    assert np.array_equal(image_of(tmp_path / "record", identity, tmp_path).data, NOISE)


def test_what_is_too_large_for_a_copy_is_named_with_its_size(keep, monkeypatch, tmp_path):
    monkeypatch.setattr(pixels, "LARGEST_COPY", NOISE.nbytes - 1)
    with pytest.raises(ImageError, match=r"no copy: It holds .* GiB, too much for a copy .*TIFF"):
        keep(NOISE)
    ((folder, identity),) = Project(tmp_path / "project").records()
    with pytest.raises(ImageError, match=r"from no file.*too much for a copy"):
        image_of(folder, identity)


def test_what_was_not_copied_for_another_reason_is_not_called_too_large(tmp_path):
    identity = ImageIdentity.of(SliceSource(NOISE, is_colour=False), "frames")
    with pytest.raises(ImageError, match="Open it once more") as raised:
        image_of(tmp_path, identity)
    assert "too" not in str(raised.value)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="none are longer here")
def test_pixels_that_tiff_does_not_hold_are_said_and_leave_nothing(keep, tmp_path):
    with pytest.raises(ImageError, match="could not be kept as TIFF"):
        keep(NOISE.astype(np.longdouble))
    assert not list((tmp_path / "project").rglob("*.tif*"))


def test_a_lazy_image_that_cannot_be_read_leaves_nothing(keep, tmp_path):
    def read(index):
        if index == (17,):
            raise ValueError("the server is gone")
        return np.full((16, 16), index[0], np.uint8) + NOISE[0]

    with pytest.raises(ImageError, match="the server is gone"):
        keep(LazyStack((60, 16, 16), np.uint8, read))
    assert not list((tmp_path / "project").rglob("*.tif*"))


def test_a_copy_that_nobody_wants_any_more_leaves_nothing(tmp_path):
    source = SliceSource(NOISE, is_colour=False)
    pixels.keep_copy(tmp_path, source, lambda: True)
    assert not list(tmp_path.iterdir())


MANY = np.random.default_rng(3).integers(0, 255, (100, 16, 16)).astype(np.uint8)


def lose_the_end(copy):
    copy.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])


def lose_all(copy):
    copy.write_bytes(b"")


def damage_a_slice(copy):
    with tifffile.TiffFile(copy) as file:  # one by which the image is not known
        at = file.pages[5].dataoffsets[0]
    content = bytearray(copy.read_bytes())
    content[at + 20 : at + 60] = bytes(40)
    copy.write_bytes(content)


def put_another_image(copy):
    tifffile.imwrite(copy, MANY[:50], compression="zlib")


DAMAGES = [lose_the_end, lose_all, damage_a_slice, put_another_image]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_said_and_made_anew_when_the_image_is_opened_again(keep, damage):
    folder = keep(MANY)
    damage(folder / COPY)
    with pytest.raises(ImageError, match=r"from no file, and its copy .* Open it once more"):
        again(folder)
    assert keep(MANY) == folder
    assert np.array_equal(again(folder), MANY)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_file_of_an_image_stands_in_for_a_damaged_copy(keep, tmp_path, damage):
    path = tmp_path / "frames.tif"
    folder = keep(MANY, path)
    damage(folder / COPY)
    with pytest.raises(ImageError, match=r"not at .*, and its copy"):
        again(folder)
    tifffile.imwrite(path, MANY)
    assert np.array_equal(again(folder), MANY)


def test_a_copy_that_is_whole_is_not_written_again(keep):
    colours = [np.repeat(NOISE[..., None], n, -1) for n in (3, 4)]
    greys = [MANY, NOISE[:1], NOISE[:, None], NOISE > 9, NOISE.astype(">i2"), NOISE.astype("f2")]
    for data in [*greys, *colours]:
        folder = keep(data, is_colour=data.shape[-1] < 5)
        before = (folder / COPY).stat()
        assert keep(data, is_colour=data.shape[-1] < 5) == folder
        after = (folder / COPY).stat()  # it was read since
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_a_file_brings_an_image_whose_axes_were_put_in_another_order(keep, tmp_path, order):
    volume = np.random.default_rng(0).integers(0, 255, (16, 16, 12)).astype(np.uint8)
    path = tmp_path / "volume.ome.tif"
    tifffile.imwrite(path, volume, metadata={"axes": "ZYX", "PhysicalSizeZ": 3.0})
    folder = keep(volume.transpose(order), path)
    assert not (folder / COPY).exists()
    np.testing.assert_array_equal(np.asarray(again(folder)), volume.transpose(order))
    geometry = image_of(folder, ImageIdentity.read(folder)).geometry
    assert geometry.axes == tuple("zyx"[axis] for axis in order)
    assert geometry.spacing[order.index(0)] == 3.0


def test_a_file_brings_a_colour_volume_whose_axes_were_put_in_another_order(keep, tmp_path):
    path = tmp_path / "colours.tif"
    colours = np.random.default_rng(2).integers(0, 255, (12, 20, 30, 3)).astype(np.uint8)
    tifffile.imwrite(path, colours, photometric="rgb")
    folder = keep(colours.transpose(2, 0, 1, 3), path, is_colour=True)
    assert not (folder / COPY).exists()
    np.testing.assert_array_equal(np.asarray(again(folder)), colours.transpose(2, 0, 1, 3))
