"""Means and their intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from napari_sam_adapter.metrics.bootstrap import bootstrap_mean

SCORES = np.random.default_rng(4).beta(8, 2, size=60)


def test_the_interval_is_scipys():
    found = bootstrap_mean(SCORES)
    expected = stats.bootstrap(
        (SCORES,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.05 * width)
    assert found.high == pytest.approx(expected.high, abs=0.05 * width)
    assert found.mean == pytest.approx(SCORES.mean())
    assert found.n == 60


def test_half_of_a_hundred_images_right_means_half_give_or_take_a_tenth():
    # The binomial distribution's own interval: 40 to 60 of 100.
    found = bootstrap_mean([0.0] * 50 + [1.0] * 50)
    assert (found.low, found.mean, found.high) == (
        pytest.approx(0.40, abs=0.011),
        0.5,
        pytest.approx(0.60, abs=0.011),
    )


def test_about_95_of_100_intervals_hold_the_truth():
    rng = np.random.default_rng(0)
    intervals = [bootstrap_mean(rng.normal(3, 1, size=50), seed=i) for i in range(300)]
    assert 0.91 <= np.mean([one.low <= 3 <= one.high for one in intervals]) <= 0.98


def test_more_confidence_needs_a_wider_interval():
    narrow, wide = bootstrap_mean(SCORES, confidence=0.5), bootstrap_mean(SCORES, confidence=0.99)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_the_same_scores_get_the_same_interval():
    assert bootstrap_mean(SCORES) == bootstrap_mean(SCORES)
    assert bootstrap_mean(SCORES) != bootstrap_mean(SCORES, seed=1)


def test_images_without_a_score_are_left_out_and_not_counted():
    with_gaps = [math.nan, *SCORES[:9], math.nan]
    assert bootstrap_mean(with_gaps) == bootstrap_mean(SCORES[:9])


def test_equal_scores_leave_no_doubt():
    found = bootstrap_mean([0.5] * 7)
    assert (found.low, found.mean, found.high) == (0.5, 0.5, 0.5)


def test_one_image_has_a_mean_but_no_interval():
    found = bootstrap_mean([0.7, math.nan])
    assert (found.mean, found.n) == (0.7, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_no_image_has_no_mean():
    found = bootstrap_mean([math.nan])
    assert math.isnan(found.mean)
    assert found.n == 0
