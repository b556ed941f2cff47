"""Slices of arrays, and the objects in them."""

import numpy as np

from napari_sam_adapter.volume import connected_objects


def test_objects_that_touch_at_a_corner_are_one_and_others_are_counted():
    labels = np.zeros((2, 6, 8), np.uint8)
    labels[0, 0, 0] = labels[0, 1, 1] = 1
    labels[0, 4:, 5:] = 1
    labels[1, 2, 2] = 7
    found = connected_objects(labels)
    assert found.dtype == np.uint16
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
