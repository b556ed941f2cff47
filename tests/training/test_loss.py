"""The loss against its definition, and where the published one has no gradient."""

import pytest
import torch
from torch import Tensor

from napari_sam_adapter.training.loss import (
    at_size_of,
    balanced_cross_entropy,
    mask_loss,
    soft_iou_loss,
)


def random_pair(batch: int = 2, share: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(batch, 1, 6, 7, generator=generator)
    target = (torch.rand(batch, 1, 6, 7, generator=generator) < share).float()
    return logits, target


def gradient(loss, logits: Tensor, target: Tensor) -> Tensor:
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits, target), logits)[0]


def test_the_loss_equals_its_definition():
    logits, target = random_pair()
    p = 1 / (1 + torch.exp(-logits))
    cross_entropy = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    ious = [(q * t).sum() / (q + t - q * t).sum() for q, t in zip(p, target, strict=True)]
    expected = cross_entropy + 1 - sum(ious) / len(ious)
    torch.testing.assert_close(mask_loss(logits, target), expected)


def test_a_perfect_prediction_costs_nothing():
    _, target = random_pair()
    assert mask_loss(1000 * (target - 0.5), target) < 1e-4


def test_a_wrong_prediction_costs_more_than_an_undecided_one():
    _, target = random_pair()
    wrong, undecided = (mask_loss(factor * (target - 0.5), target) for factor in (-8.0, 0.0))
    assert wrong > undecided


def test_the_soft_iou_of_empty_targets_is_zero_and_finite():
    logits, target = random_pair(share=0.0)
    assert soft_iou_loss(logits, target) == 0
    assert torch.isfinite(gradient(soft_iou_loss, logits, target)).all()


def test_an_empty_slice_does_not_dilute_the_soft_iou_of_the_others():
    logits, target = random_pair(batch=1)
    with_empty = torch.cat([target, torch.zeros_like(target)])
    found = soft_iou_loss(torch.cat([logits, logits]), with_empty)
    torch.testing.assert_close(found, soft_iou_loss(logits, target))


def test_an_empty_slice_pushes_every_logit_down():
    logits, target = random_pair(share=0.0)
    assert (gradient(mask_loss, logits, target) > 0).all()


def test_a_full_slice_pushes_every_logit_up():
    logits, target = random_pair(share=1.1)
    assert (gradient(mask_loss, logits, target) < 0).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.1])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_give_a_finite_loss_and_gradient(share, logit):
    _, target = random_pair(share=share)
    logits = torch.full_like(target, logit)
    assert torch.isfinite(mask_loss(logits, target))
    assert torch.isfinite(gradient(mask_loss, logits, target)).all()


def test_half_precision_logits_are_scored_in_single_precision():
    logits, target = random_pair()
    found = mask_loss(logits.bfloat16(), target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, mask_loss(logits.bfloat16().float(), target))


def test_classes_are_scored_one_by_one():
    logits, target = random_pair()
    by_class = torch.cat([logits[:1], logits[1:]], 1), torch.cat([target[:1], target[1:]], 1)
    torch.testing.assert_close(mask_loss(*by_class), mask_loss(logits, target))


def test_the_balanced_loss_weighs_object_and_background_alike():
    """On logits of 0 every pixel costs log 2; each side is to contribute half of the whole."""
    target = torch.zeros(1, 1, 10, 10)
    target[..., :2] = 1
    slope = gradient(balanced_cross_entropy, torch.zeros_like(target), target)
    on_object, on_background = slope[target > 0].sum(), slope[target == 0].sum()
    torch.testing.assert_close(on_object, -on_background)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_the_balanced_loss_of_an_empty_or_full_mask_is_plain_cross_entropy(share):
    logits, target = random_pair(share=share)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(mask_loss(logits, target, "balanced_bce"), expected)


def test_logits_are_scaled_to_the_grid_of_the_target():
    logits = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert at_size_of(torch.zeros(1, 1, 8, 8), logits).shape == (1, 1, 8, 8)
    assert at_size_of(torch.zeros(1, 1, 2, 2), logits) is logits
