"""Attention with a bias, in the fastest of three ways that give the same numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Exponentials of scores within it, and sums of thousands of them, are numbers.
SAFE_SCORE = 60.0


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Return ``softmax(q k^T / sqrt(d) + bias) v``.

    torch's fused kernel is for GPUs, and on a CPU for fp32 without gradients. Its backward pass
    takes most of a training step where windows are small, and there is none for a bias that has a
    gradient itself; in bf16 it takes 1.4 to 2 times as long as products (docs/performance.md).

    Parameters
    ----------
    q : Tensor, shape (windows, heads, n, d)
    k, v : Tensor, shape (windows, heads, m, d)
    bias : Tensor, shape (windows or 1, heads, n, m)

    Returns
    -------
    Tensor, shape (windows, heads, n, d)
    """
    if q.device.type == "cpu":
        if torch.is_grad_enabled():
            return (_scores(q, k) + bias).softmax(-1).to(v.dtype) @ v
        if q.dtype == torch.bfloat16:
            y = _by_products(q, k, v, bias)
            if y is not None:
                return y
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))


def _by_products(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor | None:
    """Compute it without going through the scores row by row, or tell by None that that is unsafe.

    Rows of 49 or 196 scores fill vector registers badly, so taking each row's highest score away
    first, as a softmax does, costs more than all exponentials. Without, the quotient is the same
    as long as no exponential is infinite and no row has none.
    """
    scores = _scores(q, k)
    scores += bias
    lowest, highest = scores.aminmax()
    if lowest < -SAFE_SCORE or highest > SAFE_SCORE:
        return None
    scores.exp_()
    ones: Tensor = v.new_ones(1).expand(*v.shape[:-1], 1)
    summed = scores @ torch.cat((v, ones), -1)  # the sum of a row's exponentials comes last
    quotient: Tensor = summed[..., :-1] / summed[..., -1:]
    return quotient


def _scores(q: Tensor, k: Tensor) -> Tensor:
    scores: Tensor = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return scores
