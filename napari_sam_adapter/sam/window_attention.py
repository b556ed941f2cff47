"""Attention in windows, on the real tokens alone.

TinyViT pads a grid with zeros to whole windows, and the zeros take part as keys. After the norm all
of them are one and the same token, so they count here as a single key whose bias is the log of the
sum over their own: the same numbers, for less work (at 128 pixels LiteMedSAM's third stage would
otherwise have 1764 tokens instead of 1024).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self._known: dict[tuple[object, ...], tuple[Tensor, Tensor | None]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, C) to the same shape."""
        batch, height, width, channels = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, height, width, self.heads, 3, -1)
        columns = self._parts(width)
        # Splits, not slices: their gradients are put together at once, not padded and added up.
        bands = []
        for band, rows in zip(
            torch.split(qkv, self._parts(height), 1), self._windows(height), strict=True
        ):
            parts = zip(torch.split(band, columns, 2), self._windows(width), strict=True)
            bands.append(torch.cat([self._attend(part, rows, cols) for part, cols in parts], 2))
        y = torch.cat(bands, dim=1).reshape(batch, height, width, channels)
        projected: Tensor = self.proj(y)
        return projected

    def _parts(self, side: int) -> list[int]:
        """Return how much of a side lies in whole windows, and how much is left."""
        rest = side % self.window
        return [part for part in (side - rest, rest) if part]

    def _windows(self, side: int) -> list[int]:
        """Return the length of the windows in each of those parts."""
        return [min(part, self.window) for part in self._parts(side)]

    def _attend(self, qkv: Tensor, rows: int, columns: int) -> Tensor:
        """Map (B, h, w, heads, 3, d), windows of rows x columns, to (B, h, w, heads, d)."""
        batch, height, width, heads, _, depth = qkv.shape
        down, right, tokens = height // rows, width // columns, rows * columns
        windows = qkv.reshape(batch, down, rows, right, columns, heads, 3, depth)
        q, k, v = windows.permute(6, 0, 1, 3, 5, 2, 4, 7).reshape(3, -1, heads, tokens, depth)
        bias, padding_bias = self._biases(rows, columns, q)
        if padding_bias is None and (not torch.is_grad_enabled() or q.device.type != "cpu"):
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            # For windows this small, the fused kernel's backward takes most of a training step.
            q = q * depth**-0.5
            scores = q @ k.transpose(-2, -1) + bias
            if padding_bias is None:
                y = scores.softmax(-1).to(v.dtype) @ v
            else:
                padding_k, padding_v = self._padding_token(q)
                padding = q @ padding_k + padding_bias
                shares = torch.cat((scores, padding), dim=-1).softmax(-1).to(v.dtype)
                real, padded = torch.split(shares, [tokens, 1], -1)
                y = real @ v + padded * padding_v
        y = y.reshape(batch, down, right, heads, rows, columns, depth)
        return y.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, height, width, heads, depth)

    def _padding_token(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return key (heads, d, 1) and value (heads, 1, d) of a token of zeros."""
        with torch.no_grad():
            _, key, value = self.qkv(self.norm.bias).view(self.heads, 3, -1).unbind(1)
        return key[:, :, None].to(like.dtype), value[:, None].to(like.dtype)

    def _biases(self, rows: int, columns: int, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the biases of a window that holds rows x columns real tokens.

        Returns
        -------
        bias : Tensor, shape (1, heads, n, n)
        padding_bias : Tensor, shape (1, heads, n, 1), or None
            Of all padded tokens together, where the window has some.
        """
        version = self.attention_biases._version  # loading weights changes it
        key = (rows, columns, like.dtype, like.device, version)
        if key not in self._known:
            # Also for training, whose backward pass may save them, when a prediction asks first.
            with torch.inference_mode(False), torch.no_grad():
                self._known[key] = self._new_biases(rows, columns, like)
        return self._known[key]

    def _new_biases(self, rows: int, columns: int, like: Tensor) -> tuple[Tensor, Tensor | None]:
        window, device = self.window, like.device
        at = torch.arange(window * window, device=device)
        row, column = at // window, at % window
        offset = (row[:, None] - row).abs() * window + (column[:, None] - column).abs()
        real = (row < rows) & (column < columns)
        bias = self.attention_biases.to(device)[:, offset][:, real]
        padding = bias[:, :, ~real]
        summed = padding.logsumexp(-1, keepdim=True)[None].to(like.dtype)
        return bias[:, :, real][None].to(like.dtype), summed if padding.shape[-1] else None
