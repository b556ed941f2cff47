"""Masks come back to the image they were made on, however it is opened, and to no other one."""

import numpy as np

from napari_sam_adapter.project.project import Project


def cut_out(seed):
    """A scan of four times, whose outer slices are black."""
    scan = np.zeros((4, 8, 64, 64), np.int16)
    scan[:, 2:-2, 10:50, 10:50] = np.random.default_rng(seed).integers(100, 900, (4, 4, 40, 40))
    return scan


def close(person):
    person.wait_for_record()
    person.dock.shutdown()
    person.viewer.layers.clear()


def opened(open_person, *image):
    person = open_person(*image)
    person.wait_for_record()
    return person


def draw_on(open_person, *image):
    """Make a masks layer for an image, paint a dab, and close both."""
    person = opened(open_person, *image)
    person.controller.layers.need()
    person.wait_for_record()
    person.labels.paint((*(1 for _ in range(person.labels.ndim - 2)), 20, 20), 2)
    person.settle()
    wanted = person.labels.data.copy()
    close(person)
    return wanted


def test_masks_of_one_patient_are_not_restored_onto_another_one(open_person, folder):
    wanted = draw_on(open_person, cut_out(1))
    other = opened(open_person, cut_out(2))
    assert other.controller.binding is None
    close(other)
    draw_on(open_person, cut_out(2))
    again = opened(open_person, cut_out(1))
    assert np.array_equal(again.labels.data, wanted)
    assert len(Project(folder).records()) == 2
