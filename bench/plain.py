"""A plain SAM-Adapter step: the method's formula on the stock modules, as anybody would write it.

It takes the weights of our adapter, so that both compute the same, and nothing else of ours but the
loss. What is published of the method: Chen et al., arXiv:2304.09148 and arXiv:2408.04579.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.training.loss import at_size_of, mask_loss

MASK_RATIO = 0.25


def high_frequency(images: Tensor) -> Tensor:
    """Remove the lowest frequencies, by a shifted complex transform as the reference code does."""
    height, width = images.shape[-2:]
    half_h, half_w = (int(MASK_RATIO**0.5 * side // 2) for side in (height, width))
    spectrum = torch.fft.fftshift(torch.fft.fft2(images, norm="forward"), dim=(-2, -1))
    mask = torch.zeros_like(images)
    rows = slice(height // 2 - half_h, height // 2 + half_h)
    columns = slice(width // 2 - half_w, width // 2 + half_w)
    mask[..., rows, columns] = 1
    kept = torch.fft.ifftshift(spectrum * (1 - mask), dim=(-2, -1))
    return torch.fft.ifft2(kept, norm="forward").real.abs()


class Formula:
    """``P_i = MLP_up(GELU(MLP_tune_i(E + H)))`` of one part, from our adapter's weights."""

    def __init__(self, weights: Mapping[str, Tensor], part: str, stride: int, hierarchical: bool):
        prefix = f"{part}."
        self._w = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        self._stride, self._hierarchical = stride, hierarchical

    def tuned(self, x: Tensor) -> Tensor:
        """Bring the high-frequency component (B, C, h, w) to the stage's grid."""
        name = "image_tune.high_frequency."
        conv = self._w[f"{name}conv.weight"], self._w[f"{name}conv.bias"]
        padding = self._stride if self._hierarchical else 0
        x = functional.conv2d(x, *conv, stride=self._stride, padding=padding)
        if not self._hierarchical:
            return x
        norm = self._w[f"{name}norm.weight"], self._w[f"{name}norm.bias"]
        x = functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], *norm)
        return x.permute(0, 3, 1, 2)

    def conditions(self, entering: Tensor, high: Tensor) -> Tensor:
        """Return E + H from features (B, h, w, C) and `tuned`."""
        return self._linear(entering, "patch_embedding_tune") + high.permute(0, 2, 3, 1)

    def prompt(self, block: int, conditions: Tensor) -> Tensor:
        """Return the prompt of a block."""
        hidden = functional.gelu(self._linear(conditions, f"mlp_tune.{block}"))
        return self._linear(hidden, "mlp_up")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"])


def tiny_vit_embedding(stock: Any, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Encode (1, 3, 256, 256) by the stock LiteMedSAM with prompts before each adapted block."""
    x = stock.patch_embed(images)
    high = high_frequency(images)
    before = 1
    for number, layer in enumerate(stock.layers):
        formula = None
        if number:
            stride = {1: 2, 2: 4, 3: 4}[number]
            part, relative = f"stages.{number}", max(1, stride // before)
            formula = Formula(weights, part, relative, hierarchical=True)
            before = stride
            high = formula.tuned(high)
            height, width = layer.blocks[0].input_resolution
            total = formula.conditions(x.view(1, height, width, -1), high).flatten(1, 2)
        for index, block in enumerate(layer.blocks):
            if formula is not None:
                x = x + formula.prompt(index, total)
            x = block(x)
        if layer.downsample is not None:
            x = layer.downsample(x)
    side = int(x.shape[1] ** 0.5)
    embedding: Tensor = stock.neck(x.view(1, side, side, -1).permute(0, 3, 1, 2))
    return embedding


def vit_embedding(stock: Any, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Encode (1, 3, S, S) by `segment_anything`'s ViT with prompts before each block.

    The last blocks have shared layers of their own, by the same formula, in a forked adapter.
    """
    entering, high = stock.patch_embed(images), high_frequency(images)
    n_late = len({name.split(".")[2] for name in weights if name.startswith("late.mlp_tune.")})
    first_late = len(stock.blocks) - n_late
    prompts = []
    for part, count in (("stages.0", first_late), ("late", n_late)):
        if count:
            formula = Formula(weights, part, 16, hierarchical=False)
            total = formula.conditions(entering, formula.tuned(high))
            prompts += [formula.prompt(index, total) for index in range(count)]
    x = entering + stock.pos_embed
    for prompt, block in zip(prompts, stock.blocks, strict=True):
        x = block(x + prompt)
    embedding: Tensor = stock.neck(x.permute(0, 3, 1, 2))
    return embedding


def plain_loss(
    encode: Callable[[Any, Mapping[str, Tensor], Tensor], Tensor],
    stock: Any,
    model: AdaptedSam,
    images: Tensor,
    target: Tensor,
) -> Tensor:
    """Return the loss of one slice, in fp32; the decoder is `segment_anything`'s."""
    weights = dict(model.adapter.named_parameters())
    embedding = encode(stock, weights, images)
    logits = model.decode(embedding, whole_input(images))
    return mask_loss(at_size_of(target, logits), target)


def whole_input(images: Tensor) -> InputGeometry:
    """Return the geometry of a slice that fills the encoder's input."""
    side = images.shape[-1]
    return InputGeometry((side, side), (side, side), side)
