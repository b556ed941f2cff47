"""TinyViT, the image encoder of LiteMedSAM and MobileSAM, for inference and adapter tuning.

It is frozen for ever, so batch norms are folded into the convolutions before them when weights are
loaded (`fold_batch_norms`): the running statistics cannot change because there are none.
Blocks work on channels-last features (B, h, w, C); a permuted view of them is what PyTorch calls
the ``channels_last`` layout, so convolutions between blocks need no copy. Any input size whose
sides the encoder's stride divides works, square or not.

References
----------
Wu et al., TinyViT: Fast Pretraining Distillation for Small Vision Transformers, ECCV 2022.
Zhang et al., Faster Segment Anything (MobileSAM), arXiv:2306.14289.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.config import Cut, StageLayout
from napari_sam_adapter.adapter.module import AdapterPass
from napari_sam_adapter.sam.base import go_on
from napari_sam_adapter.sam.modeling import LayerNorm2d
from napari_sam_adapter.sam.tiny_vit_blocks import (
    MBConv,
    PatchMerging,
    TinyViTBlock,
    convolved,
    full_precision,
)

BATCH_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class TinyViTConfig:
    """Sizes of a TinyViT; the defaults are LiteMedSAM's.

    ``merge_strides`` are the strides between a stage and the next. SAM's embedding must keep a
    stride of 16 (MobileSAM) or 4 (LiteMedSAM), so the last merge does not shrink the grid.
    """

    widths: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (2, 4, 5, 10)
    windows: tuple[int, ...] = (7, 7, 14, 7)
    merge_strides: tuple[int, ...] = (2, 2, 1)
    stem_kernel: int = 1
    stem_stride: int = 1
    mlp_ratio: int = 4
    embedding_width: int = 256


class ConvStage(nn.Module):
    """First stage: inverted bottlenecks."""

    def __init__(self, config: TinyViTConfig) -> None:
        super().__init__()
        width = config.widths[0]
        self.blocks = nn.ModuleList(MBConv(width, 4) for _ in range(config.depths[0]))
        self.downsample: nn.Module = PatchMerging(width, config.widths[1], config.merge_strides[0])


class AttentionStage(nn.Module):
    """Later stages: attention blocks; all but the last end in a patch merging."""

    def __init__(self, config: TinyViTConfig, stage: int) -> None:
        super().__init__()
        width = config.widths[stage]
        self.blocks = nn.ModuleList(
            TinyViTBlock(width, config.heads[stage], config.windows[stage], config.mlp_ratio)
            for _ in range(config.depths[stage])
        )
        if stage + 1 < len(config.widths):
            self.downsample: nn.Module = PatchMerging(
                width, config.widths[stage + 1], config.merge_strides[stage]
            )
        else:
            self.downsample = nn.Identity()


class PatchEmbedding(nn.Module):
    """Two convolutions from pixels to the first stage's width."""

    def __init__(self, config: TinyViTConfig) -> None:
        super().__init__()
        kernel, stride, width = config.stem_kernel, config.stem_stride, config.widths[0]
        self.seq = nn.Sequential(
            nn.Conv2d(3, width // 2, kernel, stride, kernel // 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, kernel, stride, kernel // 2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to the features (B, h, w, C) that enter the first stage.

        They lie in memory as their shape says. Where they did not, all strips of the first stage
        inherited the other layout and were copied several times each.
        """
        first, gelu, second = self.seq
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        with full_precision(images):
            x = images.permute(0, 2, 3, 1).contiguous()
            # PyTorch cannot always tell the layout of a single image by its strides.
            return convolved(second, gelu(convolved(first, x))).contiguous()


class TinyViT(nn.Module):
    """The encoder: (B, 3, H, W) images to (B, 256, H / stride, W / stride) image embeddings."""

    def __init__(self, config: TinyViTConfig | None = None) -> None:
        super().__init__()
        self.before_block: Callable[[], None] = go_on  # see `base.ImageEncoder`
        self.config = config = config or TinyViTConfig()
        self.patch_embed = PatchEmbedding(config)
        stages = [AttentionStage(config, stage) for stage in range(1, len(config.widths))]
        self.layers = nn.ModuleList([ConvStage(config), *stages])
        width = config.embedding_width
        self.neck = nn.Sequential(
            nn.Conv2d(config.widths[-1], width, 1, bias=False),
            LayerNorm2d(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            LayerNorm2d(width),
        )

    @property
    def layout(self) -> tuple[StageLayout, ...]:
        """The stages as an adapter sees them."""
        stride = self.config.stem_stride**2
        strides = [stride]
        for merge in self.config.merge_strides:
            strides.append(strides[-1] * merge)
        return tuple(
            StageLayout(width, depth, stage_stride)
            for width, depth, stage_stride in zip(
                self.config.widths, self.config.depths, strides, strict=True
            )
        )

    @property
    def late_cut(self) -> Cut:
        """Where the ``late`` gear begins: at the last stage, a seventh of a full step's work."""
        return Cut(len(self.layers) - 1, 0)

    def forward(self, images: Tensor, adapter: AdapterPass | None = None) -> Tensor:
        """Encode images, adding the adapter's prompts before each block.

        Parameters
        ----------
        images : Tensor, shape (B, 3, H, W), float
            Preprocessed images; H and W divisible by the encoder's stride.
        adapter : AdapterPass, optional
            Prompts for this pass, from `Adapter.begin` with the same images.

        Returns
        -------
        Tensor, shape (B, 256, H / stride, W / stride)
        """
        start = Cut(0, 0)
        features, entering = self.before(images, adapter, start)
        return self.after(features, entering, adapter, start)

    def before(
        self, images: Tensor, adapter: AdapterPass | None, cut: Cut
    ) -> tuple[Tensor, Tensor]:
        """Encode up to a cut between two stages; see `base.ImageEncoder`."""
        if cut.block:
            raise ValueError("a TinyViT is cut between stages")
        features = self._through(self.patch_embed(images), adapter, range(cut.stage))
        return features, features

    def after(
        self, features: Tensor, entering: Tensor, adapter: AdapterPass | None, cut: Cut
    ) -> Tensor:
        """Encode what comes after a cut; see `base.ImageEncoder`."""
        del entering  # a stage begins here, with these features
        features = self._through(features, adapter, range(cut.stage, len(self.layers)))
        embedding: Tensor = self.neck(features.permute(0, 3, 1, 2))
        return embedding

    def _through(self, features: Tensor, adapter: AdapterPass | None, stages: range) -> Tensor:
        for number in stages:
            layer = self.layers[number]
            assert isinstance(layer, ConvStage | AttentionStage)
            if adapter is not None:
                adapter.enter_stage(number, features)
            for index, block in enumerate(layer.blocks):
                self.before_block()
                if adapter is not None:
                    features = adapter.before_block(number, index, features)
                features = block(features)
            features = layer.downsample(features)
        return features


def fold_batch_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold every ``<name>.bn`` of a TinyViT state dict into the convolution ``<name>.c``.

    Parameters
    ----------
    state : mapping of str to Tensor
        Published weights, ``<name>.c.weight`` and ``<name>.bn.*``; other keys pass through.

    Returns
    -------
    dict of str to Tensor
        The same function with ``<name>.weight`` and ``<name>.bias`` in their place.
    """
    folded: dict[str, Tensor] = {}
    for key, value in state.items():
        name, _, last = key.rpartition(".c.")
        if name and last == "weight":
            norm = {part: state[f"{name}.bn.{part}"].double() for part in _NORM_PARTS}
            scale = norm["weight"] / torch.sqrt(norm["running_var"] + BATCH_NORM_EPS)
            folded[f"{name}.weight"] = (value.double() * scale[:, None, None, None]).to(value.dtype)
            folded[f"{name}.bias"] = (norm["bias"] - norm["running_mean"] * scale).to(value.dtype)
        elif ".bn." not in key:
            folded[key] = value
    return folded


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
