"""Slices of arrays, and the objects in them."""

import numpy as np
import pytest

from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.volumes.slice_source import SliceSource, connected_objects


def test_alpha_is_no_part_of_a_slice():
    colours = np.random.default_rng(0).integers(0, 255, (3, 9, 10, 3), np.uint8)
    with_alpha = np.concatenate([colours, np.full((3, 9, 10, 1), 255, np.uint8)], -1)
    source = SliceSource(with_alpha, is_colour=True)
    np.testing.assert_array_equal(source.read((1,)), colours[1])
    window = slice(2, 5), slice(3, 8)
    np.testing.assert_array_equal(source.read_part((1,), window), colours[1][window])
    np.testing.assert_array_equal(source.read_stored((1,)), with_alpha[1])
    mask = np.zeros((9, 10), bool)
    digests = {TrainingSample(one, mask, "").digest for one in (source.read((1,)), colours[1])}
    assert len(digests) == 1, "what is learned from is known again, whoever has opened the file"


def test_objects_that_touch_at_a_corner_are_one_and_others_are_counted():
    labels = np.zeros((2, 6, 8), np.uint8)
    labels[0, 0, 0] = labels[0, 1, 1] = 1
    labels[0, 4:, 5:] = 1
    labels[1, 2, 2] = 7
    found = connected_objects(labels)
    assert found[0, 0, 0] == found[0, 1, 1] == 1
    assert found[0, 5, 6] == 2
    assert found[1].max() == 1
    np.testing.assert_array_equal(found != 0, labels != 0)


def test_objects_of_two_classes_that_touch_are_two():
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3, 1:3], labels[1:3, 3:5], labels[5, 7] = 2, 1, 2
    found = connected_objects(labels)
    assert found[1, 3] == 1
    assert (found[1, 1], found[5, 7]) == (2, 3)
    np.testing.assert_array_equal(found != 0, labels != 0)


def test_more_objects_than_16_bits_count_have_a_number_each():
    labels = np.zeros((600, 600), np.uint8)
    labels[::2, ::2] = 1
    found = connected_objects(labels)
    np.testing.assert_array_equal(np.sort(found[::2, ::2], axis=None), np.arange(1, 300**2 + 1))


@pytest.mark.parametrize(
    ("shape", "axes", "index", "name"),
    [
        ((), "", (), "the image"),
        ((9,), "t", (7,), "slice 7"),
        ((3, 9), "tz", (2, 7), "slice t 2, z 7"),
        ((3, 9), "", (2, 7), "slice (2, 7)"),
        ((3, 9), ("-4", "z"), (2, 7), "slice (2, 7)"),
        ((3, 9), "?z", (2, 7), "slice (2, 7)"),
        ((3, 1, 9), "tcz", (2, 0, 7), "slice t 2, z 7"),
        ((1, 9), "tz", (0, 7), "slice 7"),
        ((1,), "z", (0,), "the image"),
    ],
)
def test_slices_are_called_by_the_sliders_that_move(shape, axes, index, name):
    data = np.zeros((*shape, 8, 8), np.uint8)
    source = SliceSource(data, is_colour=False, axes=(*axes, "y", "x"))
    assert source.describe(index) == name
