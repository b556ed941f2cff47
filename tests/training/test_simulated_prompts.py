"""Simulated prompts are what a person might draw, and training with them keeps prompts working."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam_adapter.metrics import dice
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.embedding_noise import blurred_embedding
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.simulated_prompts import (
    BOX_JITTER,
    MAX_BOXES,
    simulate_boxes,
    simulate_clicks,
)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def two_objects() -> np.ndarray:
    mask = np.zeros((40, 50), bool)
    mask[5:15, 10:30] = True
    mask[25:35, 30:38] = True
    return mask


def test_each_object_gets_a_box_about_as_large_as_itself(two_objects, rng):
    exact = np.array([[10, 5, 29, 14], [30, 25, 37, 34]])
    sides = np.array([[20, 10, 20, 10], [8, 10, 8, 10]])
    seen = set()
    for _ in range(20):
        prompts, others = simulate_boxes(two_objects, 2, rng)
        assert prompts.class_index == 2
        assert not np.isin(prompts.boxes, exact).all()
        for box in prompts.boxes:
            ((which,),) = np.nonzero((np.abs(box - exact) <= BOX_JITTER * sides + 1e-4).all(1))
            left, top, right, bottom = exact[which]
            assert not others[top : bottom + 1, left : right + 1].any()
            seen.add((len(prompts.boxes), which))
        n_left = 0 if len(prompts.boxes) == 2 else 1
        assert ndimage.label(others & two_objects)[1] == n_left
    assert seen == {(1, 0), (1, 1), (2, 0), (2, 1)}, "also one of two is asked for, and then alone"


def test_only_the_largest_of_many_objects_get_a_box(rng):
    mask = np.zeros((8, 64), bool)
    mask[2:5, ::6] = True
    mask[1:7, 30:33] = True
    found = [simulate_boxes(mask, 0, rng)[0].boxes for _ in range(20)]
    assert {len(boxes) for boxes in found} == set(range(1, MAX_BOXES + 1))
    full = next(boxes for boxes in found if len(boxes) == MAX_BOXES)
    assert any(np.allclose(box, [30, 1, 32, 6], atol=0.5) for box in full)


def test_clicks_lie_where_the_prediction_is_wrong_and_say_what_is_true(two_objects, rng):
    predicted = np.zeros_like(two_objects)
    predicted[5:15, 10:20] = True
    predicted[0:3, 0:3] = True
    prompts = simulate_clicks(two_objects, predicted, 0, rng, 60)
    for (x, y), is_object in zip(prompts.points.astype(int), prompts.is_object, strict=True):
        assert two_objects[y, x] != predicted[y, x]
        assert is_object == two_objects[y, x]
    assert prompts.is_object.any()
    assert not prompts.is_object.all()


def test_a_right_prediction_gets_clicks_on_the_object(two_objects, rng):
    prompts = simulate_clicks(two_objects, two_objects, 0, rng, 3)
    assert prompts.is_object.tolist() == [True] * 3


def test_there_is_nothing_to_point_at_in_an_empty_slice_that_is_predicted_empty(rng):
    empty = np.zeros((8, 8), bool)
    assert simulate_clicks(empty, empty, 0, rng) is None


def test_false_positives_on_an_empty_slice_get_clicks_beside_the_object(two_objects, rng):
    prompts = simulate_clicks(np.zeros_like(two_objects), two_objects, 0, rng)
    assert not prompts.is_object.any()
    assert not len(prompts.boxes)


def test_clicks_are_one_to_five_unless_told(two_objects, rng):
    empty = np.zeros_like(two_objects)
    counts = {len(simulate_clicks(two_objects, empty, 0, rng).points) for _ in range(100)}
    assert counts == {1, 2, 3, 4, 5}


def test_a_blurred_embedding_is_another_each_time_and_carries_gradients(rng):
    embedding = torch.randn(1, 256, 16, 16, requires_grad=True)
    one, other = (blurred_embedding(embedding, rng) for _ in range(2))
    assert one.shape == embedding.shape
    assert not torch.equal(one, other)
    again = blurred_embedding(embedding, np.random.default_rng(3))
    torch.testing.assert_close(one, again)
    one.sum().backward()
    torch.testing.assert_close(embedding.grad, torch.ones_like(embedding), atol=0.1, rtol=0)


def test_training_with_prompts_teaches_clicks_that_mean_nothing_before(small_sam, samples):
    """LiteMedSAM answers boxes only: before training a click changes nothing for the better."""
    image, mask = samples[0].image, samples[0].labels
    rng = np.random.default_rng(0)

    def dice_with_clicks() -> float:
        free = predict_masks(small_sam, image).mask
        prompts = simulate_clicks(mask, free, 0, rng, 5)
        return dice(predict_masks(small_sam, image, prompts).mask, mask)

    before = dice_with_clicks()
    config = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=60, prompted_share=1.0)
    list(train_adapter(small_sam, samples[:4], config))
    assert dice_with_clicks() > before + 0.2


def test_without_prompted_steps_the_published_loss_is_all(small_sam, samples, monkeypatch):
    asked = []
    original = type(small_sam).decode

    def decode(self, embedding, geometry, prompts=Prompts()):  # noqa: B008
        asked.append(bool(prompts))
        return original(self, embedding, geometry, prompts)

    monkeypatch.setattr(type(small_sam), "decode", decode)
    config = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=4, prompted_share=0.0)
    list(train_adapter(small_sam, samples[:2], config))
    assert asked == [False] * 4


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share):
    with pytest.raises(ValueError, match="prompted_share"):
        TrainingConfig(prompted_share=share)


def test_prompted_steps_on_empty_slices_do_no_harm(small_sam, samples):
    empty = type(samples[0])(samples[0].image, np.zeros_like(samples[0].labels), "empty")
    config = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=4, prompted_share=1.0)
    finished = list(train_adapter(small_sam, [empty, samples[1]], config))[-1]
    assert finished.reason == "completed"
    assert all(torch.isfinite(value).all() for value in finished.state.values())
