"""Scores against their definitions as sets of pixels."""

import math

import numpy as np
import pytest

from napari_sam_adapter.metrics import balanced_error_rate, dice, iou

EMPTY = np.zeros((4, 5), bool)
FULL = np.ones((4, 5), bool)


def pixels(mask: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.argwhere(mask)))


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_their_definition(seed):
    rng = np.random.default_rng(seed)
    mask, truth = rng.random((2, 6, 7)) < 0.4
    a, b = pixels(mask), pixels(truth)
    assert dice(mask, truth) == pytest.approx(2 * len(a & b) / (len(a) + len(b)))
    assert iou(mask, truth) == pytest.approx(len(a & b) / len(a | b))


@pytest.mark.parametrize("score", [dice, iou])
def test_two_empty_masks_agree_perfectly(score):
    assert score(EMPTY, EMPTY) == 1.0


@pytest.mark.parametrize("score", [dice, iou])
def test_a_mask_agrees_perfectly_with_itself(score):
    assert score(FULL, FULL) == 1.0


@pytest.mark.parametrize("score", [dice, iou])
@pytest.mark.parametrize(("mask", "truth"), [(EMPTY, FULL), (FULL, EMPTY)])
def test_an_empty_mask_and_a_full_one_do_not_agree_at_all(score, mask, truth):
    assert score(mask, truth) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_the_balanced_error_rate_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    mask, truth = rng.random((2, 6, 7)) < 0.4
    a, b = pixels(mask), pixels(truth)
    missed, invented = len(b - a) / len(b), len(a - b) / (42 - len(b))
    assert balanced_error_rate(mask, truth) == pytest.approx(100 * (missed + invented) / 2)


def test_the_balanced_error_rate_of_half_an_object_and_a_quarter_of_the_background():
    truth = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool)[:, :3]
    mask = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], bool)[:, :3]
    assert balanced_error_rate(mask, truth) == 100 * (1 / 2 + 1 / 4) / 2


def test_the_balanced_error_rate_is_zero_for_the_truth_and_100_for_its_opposite():
    truth = np.eye(4, dtype=bool)
    assert balanced_error_rate(truth, truth) == 0.0
    assert balanced_error_rate(~truth, truth) == 100.0


@pytest.mark.parametrize("truth", [EMPTY, FULL])
@pytest.mark.parametrize("mask", [EMPTY, FULL])
def test_there_is_no_balanced_error_rate_without_object_or_without_background(mask, truth):
    assert math.isnan(balanced_error_rate(mask, truth))
