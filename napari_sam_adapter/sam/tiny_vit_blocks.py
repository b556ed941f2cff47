"""The blocks of TinyViT, on channels-last features (B, h, w, C).

Under bf16 autocast, attention and MLPs gain; the features that go from block to block, and what
changes their width or grid, stay in fp32. Without that, five per cent of an embedding were noise;
with it, less than two are, for a tenth of the time that bf16 saves (docs/performance.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam_adapter.sam.frozen_linear import FrozenLinear
from napari_sam_adapter.sam.strips import add_in_strips, rows_of_strip
from napari_sam_adapter.sam.window_attention import WindowAttention


class MBConv(nn.Module):
    """Inverted bottleneck with a residual: 1x1 expand, 3x3 depthwise, 1x1 project."""

    def __init__(self, width: int, expand: int) -> None:
        super().__init__()
        hidden = width * expand
        self.conv1 = nn.Conv2d(width, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.conv3 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, C) to the same shape."""
        with full_precision(x):
            return self._forward(x.float())

    def _forward(self, x: Tensor) -> Tensor:
        rows = rows_of_strip(x, self.conv1.out_channels)
        if rows >= x.shape[1]:
            y = functional.gelu(pointwise(self.conv1, x))
            y = functional.gelu(convolved(self.conv2, y))
            return functional.gelu(x + pointwise(self.conv3, y))
        result = torch.empty_like(x)
        for top in range(0, x.shape[1], rows):
            bottom = min(top + rows, x.shape[1])
            y = pointwise(self.conv3, expanded(self.conv1, self.conv2, x, top, bottom))
            y += x[:, top:bottom]
            result[:, top:bottom] = _gelu(y)
        return result


class PatchMerging(nn.Module):
    """Change width and, with stride 2, halve the grid between two stages."""

    def __init__(self, width: int, out_width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out_width, 1)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, stride, 1, groups=out_width)
        self.conv3 = nn.Conv2d(out_width, out_width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, C) to (B, h / stride, w / stride, out_width)."""
        with full_precision(x):
            return self._forward(x.float())

    def _forward(self, x: Tensor) -> Tensor:
        rows = rows_of_strip(x, self.conv1.out_channels)
        if rows >= x.shape[1]:
            y = functional.gelu(pointwise(self.conv1, x))
            return pointwise(self.conv3, functional.gelu(convolved(self.conv2, y)))
        rows += rows % 2  # so that every strip starts at a row that the stride hits
        strips = [
            expanded(self.conv1, self.conv2, x, top, min(top + rows, x.shape[1]))
            for top in range(0, x.shape[1], rows)
        ]
        return pointwise(self.conv3, torch.cat(strips, 1))


class Mlp(nn.Module):
    """Pre-normalised two-layer perceptron."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = FrozenLinear(width, hidden)
        self.fc2 = FrozenLinear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        hidden = self.fc1(self.norm(x))
        hidden = functional.gelu(hidden) if hidden.requires_grad else _gelu(hidden)
        mapped: Tensor = self.fc2(hidden)
        return mapped


class TinyViTBlock(nn.Module):
    """Window attention, a depthwise convolution across windows, and an MLP."""

    def __init__(self, width: int, heads: int, window: int, mlp_ratio: int) -> None:
        super().__init__()
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mlp = Mlp(width, width * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, C) to the same shape."""
        x = x + self.attn(x)
        with full_precision(x):
            x = convolved(self.local_conv, x.float())
        return add_in_strips(x, self.mlp, self.mlp.fc1.out_features)


def full_precision(like: Tensor) -> torch.autocast:
    """Return the context in which autocast leaves features alone."""
    return torch.autocast(like.device.type, enabled=False)


def pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a 1x1 convolution to (B, h, w, C): a matrix product, faster than as a convolution."""
    return functional.linear(x, conv.weight.flatten(1), conv.bias)


def convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a convolution to (B, h, w, C)."""
    if conv.kernel_size == conv.stride == (1, 1):
        return pointwise(conv, x)
    result: Tensor = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return result


def expanded(conv1: nn.Conv2d, conv2: nn.Conv2d, x: Tensor, top: int, bottom: int) -> Tensor:
    """Return rows top to bottom of ``gelu(conv2(gelu(conv1(x))))``; ``conv2`` is 3x3.

    Those of conv2's input, that is: with a stride of 2 there are half as many, and top is even.
    """
    height = x.shape[1]
    first, last = max(top - 1, 0), min(bottom + 1, height)
    y = _gelu(pointwise(conv1, x[:, first:last]))
    if top == 0 or bottom == height:  # beyond the picture there are zeros
        y = functional.pad(y, (0, 0, 0, 0, int(top == 0), int(bottom == height)))
    y = functional.conv2d(
        y.permute(0, 3, 1, 2), conv2.weight, conv2.bias, conv2.stride, (0, 1), groups=conv2.groups
    )
    return _gelu(y.permute(0, 2, 3, 1))


def _gelu(x: Tensor) -> Tensor:
    """Apply GELU in place."""
    result: Tensor = torch.ops.aten.gelu_(x)
    return result
