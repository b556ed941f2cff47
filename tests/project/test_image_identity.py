"""An image is known again by its pixels, and taken for no other one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_layers import ImageLayers
from napari_sam_adapter.project.pixels import COPY, keep_copy
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.volumes.slice_source import SliceSource


def identified(data, name="scan"):
    return ImageIdentity.of(SliceSource(data, is_colour=False), name)


def cut_out(seed, shape=(4, 12, 32, 32)):
    """A brain without its skull: the outer slices of each volume are black."""
    scan = np.zeros(shape, np.int16)
    noise = np.random.default_rng(seed)
    scan[:, 2:-2, 8:24, 8:24] = noise.integers(100, 900, (shape[0], shape[1] - 4, 16, 16))
    return scan


def as_in_an_earlier_version(folder):
    """Let a record say what records said when only three slices were looked at."""
    values = json.loads((folder / "image.json").read_text())
    del values["fine_digest"]
    (folder / "image.json").write_text(json.dumps(values))


class CountingReads:
    """A lazy image."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.n_reads = data, data.shape, data.dtype, 0

    def __getitem__(self, key):
        self.n_reads += 1
        return self.data[key]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.mark.parametrize("shape", [(2, 12, 32, 32), (4, 12, 32, 32), (34, 12, 32, 32)])
def test_scans_of_two_patients_whose_outer_slices_are_black_are_two_images(shape):
    one, two = identified(cut_out(1, shape)), identified(cut_out(2, shape))
    assert one.digest == two.digest
    assert not one.is_same(two)
    assert one.is_same(identified(cut_out(1, shape)))


def test_an_object_in_a_few_slices_of_an_empty_stack_is_found():
    stack = np.zeros((300, 16, 16), np.float32)
    stack[:, :4] = np.nan
    other = stack.copy()
    other[130:146, 8, 8] = 1
    assert not identified(stack).is_same(identified(other))


@pytest.mark.parametrize("position", range(7))
def test_of_a_short_stack_every_slice_counts(position):
    stack = np.random.default_rng(0).integers(0, 255, (7, 16, 16)).astype(np.uint8)
    other = stack.copy()
    other[position, 5, 5] += 1
    assert not identified(stack).is_same(identified(other))


def test_of_a_lazy_image_few_slices_are_read():
    noise = np.random.default_rng(0).integers(0, 255, (40, 50, 8, 8)).astype(np.uint8)
    for data, most in ((noise, 16), (np.zeros_like(noise), 64)):
        lazy = CountingReads(data)
        identified(lazy)
        assert lazy.n_reads == most


def test_the_slices_that_are_read_differ_on_every_slider_axis():
    data = np.zeros((2, 8, 5, 8, 8), np.uint8)
    for axis in range(3):
        for position in range(data.shape[axis]):
            other = data.copy()
            np.moveaxis(other, axis, 0)[position] = 1
            assert not identified(data).is_same(identified(other))


def test_the_order_of_bytes_in_memory_makes_no_other_image():
    data = np.random.default_rng(0).integers(0, 999, (5, 16, 16)).astype("<u2")
    assert identified(data.astype(">u2")).is_same(identified(data))


def test_once_a_record_of_an_earlier_version_was_opened_it_is_no_other_images(project):
    one, two = identified(cut_out(1)), identified(cut_out(2))
    record = project.open_record(one)
    record.close()
    as_in_an_earlier_version(record.folder)
    project.open_record(one).close()
    assert ImageIdentity.read(record.folder) == one
    assert project.folders_of(two) == []
    other = project.open_record(two)
    other.close()
    assert other.folder != record.folder


def test_the_copy_in_a_record_of_an_earlier_version_tells_whose_it_is(project):
    one, two = identified(cut_out(1)), identified(cut_out(2))
    record = project.open_record(one)
    record.close()
    keep_copy(record.folder, SliceSource(cut_out(1), is_colour=False))
    as_in_an_earlier_version(record.folder)
    project.tell_apart(two)
    assert project.folders_of(two) == []
    assert project.folders_of(one) == [record.folder]


def test_a_record_of_an_earlier_version_and_another_byte_order_is_found_by_its_copy(project):
    data = np.random.default_rng(0).integers(0, 999, (5, 16, 16)).astype(">u2")
    record = project.open_record(identified(data))
    record.close()
    keep_copy(record.folder, SliceSource(data, is_colour=False))
    as_in_an_earlier_version(record.folder)
    native = identified(data.astype("<u2"))
    project.tell_apart(identified(data))
    assert (record.folder / COPY).exists()
    assert project.folders_of(native) == [record.folder]


def test_boxes_and_points_stay_with_their_image(project):
    one, two = identified(cut_out(1)), identified(cut_out(2))
    drawn = ImageLayers(points=(((0.0, 0.0, 3.0, 4.0), "object"),))
    file = project.open_layers(one)
    file.put(drawn)
    file.close()
    assert not project.has_layers(two)
    assert project.has_layers(one)


def test_boxes_and_points_of_an_earlier_version_come_back_to_their_image(project):
    one, two = identified(cut_out(1)), identified(cut_out(2))
    project.open_record(one).close()
    drawn = ImageLayers(points=(((0.0, 0.0, 3.0, 4.0), "object"),))
    file = project.open_layers(replace(one, fine_digest=None))
    file.put(drawn)
    file.close()
    assert not project.has_layers(two)
    assert project.has_layers(one)
    again = project.open_layers(one)
    again.close()
    assert again.contents == drawn
    assert again.path.stem == one.fine_digest
