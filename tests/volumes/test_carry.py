"""What corrected slices say of their neighbours."""

import numpy as np
import pytest

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.carry import (
    STRENGTH,
    carried_prior,
    neighbours,
    prior_from_neighbours,
)


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((40, 50), np.uint8)
    labels[10:30, 10:25], labels[10:30, 25:40] = 1, 2
    return labels


def test_each_class_is_expected_where_the_neighbour_shows_it(labels):
    prior = carried_prior(labels, 2)
    assert prior.dtype == np.float32
    for k in (0, 1):
        np.testing.assert_array_equal(prior[k] > 0, labels == k + 1)
    assert np.abs(prior).max() <= STRENGTH
    assert prior[0, 20, 17] > 0.99 * STRENGTH
    assert prior[0, 0, 0] < -0.99 * STRENGTH


def test_a_neighbour_further_away_says_less_and_is_vaguer_about_borders(labels):
    near, far = (carried_prior(labels, 2, n) for n in (1, 4))
    assert (np.abs(far) < np.abs(near)).all()
    beside_the_border = np.abs(far[0, 20, 9]) / np.abs(near[0, 20, 9])
    deep_inside = far[0, 20, 17] / near[0, 20, 17]
    assert beside_the_border < deep_inside


def test_thick_slices_are_vaguer_about_borders(labels):
    thin, thick = (carried_prior(labels, 2, spacing=(z, 1, 1)) for z in (1.0, 5.0))
    assert thick[0, 20, 11] < thin[0, 20, 11]


def test_only_the_ratio_of_the_spacing_matters(labels):
    small, large = (carried_prior(labels, 2, spacing=(5 * u, u, u)) for u in (1, 10))
    np.testing.assert_allclose(small, large, rtol=1e-6)


def test_a_class_that_the_neighbour_does_not_show_is_held_back_but_not_forbidden(labels):
    prior = carried_prior(labels, 3)
    np.testing.assert_allclose(prior[2], -STRENGTH)


def test_a_slice_between_two_corrected_ones_hears_both(labels):
    shifted = np.roll(labels, 3, axis=1)
    known = {0: 0 * labels, 4: labels, 8: shifted, 20: 0 * labels}
    both = prior_from_neighbours(known, 5, 2)
    np.testing.assert_allclose(
        both, carried_prior(labels, 2, 1) + carried_prior(shifted, 2, 3), rtol=1e-6
    )


def test_a_slice_beyond_the_corrected_ones_hears_the_last(labels):
    prior = prior_from_neighbours({2: labels}, 4, 2)
    np.testing.assert_array_equal(prior, carried_prior(labels, 2, 2))


def test_neighbours_are_the_nearest_on_either_side_and_never_the_slice_itself():
    assert neighbours([1, 9, 4, 6], 6) == (4, 9)
    assert neighbours([1, 4], 6) == (4,)
    assert neighbours([7], 6) == (7,)
    assert neighbours([6], 6) == ()


def test_without_any_other_corrected_slice_it_says_so(labels):
    with pytest.raises(ImageError, match="No other slice is corrected"):
        prior_from_neighbours({3: labels}, 3, 2)


@pytest.mark.parametrize(
    ("shape", "n_slices", "spacing", "message"),
    [
        ((4, 8, 8), 1, (1, 1, 1), "must be"),
        ((8, 8), 0, (1, 1, 1), "at least one"),
        ((8, 8), 1, (0, 1, 1), "positive"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(shape, n_slices, spacing, message):
    with pytest.raises(ImageError, match=message):
        carried_prior(np.zeros(shape, int), 1, n_slices, spacing)
