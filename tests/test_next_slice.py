"""Which slice is offered next."""

import math

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.next_slice import next_slice, slices_learned_from, uncertainty_of, why
from napari_sam_adapter.volumes.depth import Depth


def stack(*values):
    return {(z,): value for z, value in enumerate(values)}


def chosen(uncertainty, taught=(), **options):
    found = next_slice(uncertainty, taught, **options)
    return None if found is None else found.index


def test_a_well_trained_model_decides_by_its_uncertainty_where_all_are_as_far():
    assert chosen(stack(0.1, 0.7, 0.2, 0.3), learned_from=100, width=0) == (1,)


def test_a_model_that_has_learned_from_nothing_is_not_asked():
    assert chosen(stack(0.1, 0.2, 0.1, 0.1, 0.9)) == (2,)


def test_the_more_a_model_has_learned_the_more_its_uncertainty_counts():
    unsure = dict.fromkeys(((z,) for z in range(41)), 0.2) | {(12,): 0.5}
    assert chosen(unsure, [(20,)], learned_from=1) in [(9,), (10,), (30,), (31,)]
    assert chosen(unsure, [(20,)], learned_from=50) == (12,)


def test_a_slice_taught_is_never_offered_again():
    assert chosen(stack(0.1, 0.9, 0.2), [(1,)], width=0) == (2,)


def test_beside_a_slice_taught_a_sure_one_far_away_is_worth_more():
    unsure = dict.fromkeys(((z,) for z in range(40)), 0.3) | {(21,): 0.5}
    assert chosen(unsure, [(20,)], learned_from=100, width=0) == (21,)
    assert chosen(unsure, [(20,)], learned_from=100) == (9,)


def test_the_discount_narrows_as_more_slices_are_taught():
    unsure = dict.fromkeys(((z,) for z in range(40)), 0.3) | {(23,): 0.6}
    assert chosen(unsure, [(20,)]) != (23,)
    assert chosen(unsure, [*((z,) for z in range(0, 40, 5)), (39,)]) == (23,)


def test_slices_of_another_volume_are_not_near():
    unsure = {(v, z): 0.3 for v in range(2) for z in range(20)}
    assert chosen(unsure, [(0, 10)])[0] == 1


def test_distances_count_along_the_depth_and_not_across_channels():
    unsure = {(z, c): 0.3 for z in range(21) for c in range(2)}
    taught = [(0, 0), (20, 0), *((z, 1) for z in range(21))]
    assert chosen(unsure, taught, depth=Depth(0)) == (10, 0)
    found = next_slice(unsure, taught, depth=Depth(0))
    assert found.distance == 10


def test_without_depth_no_slice_is_near_another():
    found = next_slice(stack(0.3, 0.3, 0.3), [(1,)], depth=Depth(None))
    assert math.isinf(found.distance)


def test_without_any_uncertainty_the_middle_of_the_largest_gap_is_chosen():
    nothing = stack(*[None] * 15)
    taught = []
    for wanted in (7, 3, 11, 1, 5):
        found = chosen(nothing, taught)
        assert found == (wanted,)
        taught.append(found)


def test_a_slice_that_was_never_predicted_counts_like_the_mean_of_the_others():
    assert chosen(stack(0.2, 0.6, None, 0.2), learned_from=100, width=0) == (1,)
    found = next_slice(stack(0.2, 0.1, None, 0.3, 0.1), [(3,)], learned_from=100, width=0)
    assert found.index == (0,)
    found = next_slice(stack(0.1, 0.1, None, 0.9), [(3,)], learned_from=100, width=0.1)
    assert found.index == (1,)
    assert next_slice(stack(None, 0.1), [(1,)]).uncertainty is None


def test_slices_passed_over_are_left_out_until_none_is_left():
    unsure = stack(0.1, 0.5, 0.3)
    assert chosen(unsure, passed=[(1,)], learned_from=100) == (2,)
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
    unsure = dict.fromkeys(((z,) for z in range(40)), 0.3) | {(21,): 0.5, (9,): 0.4}
    assert why(next_slice(unsure, [(20,)])) == (
        "the adapter is unsure here (confidence 60%), and the nearest corrected one is 11 slices "
        "away"
    )
    assert why(next_slice(unsure | {(9,): 0.29}, [(20,)])) == (
        "the nearest corrected one is 10 slices away (confidence 70%)"
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


def test_an_adapter_tells_from_how_many_slices_it_learned():
    assert slices_learned_from(None) == 0
    assert slices_learned_from({"trained_on": ["a", "b", "c"]}) == 3
    assert slices_learned_from({}) > 50
