"""Slices that are read before it is their turn."""

import threading

import numpy as np
import pytest

from napari_sam_adapter.data.lazy import stack_of
from napari_sam_adapter.data.slices_ahead import SlicesAhead
from napari_sam_adapter.errors import ImageError

VOLUME = np.arange(2 * 3 * 8 * 9, dtype=np.int16).reshape(2, 3, 8, 9)


class Disk:
    """Reads slices of a volume; remembers which, and tells when one was read."""

    def __init__(self, broken=()):
        self.asked, self.threads, self.broken = [], set(), broken
        self.was_read = {index: threading.Event() for index in np.ndindex(2, 3)}

    def __call__(self, index):
        self.asked.append(index)
        self.threads.add(threading.current_thread())
        self.was_read[index].set()
        if index in self.broken:
            raise OSError("the disk is gone")
        return VOLUME[index]


def opened(disk, **options):
    data = stack_of("ct.nii", VOLUME.shape, VOLUME.dtype, disk)
    return SlicesAhead(data, is_colour=False, **options)


def test_the_next_slice_is_read_while_one_is_worked_on():
    disk = Disk()
    with opened(disk) as source:
        source.read((0, 0))
        assert disk.was_read[0, 1].wait(10)
    assert threading.current_thread() not in disk.threads


def test_all_slices_are_read_once_and_are_what_they_are():
    disk = Disk()
    with opened(disk) as source:
        for index in source.indices():
            np.testing.assert_array_equal(source.read(index), VOLUME[index])
    assert disk.asked == list(np.ndindex(2, 3))


def test_a_slice_out_of_turn_is_read_all_the_same():
    disk = Disk()
    with opened(disk) as source:
        for index in [(0, 0), (1, 2), (0, 1), (0, 1), (0, 2)]:
            np.testing.assert_array_equal(source.read(index), VOLUME[index])


def test_only_the_slices_that_have_a_turn_are_read_ahead():
    disk = Disk()
    with opened(disk, turns=[(0, 1), (1, 1)]) as source:
        for index in [(0, 1), (1, 1)]:
            np.testing.assert_array_equal(source.read(index), VOLUME[index])
    assert disk.asked == [(0, 1), (1, 1)]


def test_a_slice_that_cannot_be_read_is_named_at_its_turn_and_the_next_ones_follow():
    with opened(Disk(broken=[(0, 1)])) as source:
        source.read((0, 0))
        with pytest.raises(
            ImageError, match=r"ct\.nii, slice \(0, 1\), could not be read: the disk"
        ):
            source.read((0, 1))
        np.testing.assert_array_equal(source.read((0, 2)), VOLUME[0, 2])


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    with opened(Disk()) as source:
        source.read((0, 0))
    assert threading.active_count() == before
