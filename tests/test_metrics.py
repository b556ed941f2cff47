"""Scores against their definitions as sets of pixels."""

import numpy as np
import pytest

from napari_sam_adapter.metrics import dice, iou

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
