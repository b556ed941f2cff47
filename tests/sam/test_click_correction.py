"""Clicks are heeded: by their own pixel, by pixels like it, and by no others."""

import numpy as np
import pytest
import torch

from napari_sam_adapter.sam.click_correction import CLICK_LOGIT, heed_clicks
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.sam.prompts import Prompts

SIDE = 64
GEOMETRY = InputGeometry.fit((SIDE, SIDE), SIDE)


@pytest.fixture
def features() -> torch.Tensor:
    """Return features (1, 8, 16, 16) whose left and right halves are of two kinds."""
    generator = torch.Generator().manual_seed(0)
    halves = torch.randn(1, 8, 1, 2, generator=generator)
    return 5 * halves.repeat_interleave(8, dim=3).repeat(1, 1, 16, 1)


def heeded(features, logit, *clicks) -> np.ndarray:
    logits = torch.full((1, 1, SIDE, SIDE), float(logit))
    points = torch.tensor([[x, y] for x, y, _ in clicks], dtype=torch.float32)
    is_object = torch.tensor([bool(what) for _, _, what in clicks])
    return heed_clicks(logits, features, points, is_object, GEOMETRY)[0, 0].numpy()


def test_a_click_turns_the_pixels_that_look_like_its_own(features):
    found = heeded(features, -3, (16, 32, True)) > 0
    assert found[32, 16]
    assert found[24:40, 8:24].all(), "the same half, near the click"
    assert not found[:, 40:].any(), "the other half looks different"


def test_a_click_on_the_background_takes_away(features):
    found = heeded(features, 3, (48, 32, False)) > 0
    assert not found[32, 48]
    assert found[:, :24].all()


def test_pixels_far_from_the_click_are_left_alone(features):
    found = heeded(features, -6, (2, 2, True))
    assert found[2, 2] > 0
    assert found[62, 2] < -4


def test_a_click_that_is_obeyed_already_changes_nothing(features):
    found = heeded(features, 2 * CLICK_LOGIT, (16, 32, True), (50, 10, True))
    np.testing.assert_array_equal(found, 2 * CLICK_LOGIT)


def test_an_obeyed_click_holds_others_back_where_it_is(features):
    alone = heeded(features, -3, (16, 32, True))
    held = heeded(features, -3, (16, 32, True), (16, 48, False))
    assert alone[48, 16] > held[48, 16]
    assert held[48, 16] < 0 < held[32, 16]


def test_two_clicks_that_contradict_each_other_end_undecided(features):
    found = heeded(features, 0, (16, 32, True), (16, 32, False))
    assert np.abs(found).max() < 0.1


def test_features_without_any_difference_spread_by_distance_alone():
    found = heeded(torch.zeros(1, 8, 16, 16), -1, (32, 32, True))
    assert np.isfinite(found).all()
    assert found[32, 32] > 0 > found[0, 0]


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (8, 1000), (1000, 8)])
@pytest.mark.parametrize("views", [1, 2])
def test_every_click_on_a_slice_is_obeyed(tuned_sam, shape, views):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    free = predict_masks(tuned_sam, image, views=views).mask
    row, column = shape[0] // 2, shape[1] // 3
    click = Prompts(
        points=np.array([[column, row]], np.float32), is_object=np.array([not free[row, column]])
    )
    found = predict_masks(tuned_sam, image, click, views).mask
    assert found[row, column] != free[row, column]
