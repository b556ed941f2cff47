"""Clicks that are heeded: what a click says of one pixel is carried to the pixels like it.

The mask decoder takes clicks into account, but nothing makes it obey them, and after training on a
few slices it rarely does. So its answer is corrected: each click tells by how much the logit of its
pixel is wrong, and Gaussian process regression carries these residuals to pixels that are near and
look alike to the image encoder. There is nothing to train, and few clicks make small equations.

References
----------
Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 2.25 (the posterior
mean). Zhou et al., Interactive Segmentation as Gaussian Process Classification, CVPR 2023, for the
idea of clicks as observations of a Gaussian process over encoder features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.preprocess import at_input_size

# Found on polyps (docs/results.md). Distances are shares of the input's side; feature distances are
# in units of the distance that two pixels of the slice have in the root mean square.
DISTANCE_SCALE = 0.3
FEATURE_SCALE = 1.0
CLICK_LOGIT = 2.0
NOISE = 0.05
PASSES = 4


def heed_clicks(
    logits: Tensor, features: Tensor, points: Tensor, is_object: Tensor, geometry: InputGeometry
) -> Tensor:
    """Correct the logits of one class by what clicks say.

    Parameters
    ----------
    logits : Tensor, shape (1, 1, H, W)
        Over the padded square input.
    features : Tensor, shape (1, C, h, w)
        The image embedding of the same square.
    points : Tensor, shape (m, 2), float
        x, y in pixels of the square.
    is_object : Tensor, shape (m,), bool
    geometry : InputGeometry

    Returns
    -------
    Tensor, shape (1, 1, H, W)
        ``logits`` plus the posterior mean of the residuals. Clicks that the logits obey already
        have a residual of 0: they change nothing where they are, and hold others back there.
    """
    side, (height, width) = geometry.input_size, features.shape[-2:]
    places = (points + 0.5) / side
    sign = torch.where(is_object, 1.0, -1.0).to(logits.dtype)

    def residuals() -> Tensor:
        found = _read_at(logits, places)[:, 0]
        return torch.where(found * sign < CLICK_LOGIT, CLICK_LOGIT * sign - found, 0.0)

    residual = residuals()
    if not residual.any():
        return logits
    rows, columns = (
        (torch.arange(count, device=logits.device) + 0.5) / count for count in (height, width)
    )
    grid = torch.cartesian_prod(rows, columns).flip(-1)  # (h * w, 2) as x, y
    content = features[0].flatten(1).T
    # The first row and column of a slice that is thinner than half a cell, too.
    begins = grid - 0.5 / grid.new_tensor([width, height])
    in_slice = (begins < grid.new_tensor(geometry.content_hw[::-1]) / side).all(-1)
    spread = 2 * content[in_slice].var(0, correction=0).sum().clamp_min(1e-12)
    clicked = _read_at(features, places)

    def likeness(at: Tensor, what: Tensor) -> Tensor:
        """Return the covariance (n, m) of pixels with the clicked ones."""
        near = torch.cdist(at, places).square() / (2 * DISTANCE_SCALE**2)
        alike = torch.cdist(what, clicked).square() / (2 * FEATURE_SCALE**2 * spread)
        return torch.exp(-near - alike)

    covariance = likeness(places, clicked) + NOISE * torch.eye(len(places), device=logits.device)
    spread = likeness(grid, content)
    for _ in range(PASSES):
        weights = torch.linalg.solve(covariance, residual)
        correction = (spread @ weights).reshape(1, 1, height, width)
        logits = logits + at_input_size(correction, logits.shape[-1])
        # On a coarse grid a click loses some of what it says; if that was much, it says it again.
        residual = residuals()
        if (residual.abs() < CLICK_LOGIT).all():
            break
    return logits


def _read_at(x: Tensor, places: Tensor) -> Tensor:
    """Read (1, C, h, w) at places (m, 2), shares of the sides as x, y; (m, C)."""
    sampled = functional.grid_sample(
        x, (2 * places - 1)[None, None], padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T
