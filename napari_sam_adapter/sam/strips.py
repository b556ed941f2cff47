"""Wide features worked through in strips that stay in the processor's cache.

The same numbers, without waiting for memory (docs/performance.md). Where a gradient is wanted, all
of them are kept for it anyway, and elsewhere than on a CPU small pieces of work cost more than they
save: there, everything is one strip.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Measured on 2 MiB of second-level cache per core: half or double of it makes little difference.
STRIP_BYTES = 4 * 1024 * 1024


def rows_of_strip(x: Tensor, hidden: int) -> int:
    """Return how many rows of features (B, h, w, C) to widen to ``hidden`` channels at a time."""
    if x.device.type != "cpu" or (torch.is_grad_enabled() and x.requires_grad):
        return x.shape[1]
    return max(1, STRIP_BYTES // (4 * x.shape[0] * x.shape[2] * hidden))


def add_in_strips(x: Tensor, change: Callable[[Tensor], Tensor], hidden: int) -> Tensor:
    """Return ``x + change(x)``, in strips of rows; may overwrite x.

    Parameters
    ----------
    x : Tensor, shape (B, h, w, C)
        No longer needed by the caller.
    change : callable
        Maps (B, rows, w, C) to the same shape, each token by itself.
    hidden : int
        How many channels it has in between.
    """
    rows = rows_of_strip(x, hidden)
    if rows >= x.shape[1]:
        return x + change(x)
    for top in range(0, x.shape[1], rows):
        strip = x[:, top : top + rows]
        strip.add_(change(strip))
    return x
