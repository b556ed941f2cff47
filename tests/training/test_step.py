"""What a step learns from: the slice without its padding, and of boxes only what is in them.

And how fast: at the rates of its recipe.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam_adapter.training import step
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.feeds import feed_for
from napari_sam_adapter.training.held_out import report_held_out
from napari_sam_adapter.training.loss import mask_loss
from napari_sam_adapter.training.presets import PRESETS
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.simulated_prompts import object_boxes
from napari_sam_adapter.training.step import Stepper
from napari_sam_adapter.training.workers import ALONE

CONFIG = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=1, augmentation="none")


@pytest.fixture
def wide() -> TrainingSample:
    """A slice three times as wide as high, so that two thirds of its input are padding."""
    rng = np.random.default_rng(0)
    mask = np.zeros((32, 96), bool)
    mask[8:20, 8:24] = mask[10:22, 40:52] = mask[4:12, 70:90] = True
    image = rng.integers(0, 60, (32, 96, 3), np.uint8) + 120 * mask[..., None].astype(np.uint8)
    return TrainingSample(image, mask, "wide")


def stepper_of(model, sample, **values) -> Stepper:
    config = replace(CONFIG, **values)
    return Stepper(model, feed_for(model, [sample], config, None), config, ALONE)


@pytest.mark.parametrize("loss", ["bce_iou", "balanced_bce"])
@pytest.mark.parametrize("prompted_share", [0.0, 1.0])
def test_what_is_predicted_in_the_padding_teaches_nothing(
    small_sam, wide, monkeypatch, loss, prompted_share
):
    decode, found, noise = small_sam.decode, [], 0.0

    def decoded(*given):
        logits = decode(*given)
        padding = torch.zeros_like(logits)
        padding[..., logits.shape[-2] // 3 + 2 :, :] = noise
        return logits + padding

    monkeypatch.setattr(small_sam, "decode", decoded)
    for one in (0.0, 30.0):
        noise = one
        stepper = stepper_of(small_sam, wide, loss=loss, prompted_share=prompted_share)
        found.append(stepper._add_gradients(range(1)))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_an_answer_to_boxes_is_to_leave_out_what_has_no_box(small_sam, wide, monkeypatch):
    """An answer that marks all objects is right only where all of them have a box."""
    monkeypatch.setattr(step, "simulate_clicks", lambda *_: None)
    stepper = stepper_of(small_sam, wide, prompted_share=1.0)
    fed = stepper._feed.at(0)
    everything = torch.where(fed.target > 0.5, 20.0, -20.0)
    least = float(mask_loss(fed.content(everything), fed.content(fed.target)))
    asked = []

    def decoded(*given):
        asked.extend(given[2].boxes if len(given) > 2 else ())
        return everything

    monkeypatch.setattr(small_sam, "decode", decoded)
    seen = set()
    for seed in range(12):
        asked.clear()
        loss = float(stepper._prompted_loss(replace(fed, rng=np.random.default_rng(seed))))
        has_all = len(asked) == len(object_boxes(wide.labels))
        assert loss == pytest.approx(least) if has_all else loss > 2 * least
        seen.add(has_all)
    assert seen == {True, False}


def test_a_base_that_never_learned_prompts_is_trained_without_them(small_sam, wide):
    for embedding in small_sam.base.prompt_encoder.point_embeddings:
        torch.nn.init.zeros_(embedding.weight)  # as `adapters import --base-out` leaves them
    stepper = stepper_of(small_sam, wide, prompted_share=1.0)
    assert math.isfinite(stepper.take(0.5))  # a prompt would be refused
    assert report_held_out(small_sam, [wide], 1)["box_dice"]["n_slices"] == 0


def rates_of(stepper: Stepper, progress: float) -> list[float]:
    """Return the learning rates of decoder and adapter in a step that is taken."""
    assert math.isfinite(stepper.take(progress))
    return [group["lr"] for group in stepper.optimizer.param_groups]


@pytest.mark.parametrize("name", ["polyp", "camouflage", "shadow"])
def test_a_published_recipe_falls_by_a_cosine_from_2e_4_to_1e_7(small_sam, wide, name):
    config = PRESETS[name].config
    stepper = Stepper(small_sam, feed_for(small_sam, [wide], config, None), config, ALONE)
    (decay,) = {group["weight_decay"] for group in stepper.optimizer.param_groups}
    assert decay == 0.01
    # eta_min + (lr - eta_min) (1 + cos(pi t / T)) / 2, as torch's CosineAnnealingLR.
    falling = {0.0: 2e-4, 0.25: 1.7072532e-4, 0.5: 1.0005e-4, 0.75: 2.9374677e-5, 1.0: 1e-7}
    for progress, rate in falling.items():
        assert rates_of(stepper, progress) == pytest.approx([rate, rate], rel=1e-6)


def test_our_recipe_warms_up_to_its_own_rates_and_ends_at_none(small_sam, wide):
    config = PRESETS["interactive"].config
    stepper = Stepper(small_sam, feed_for(small_sam, [wide], config, None), config, ALONE)
    rising = [rates_of(stepper, config.warmup_share * share) for share in (0.0, 0.25, 0.5, 1.0)]
    peaks = np.array([2e-4, 1e-3])
    np.testing.assert_allclose(rising, np.outer((0.02, 0.25, 0.5, 1.0), peaks))
    assert rates_of(stepper, 1.0) == pytest.approx([0.0, 0.0], abs=1e-12)
