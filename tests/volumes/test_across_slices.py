"""Smoothing across slices."""

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.across_slices import kernel_radius, smooth_across


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(12, 2, 5, 7)).astype(np.float32)


def smoothed(volume, width: float, spacing: float = 1.0) -> np.ndarray:
    return np.stack(list(smooth_across(volume, width, spacing)))


def test_a_width_of_zero_changes_nothing(volume):
    np.testing.assert_array_equal(smoothed(volume, 0), volume)


def test_slices_that_agree_stay_as_they_are_up_to_the_ends():
    volume = np.full((6, 1, 4, 4), 2.5, np.float32)
    np.testing.assert_allclose(smoothed(volume, 1.5), volume, rtol=1e-6)


def test_it_is_a_gaussian_filter_that_repeats_the_ends(volume):
    expected = ndimage.gaussian_filter1d(volume, 1.0, axis=0, truncate=3.0, mode="nearest")
    np.testing.assert_allclose(smoothed(volume, 1.0), expected, atol=1e-6)


def test_the_width_has_the_unit_of_the_spacing(volume):
    np.testing.assert_allclose(smoothed(volume, 50.0, 50.0), smoothed(volume, 1.0), atol=1e-6)


def test_slices_far_apart_hardly_change_each_other(volume):
    np.testing.assert_allclose(smoothed(volume, 1.0, spacing=5.0), volume, atol=1e-4)


def test_a_slice_comes_when_as_many_more_as_the_radius_were_read(volume):
    read = []

    def source():
        for number, one in enumerate(volume):
            read.append(number)
            yield one

    radius = kernel_radius(0.75)
    assert radius == 3
    for number, _ in enumerate(smooth_across(source(), 0.75)):
        assert read[-1] == min(number + radius, len(volume) - 1)
    assert number == len(volume) - 1


def test_a_slice_that_was_not_predicted_has_no_say_and_stays_unpredicted(volume):
    holed = [None if z == 5 else one for z, one in enumerate(volume)]
    found = list(smooth_across(holed, 1.0))
    assert [one is None for one in found] == [one is None for one in holed]
    zeroed, there = volume.copy(), np.ones(volume.shape, np.float32)
    zeroed[5], there[5] = 0, 0
    kernel = np.exp(-0.5 * np.arange(-3, 4) ** 2.0)
    sums = [ndimage.convolve1d(one, kernel, axis=0, mode="constant") for one in (zeroed, there)]
    np.testing.assert_allclose(found[4], (sums[0] / sums[1])[4], atol=1e-6)


def test_fewer_slices_than_the_radius_are_smoothed_too(volume):
    found = smoothed(volume[:2], 4.0)
    assert found.shape == volume[:2].shape
    assert np.ptp(found, axis=0).max() < np.ptp(volume[:2], axis=0).max()
    assert list(smooth_across([], 4.0)) == []


def test_what_was_given_is_not_changed(volume):
    before = volume.copy()
    smoothed(volume, 1.0)
    np.testing.assert_array_equal(volume, before)


@pytest.mark.parametrize(
    ("width", "spacing", "message"),
    [(-1, 1, "width"), (np.nan, 1, "width"), (1, 0, "distance"), (1, -2, "distance")],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(width, spacing, message):
    with pytest.raises(ImageError, match=message):
        smooth_across(iter(()), width, spacing)


def test_slices_of_different_shapes_are_refused():
    with pytest.raises(ImageError, match="alike"):
        list(smooth_across([np.zeros((1, 4, 4)), np.zeros((1, 4, 5))], 1.0))
