"""The adapter itself: task knowledge that is added before each block of a frozen encoder.

One class serves both encoder families. A hierarchical encoder (TinyViT) has several stages, a plain
ViT has one. The module knows feature widths and grids, nothing of any encoder's code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.config import AdapterConfig, StageLayout
from napari_sam_adapter.adapter.high_frequency import high_frequency_components


class StageAdapter(nn.Module):
    """Prompts for the blocks of one stage: ``P_i = MLP_up(GELU(MLP_tune_i(F)))``.

    Parameters
    ----------
    layout : StageLayout
        The stage.
    bottleneck : int
        Width r in which the two conditions are summed.
    hfc_channels, hfc_stride : int
        Channels of the high-frequency features that enter, and how much coarser this stage is.
    """

    def __init__(
        self, layout: StageLayout, bottleneck: int, hfc_channels: int, hfc_stride: int
    ) -> None:
        super().__init__()
        self.patch_embedding_tune = nn.Linear(layout.width, bottleneck)
        kernel = 2 * hfc_stride + 1
        self.high_frequency_tune = nn.Conv2d(
            hfc_channels, bottleneck, kernel, stride=hfc_stride, padding=hfc_stride
        )
        self.high_frequency_norm = nn.LayerNorm(bottleneck)
        self.mlp_tune = nn.ModuleList(
            nn.Linear(bottleneck, bottleneck) for _ in range(layout.depth)
        )
        self.mlp_up = nn.Linear(bottleneck, layout.width)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for module in (self.patch_embedding_tune, *self.mlp_tune):
            assert isinstance(module, nn.Linear)
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        nn.init.kaiming_normal_(self.high_frequency_tune.weight, mode="fan_out")
        nn.init.zeros_(self.high_frequency_tune.bias)  # type: ignore[arg-type]
        # A zero up-projection makes step 0 the base model itself: never worse by accident.
        nn.init.zeros_(self.mlp_up.weight)
        nn.init.zeros_(self.mlp_up.bias)

    def high_frequency_features(self, features: Tensor) -> Tensor:
        """Map (B, r_before, h_before, w_before) features to this stage's (B, r, h, w)."""
        x = self.high_frequency_tune(features)
        normalised: Tensor = self.high_frequency_norm(x.permute(0, 2, 3, 1))
        return normalised.permute(0, 3, 1, 2)

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
        Which stages are adapted, and how wide.

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
        self.stages = nn.ModuleDict()
        channels, stride = 3, 1
        for number in config.stages:
            bottleneck = max(1, layout[number].width // config.reduction)
            relative = max(1, layout[number].stride // stride)
            self.stages[str(number)] = StageAdapter(layout[number], bottleneck, channels, relative)
            channels, stride = bottleneck, layout[number].stride

    def begin(self, images: Tensor) -> AdapterPass:
        """Start one forward pass over (B, 3, S, S) encoder inputs."""
        x = high_frequency_components(images, self.config.mask_ratio)
        high_frequency: dict[int, Tensor] = {}
        for name, stage in self.stages.items():
            assert isinstance(stage, StageAdapter)
            x = stage.high_frequency_features(x)
            high_frequency[int(name)] = x.permute(0, 2, 3, 1)
        return AdapterPass(self, high_frequency)

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

    def __init__(self, adapter: Adapter, high_frequency: dict[int, Tensor]) -> None:
        self._adapter = adapter
        self._high_frequency = high_frequency
        self._conditions: dict[int, Tensor] = {}

    def enter_stage(self, stage: int, features: Tensor) -> None:
        """Take the stage's own features as the patch-embedding condition and sum both."""
        if stage in self._high_frequency:
            embedded = self._adapter.stage(stage).patch_embedding_tune(features)
            self._conditions[stage] = embedded + self._high_frequency[stage]

    def before_block(self, stage: int, block: int, x: Tensor) -> Tensor:
        """Return ``x`` plus the prompt of this block; ``x`` itself where no prompt is due."""
        if stage not in self._conditions:
            return x
        prompt = self._adapter.stage(stage).prompt(block, self._conditions[stage])
        return x + prompt.to(x.dtype)


def has_zero_effect(adapter: Adapter) -> bool:
    """Tell whether every up-projection is zero, so that the encoder is still the base model's."""
    ups = [adapter.stage(number).mlp_up for number in adapter.config.stages]
    return all(not torch.any(up.weight) and not torch.any(up.bias) for up in ups)
