"""The published loss, made sound on empty slices."""

import torch
from torch import Tensor
from torch.nn import functional


def soft_iou_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return ``1 - intersection / union`` of soft masks, averaged over the non-empty ones.

    Parameters
    ----------
    logits, target : Tensor, shape (B, 1, H, W)
        Target values lie in 0..1.

    Returns
    -------
    Tensor, scalar
        Zero if every target is empty: there the ratio is constant and has no gradient.

    References
    ----------
    SAM-Adapter's ``iou`` loss; Mattyus et al., DeepRoadMapper, ICCV 2017.
    """
    probability = logits.sigmoid()
    intersection = (probability * target).sum(dim=(1, 2, 3))
    union = (probability + target - probability * target).sum(dim=(1, 2, 3))
    has_object = (target.sum(dim=(1, 2, 3)) > 0).float()
    loss = (1 - intersection / union.clamp_min(1e-6)) * has_object
    return loss.sum() / has_object.sum().clamp_min(1)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft IoU.

    The cross-entropy alone acts on empty targets, so false positives on empty slices are punished;
    the reference code's loss has no gradient there.

    Parameters
    ----------
    logits, target : Tensor, shape (B, 1, H, W)

    Returns
    -------
    Tensor, scalar
    """
    logits, target = logits.float(), target.float()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target)
    return torch.add(cross_entropy, soft_iou_loss(logits, target))
