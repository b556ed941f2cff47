"""Arrays whose slices are read when they are looked at."""

import itertools

import dask.array as da
import numpy as np
import pytest

from napari_sam_adapter.data.lazy import LazyStack, stack_of, transposed
from napari_sam_adapter.errors import ImageError

VOLUME = np.arange(3 * 4 * 8 * 9, dtype=np.int16).reshape(3, 4, 8, 9)
COLOURS = np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3)


class Recorder:
    """Reads slices of an array and remembers which."""

    def __init__(self, array):
        self.array, self.asked = array, []

    def __call__(self, index):
        self.asked.append(index)
        return self.array[index]


@pytest.mark.parametrize(
    "key",
    [
        1,
        -1,
        (2, 3),
        (np.int64(2), slice(None)),
        slice(1, 3),
        (slice(None, None, 2), -1, slice(2, 5)),
        (Ellipsis, 4),
        (1, Ellipsis, slice(0, 3)),
        (slice(None), 2, 5, 6),
        (0, 0, 0, 0),
        slice(2, 2),
        (np.array([0, 2]),),
        (None, 1),
        (slice(None), slice(None), slice(None), slice(None, None, -1)),
    ],
    ids=str,
)
def test_any_index_gives_what_numpy_gives(key):
    found = LazyStack(VOLUME.shape, VOLUME.dtype, Recorder(VOLUME))[key]
    np.testing.assert_array_equal(found, VOLUME[key])
    assert found.shape == VOLUME[key].shape


def test_another_type_is_taken_on_by_each_slice_that_is_read():
    read = Recorder(VOLUME)
    stack = LazyStack(VOLUME.shape, VOLUME.dtype, read).astype(np.float64)
    assert (stack.dtype, read.asked) == (np.float64, [])
    found = stack[1]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, VOLUME[1])


def test_only_the_slices_that_are_asked_for_are_read():
    read = Recorder(VOLUME)
    stack = LazyStack(VOLUME.shape, VOLUME.dtype, read)
    assert (stack.shape, stack.ndim, stack.size, len(stack)) == (VOLUME.shape, 4, VOLUME.size, 3)
    assert read.asked == []
    stack[1, 2, 3:5, 4:6]
    assert read.asked == [(1, 2)]


@pytest.mark.parametrize(
    ("key", "is_part"),
    [
        ((1, 2, slice(3, 5), slice(4, 6)), True),
        ((slice(None), -1, slice(-3, None), slice(None)), True),
        ((1, 2, slice(0, 99), slice(None)), False),
        ((1, 2, slice(None, None, 2)), False),
        ((1, 2, 5), False),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_colour", [False, True])
def test_a_window_is_read_by_itself_where_that_is_less_than_the_slice(key, is_part, is_colour):
    volume = np.stack([VOLUME] * 3, -1) if is_colour else VOLUME
    whole, parts = Recorder(volume), []

    def read_part(index, window):
        parts.append(index)
        return volume[index][window]

    stack = LazyStack(
        volume.shape, volume.dtype, whole, is_colour=is_colour, read_part=read_part
    ).astype(np.float32)
    key = (*key, Ellipsis, 1) if is_colour else key
    np.testing.assert_array_equal(stack[key], volume[key])
    assert bool(parts) == is_part
    assert bool(whole.asked) != is_part


def test_it_becomes_an_array_and_is_iterated():
    stack = LazyStack(VOLUME.shape, VOLUME.dtype, Recorder(VOLUME))
    np.testing.assert_array_equal(np.asarray(stack), VOLUME)
    assert np.asarray(stack, np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)


def test_colours_belong_to_their_slice():
    colours = np.arange(3 * 8 * 9 * 3, dtype=np.uint8).reshape(3, 8, 9, 3)
    stack = LazyStack(colours.shape, colours.dtype, Recorder(colours), is_colour=True)
    np.testing.assert_array_equal(stack[1, ..., 0], colours[1, ..., 0])


def test_a_single_slice_has_no_slider():
    stack = LazyStack((8, 9), VOLUME.dtype, lambda index: VOLUME[0, 0])
    np.testing.assert_array_equal(stack[2:4], VOLUME[0, 0, 2:4])
    np.testing.assert_array_equal(np.asarray(stack), VOLUME[0, 0])


@pytest.mark.parametrize("key", [3, (0, 4), (0, 0, 0, 0, 0)])
def test_an_index_beyond_the_end_is_an_index_error(key):
    with pytest.raises(IndexError):
        LazyStack(VOLUME.shape, VOLUME.dtype, Recorder(VOLUME))[key]


def test_a_slice_that_cannot_be_read_is_named():
    def read(index):
        raise OSError("the disk is gone")

    with pytest.raises(
        ImageError, match=r"ct\.nii, slice \(2, 1\), could not be read: the disk is gone"
    ):
        stack_of("ct.nii", VOLUME.shape, VOLUME.dtype, read)[2, 1]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_axes_in_another_order_read_no_slice_more_than_they_need(order):
    record = Recorder(VOLUME)
    stack = LazyStack(VOLUME.shape, VOLUME.dtype, record)
    other = transposed(stack, order)
    assert not record.asked
    np.testing.assert_array_equal(other[1, 2], VOLUME.transpose(order)[1, 2])
    n_needed = np.prod([VOLUME.shape[axis] for axis in order[2:] if axis < 2])
    assert len(record.asked) == n_needed
    np.testing.assert_array_equal(np.asarray(other), VOLUME.transpose(order))
    assert np.shares_memory(transposed(VOLUME, order), VOLUME)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_colours_stay_the_last_axis_in_any_order_of_the_others(order):
    expected = COLOURS.transpose((*order, 3))
    lazy = LazyStack(COLOURS.shape, COLOURS.dtype, lambda index: COLOURS[index], is_colour=True)
    for kind in (lazy, COLOURS, da.from_array(COLOURS)):
        other = transposed(kind, order)
        assert other.shape == expected.shape
        np.testing.assert_array_equal(other[1], expected[1])
        np.testing.assert_array_equal(other[1, 1:, :2], expected[1, 1:, :2])
