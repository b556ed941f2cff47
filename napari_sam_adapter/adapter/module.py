"""The adapter itself: task knowledge that is added before each block of a frozen encoder.

One class serves both encoder families. A hierarchical encoder (TinyViT) has several stages, a plain
ViT has one. The module knows feature widths and grids, nothing of any encoder's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.conditions import image_condition, n_channels
from napari_sam_adapter.adapter.config import AdapterConfig, Condition, ImageTune, StageLayout


class ImageTuneLayer(nn.Module):
    """Bring a condition that is an image, or its features of the stage before, to a stage's grid.

    Parameters
    ----------
    in_channels, bottleneck : int
    stride : int
        How much coarser this stage's grid is.
    image_tune : {"overlapping", "patches"}
        See `AdapterConfig`.
    """

    def __init__(
        self, in_channels: int, bottleneck: int, stride: int, image_tune: ImageTune
    ) -> None:
        super().__init__()
        overlapping = image_tune == "overlapping"
        kernel = 2 * stride + 1 if overlapping else stride
        padding = stride if overlapping else 0
        self.conv = nn.Conv2d(in_channels, bottleneck, kernel, stride=stride, padding=padding)
        self.norm: nn.Module = nn.LayerNorm(bottleneck) if overlapping else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h_before, w_before) to (B, bottleneck, h, w)."""
        x = self.conv(x).permute(0, 2, 3, 1)
        tuned: Tensor = self.norm(x).permute(0, 3, 1, 2)
        return tuned


class StageAdapter(nn.Module):
    """Prompts for the blocks of one stage: ``P_i = MLP_up(GELU(MLP_tune_i(F)))``.

    Parameters
    ----------
    layout : StageLayout
        The stage.
    config : AdapterConfig
    in_channels : mapping of str to int
        Channels in which each image condition enters.
    stride : int
        How much coarser this stage is than what those channels come from.
    """

    def __init__(
        self,
        layout: StageLayout,
        config: AdapterConfig,
        in_channels: Mapping[str, int],
        stride: int,
    ) -> None:
        super().__init__()
        bottleneck = bottleneck_width(layout, config)
        if config.patch_embedding_weight is not None:
            self.patch_embedding_tune = nn.Linear(layout.width, bottleneck)
        self.image_tune = nn.ModuleDict(
            {
                name: ImageTuneLayer(channels, bottleneck, stride, config.image_tune)
                for name, channels in in_channels.items()
            }
        )
        self.mlp_tune = nn.ModuleList(
            nn.Linear(bottleneck, bottleneck) for _ in range(layout.depth)
        )
        self.mlp_up = nn.Linear(bottleneck, layout.width)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        # A zero up-projection makes step 0 the base model itself: never worse by accident.
        nn.init.zeros_(self.mlp_up.weight)

    def prompt(self, block: int, conditions: Tensor) -> Tensor:
        """Return the prompt of one block, (B, h, w, width), from conditions (B, h, w, r)."""
        prompt: Tensor = self.mlp_up(nn.functional.gelu(self.mlp_tune[block](conditions)))
        return prompt


class Adapter(nn.Module):
    """All prompts of an encoder.

    Parameters
    ----------
    layout : sequence of StageLayout
        Every stage of the encoder, adapted or not.
    config : AdapterConfig
        Which stages are adapted, how wide, and from which conditions.

    Raises
    ------
    ConditionError
        If a condition is unknown, or does not return what a condition must.

    References
    ----------
    Chen et al., SAM-Adapter, arXiv:2304.09148, section 3; Chen et al., SAM2-Adapter,
    arXiv:2408.04579, section 3 (hierarchical form).
    """

    def __init__(self, layout: Sequence[StageLayout], config: AdapterConfig) -> None:
        super().__init__()
        if max(config.stages) >= len(layout):
            raise ValueError(
                f"the adapter names stage {max(config.stages)}, but the encoder has "
                f"stages 0 to {len(layout) - 1}"
            )
        self.config = config
        self._image_conditions = {
            condition.name: image_condition(condition.name, mask_ratio=config.mask_ratio)
            for condition in config.image_conditions
        }
        channels = {name: n_channels(one) for name, one in self._image_conditions.items()}
        self.stages = nn.ModuleDict()
        stride = 1
        for number in config.stages:
            relative = max(1, layout[number].stride // stride)
            self.stages[str(number)] = StageAdapter(layout[number], config, channels, relative)
            stride = layout[number].stride
            channels = dict.fromkeys(channels, bottleneck_width(layout[number], config))

    def begin(self, images: Tensor) -> AdapterPass:
        """Start one forward pass over (B, 3, H, W) encoder inputs."""
        image_terms: dict[int, Tensor] = {}
        for condition in self.config.image_conditions:
            x = self._image_conditions[condition.name](images)
            for number in self.config.stages:
                x = self.stage(number).image_tune[condition.name](x)
                term = weighted(condition, x.permute(0, 2, 3, 1))
                image_terms[number] = term + image_terms[number] if number in image_terms else term
        return AdapterPass(self, image_terms)

    def stage(self, number: int) -> StageAdapter:
        """Return the adapter of one stage."""
        module = self.stages[str(number)]
        assert isinstance(module, StageAdapter)
        return module


class AdapterPass:
    """The adapter during one forward pass of an encoder.

    An encoder calls `enter_stage` with the features that enter a stage and `before_block` before
    each of its blocks. Features are channels-last, (B, h, w, width).
    """

    def __init__(self, adapter: Adapter, image_terms: Mapping[int, Tensor]) -> None:
        self._adapter = adapter
        self._image_terms = image_terms
        self._conditions: dict[int, Tensor] = {}

    def enter_stage(self, stage: int, features: Tensor) -> None:
        """Take the stage's own features as the patch-embedding condition and sum all of them."""
        config = self._adapter.config
        if stage not in config.stages:
            return
        total = self._image_terms.get(stage)
        weight = config.patch_embedding_weight
        if weight is not None:
            embedded = self._adapter.stage(stage).patch_embedding_tune(features)
            embedded = embedded if weight == 1.0 else weight * embedded
            total = embedded if total is None else embedded + total
        assert total is not None, "an adapter has at least one condition"
        self._conditions[stage] = total

    def before_block(self, stage: int, block: int, x: Tensor) -> Tensor:
        """Return ``x`` plus the prompt of this block; ``x`` itself where no prompt is due."""
        if stage not in self._conditions:
            return x
        prompt = self._adapter.stage(stage).prompt(block, self._conditions[stage])
        return x + prompt.to(x.dtype)


def bottleneck_width(layout: StageLayout, config: AdapterConfig) -> int:
    """Return the width r in which a stage's conditions are summed."""
    return max(1, layout.width // config.reduction)


def weighted(condition: Condition, x: Tensor) -> Tensor:
    """Return ``w_j F_j``, and F_j itself for the paper's weight of 1."""
    return x if condition.weight == 1.0 else condition.weight * x


def has_zero_effect(adapter: Adapter) -> bool:
    """Tell whether every up-projection is zero, so that the encoder is still the base model's."""
    ups = [adapter.stage(number).mlp_up for number in adapter.config.stages]
    return all(not torch.any(up.weight) and not torch.any(up.bias) for up in ups)
