"""The published losses, made sound on empty slices."""

import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.training.config import Loss


def mask_loss(logits: Tensor, target: Tensor, kind: Loss = "bce_iou") -> Tensor:
    """Return the loss of a batch.

    Parameters
    ----------
    logits, target : Tensor, shape (B, K, H, W)
        One mask per slice and class; target values lie in 0..1.
    kind : {"bce_iou", "balanced_bce"}
        Cross-entropy plus soft IoU, published for polyps and camouflage; or balanced cross-entropy,
        published for shadows.

    Returns
    -------
    Tensor, scalar

    Notes
    -----
    On an empty mask both are the cross-entropy, so false positives there are punished. The
    reference code's losses have no gradient on empty masks, or next to none.
    """
    logits, target = logits.float(), target.float()
    if kind == "balanced_bce":
        return balanced_cross_entropy(logits, target)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target)
    return torch.add(cross_entropy, soft_iou_loss(logits, target))


def soft_iou_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return ``1 - intersection / union`` of soft masks, averaged over the non-empty ones.

    Parameters
    ----------
    logits, target : Tensor, shape (B, K, H, W)

    Returns
    -------
    Tensor, scalar
        Zero if every target is empty: there the ratio is constant and has no gradient.

    References
    ----------
    SAM-Adapter's ``iou`` loss; Mattyus et al., DeepRoadMapper, ICCV 2017.
    """
    probability = logits.sigmoid()
    intersection = (probability * target).sum(dim=(2, 3))
    union = (probability + target - probability * target).sum(dim=(2, 3))
    has_object = (target.sum(dim=(2, 3)) > 0).float()
    loss = (1 - intersection / union.clamp_min(1e-6)) * has_object
    return loss.sum() / has_object.sum().clamp_min(1)


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return cross-entropy in which object and background weigh alike, however small the object.

    With p the object's share of a mask, its pixels weigh 2 (1 - p) and the background's 2 p, so
    that the mean weight of a half-covered mask is 1. An empty or full mask is weighted evenly.

    Parameters
    ----------
    logits, target : Tensor, shape (B, K, H, W)

    Returns
    -------
    Tensor, scalar

    References
    ----------
    SAM-Adapter's ``bbce`` loss, there with shares of the whole batch and no weight at all on a
    batch of empty masks; Xie & Tu, Holistically-nested edge detection, ICCV 2015.
    """
    share = target.mean(dim=(2, 3), keepdim=True)
    mixed = (share > 0) & (share < 1)
    on_object = torch.where(mixed, 2 * (1 - share), 1.0)
    on_background = torch.where(mixed, 2 * share, 1.0)
    weight = on_object * target + on_background * (1 - target)
    return functional.binary_cross_entropy_with_logits(logits, target, weight)


def at_size_of(target: Tensor, logits: Tensor) -> Tensor:
    """Scale logits (B, K, h, w) to the grid of a target; SAM's own are a quarter of its size."""
    if logits.shape[-2:] == target.shape[-2:]:
        return logits
    size = (target.shape[-2], target.shape[-1])
    return functional.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
