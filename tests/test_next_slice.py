"""Which slice is offered next."""

import numpy as np
import pytest

from napari_sam_adapter.annotations import SliceTracker
from napari_sam_adapter.next_slice import next_slice, uncertainty_of, why


def stack(*values):
    return {(z,): value for z, value in enumerate(values)}


def chosen(uncertainty, taught=(), **options):
    found = next_slice(uncertainty, taught, **options)
    return None if found is None else found.index


def test_the_least_sure_slice_is_chosen_where_nothing_is_taught():
    assert chosen(stack(0.1, 0.2, 0.7, 0.3)) == (2,)


def test_a_slice_taught_is_never_offered_again():
    assert chosen(stack(0.1, 0.9, 0.2), [(1,)], width=0) == (2,)


def test_beside_a_slice_taught_a_sure_one_far_away_is_worth_more():
    unsure = dict.fromkeys(((z,) for z in range(40)), 0.3) | {(21,): 0.5}
    assert chosen(unsure, [(20,)], width=0) == (21,)
    assert chosen(unsure, [(20,)]) in [(0,), (39,), (1,), (38,)]


def test_the_discount_narrows_as_more_slices_are_taught():
    unsure = dict.fromkeys(((z,) for z in range(40)), 0.3) | {(23,): 0.6}
    assert chosen(unsure, [(20,)]) != (23,)
    assert chosen(unsure, [*((z,) for z in range(0, 40, 5)), (39,)]) == (23,)


def test_slices_of_another_volume_are_not_near():
    unsure = {(v, z): 0.3 for v in range(2) for z in range(20)}
    assert chosen(unsure, [(0, 10)])[0] == 1


def test_without_any_uncertainty_the_middle_of_the_largest_gap_is_chosen():
    nothing = stack(*[None] * 15)
    taught = []
    for wanted in (7, 3, 11, 1, 5):
        found = chosen(nothing, taught)
        assert found == (wanted,)
        taught.append(found)


def test_a_slice_that_was_never_predicted_counts_like_the_mean_of_the_others():
    assert chosen(stack(0.2, 0.6, None, 0.2), width=0) == (1,)
    found = next_slice(stack(0.2, 0.2, None, 0.8), [(3,)], width=0)
    assert found.index == (2,)
    assert found.uncertainty is None


def test_slices_passed_over_are_left_out_until_none_is_left():
    unsure = stack(0.1, 0.5, 0.3)
    assert chosen(unsure, passed=[(1,)]) == (2,)
    assert chosen(unsure, [(0,)], passed=[(1,), (2,)]) is None


def test_when_every_slice_is_taught_there_is_none():
    assert chosen(stack(0.4, 0.4), [(0,), (1,)]) is None
    assert chosen({}) is None


def test_a_single_picture_is_its_own_next_slice():
    assert chosen({(): 0.4}) == ()
    assert chosen({(): 0.4}, [()]) is None


def test_the_reason_says_how_sure_and_how_far():
    assert why(next_slice(stack(0.38, 0.1), ())) == (
        "the adapter is least sure here (confidence 62%)"
    )
    unsure = dict.fromkeys(((z,) for z in range(40)), 0.3) | {(21,): 0.5}
    assert why(next_slice(unsure, [(20,)])) == (
        "the adapter is unsure here (confidence 70%), and the nearest corrected one is 20 slices "
        "away"
    )
    assert why(next_slice(stack(None, None), ())) == (
        "how sure the model is here is not known, and nothing near it is corrected"
    )
    assert "1 slice away" in why(next_slice(stack(None, None), [(0,)]))


@pytest.fixture
def tracker():
    return SliceTracker((8, 8))


def test_only_predicted_slices_that_are_not_taught_have_an_uncertainty(tracker):
    labels = np.zeros((4, 8, 8), np.uint8)
    for z, sure in ((0, 0.9), (1, 0.6), (2, None)):
        change = tracker.plan_prediction((z,), labels[z], np.eye(8, dtype=np.uint8))
        labels[z].ravel()[change.positions] = change.new
        tracker.prediction_written((z,), labels[z], change, "an adapter", sure)
    tracker.set_accepted((1,), labels[1], True)
    unsure = uncertainty_of(tracker, [(z,) for z in range(4)])
    assert unsure == {(0,): pytest.approx(0.1), (1,): None, (2,): None, (3,): None}
