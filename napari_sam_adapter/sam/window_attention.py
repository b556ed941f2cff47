"""Attention in windows, on the real tokens alone.

TinyViT pads a grid with zeros to whole windows, and the zeros take part as keys. After the norm all
of them are one and the same token, so they count here as a single key whose bias is the log of the
sum over their own: the same numbers, for less work (at 128 pixels LiteMedSAM's third stage would
otherwise have 1764 tokens instead of 1024).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from napari_sam_adapter.sam.attention import attention
from napari_sam_adapter.sam.frozen_linear import FrozenLinear


@dataclass(frozen=True, slots=True)
class WindowGroup:
    """Windows of one size; a grid has up to four: whole ones, the last column, row and corner.

    Attributes
    ----------
    rows, columns : int
        Real tokens of each window.
    first, last : int
        Where their tokens are in `WindowOrder`.
    """

    rows: int
    columns: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class WindowOrder:
    """The tokens of a grid, window after window.

    Attributes
    ----------
    order : Tensor of int64, shape (h * w,)
        Which token of the grid (row by row) comes at each place.
    inverse : Tensor of int64, shape (h * w,)
        At which place each token of the grid comes.
    groups : tuple of WindowGroup
    """

    order: Tensor
    inverse: Tensor
    groups: tuple[WindowGroup, ...]

    @classmethod
    def of(cls, height: int, width: int, window: int, device: torch.device) -> WindowOrder:
        """Order the tokens of a grid of height x width."""
        grid = torch.arange(height * width).view(height, width)
        parts, groups, first = [], [], 0
        for top, bottom in _parts(height, window):
            for left, right in _parts(width, window):
                rows, columns = min(bottom - top, window), min(right - left, window)
                block = grid[top:bottom, left:right].reshape(
                    (bottom - top) // rows, rows, (right - left) // columns, columns
                )
                part = block.transpose(1, 2).flatten()
                parts.append(part)
                groups.append(WindowGroup(rows, columns, first, first + len(part)))
                first += len(part)
        order = torch.cat(parts)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order))
        return cls(order.to(device), inverse.to(device), tuple(groups))


def _parts(side: int, window: int) -> list[tuple[int, int]]:
    """Return the part of a side that whole windows fill, and the part that is left."""
    whole = side - side % window
    return [part for part in ((0, whole), (whole, side)) if part[0] < part[1]]


@lru_cache(maxsize=32)
def window_order(height: int, width: int, window: int, device: torch.device) -> WindowOrder:
    """Return `WindowOrder.of`, worked out once."""
    with torch.inference_mode(False):  # also for training, when a prediction asks first
        return WindowOrder.of(height, width, window, device)


class _Reordered(torch.autograd.Function):
    """Tokens in another order; going back is the other order, not a sum over indices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.inverse = inverse
        return x.index_select(1, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].index_select(1, ctx.inverse), None, None


def reordered(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Put the tokens (B, n, C) in another order, and their gradients back."""
    result: Tensor = _Reordered.apply(x, order, inverse)
    return result


class WindowAttention(nn.Module):
    """Pre-normalised self-attention in windows with a learned bias per absolute offset.

    The weights are frozen for ever, so what follows from them alone is worked out once.

    Parameters
    ----------
    width, heads, window : int
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(width)
        self.qkv = FrozenLinear(width, 3 * width)
        self.proj = FrozenLinear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self._known: dict[tuple[object, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, C) to the same shape."""
        batch, height, width, channels = x.shape
        windows = window_order(height, width, self.window, x.device)
        tokens = reordered(x.flatten(1, 2), windows.order, windows.inverse)
        qkv = self.qkv(self.norm(tokens)).unflatten(2, (self.heads, 3, -1))
        # Split, not sliced: the gradients are put together at once, not padded and added up.
        parts = torch.split(qkv, [group.last - group.first for group in windows.groups], 1)
        attended = [
            self._attend(part, group.rows, group.columns)
            for part, group in zip(parts, windows.groups, strict=True)
        ]
        y = self.proj(torch.cat(attended, 1) if len(attended) > 1 else attended[0])
        y = reordered(y, windows.inverse, windows.order)
        return y.view(batch, height, width, channels)

    def _attend(self, qkv: Tensor, rows: int, columns: int) -> Tensor:
        """Map (B, n, heads, 3, d), the tokens of whole windows, to (B, n, C)."""
        batch, n, heads, _, depth = qkv.shape
        windows = qkv.reshape(-1, rows * columns, heads, 3, depth)
        # (3, windows, heads, tokens, d)
        q, k, v = windows.permute(3, 0, 2, 1, 4).unbind(0)
        bias = self._bias(rows, columns, q)
        if bias.shape[-1] > rows * columns:
            padding_k, padding_v = self._padding_token(q)
            k, v = torch.cat((k, padding_k), 2), torch.cat((v, padding_v), 2)
        y = attention(q, k, v, bias)
        together: Tensor = y.transpose(1, 2).reshape(batch, n, heads * depth)
        return together

    def _padding_token(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return key and value of a token of zeros, as (windows, heads, 1, d)."""
        with torch.no_grad():
            _, key, value = self.qkv(self.norm.bias).view(self.heads, 3, -1).unbind(1)
        shape = (len(like), self.heads, 1, -1)
        key, value = (x[None, :, None].to(like.dtype).expand(shape) for x in (key, value))
        return key, value

    def _bias(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """Return the bias (1, heads, n, n) of windows with rows x columns = n real tokens.

        Where windows are padded, it is (1, heads, n, n + 1): the last column is that of all padded
        tokens together.
        """
        version = self.attention_biases._version  # loading weights changes it
        key = (rows, columns, like.dtype, like.device, version)
        if key not in self._known:
            # Also for training, whose backward pass may save them, when a prediction asks first.
            with torch.inference_mode(False), torch.no_grad():
                self._known[key] = self._new_bias(rows, columns, like)
        return self._known[key]

    def _new_bias(self, rows: int, columns: int, like: Tensor) -> Tensor:
        window, device = self.window, like.device
        at = torch.arange(window * window, device=device)
        row, column = at // window, at % window
        offset = (row[:, None] - row).abs() * window + (column[:, None] - column).abs()
        real = (row < rows) & (column < columns)
        bias = self.attention_biases.to(device)[:, offset][:, real]
        kept, padding = bias[:, :, real], bias[:, :, ~real]
        if padding.shape[-1]:
            kept = torch.cat((kept, padding.logsumexp(-1, keepdim=True)), -1)
        return kept[None].to(like.dtype)
