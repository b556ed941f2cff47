"""The adapter itself: task knowledge that is added before each block of a frozen encoder.

One class serves both encoder families. A hierarchical encoder (TinyViT) has several stages, a plain
ViT has one. The module knows feature widths and grids, nothing of any encoder's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.conditions import image_condition, n_channels
from napari_sam_adapter.adapter.config import (
    AdapterConfig,
    Condition,
    Cut,
    StageLayout,
)
from napari_sam_adapter.adapter.stage import StageAdapter, bottleneck_width


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
        self.late: StageAdapter | None = None
        if config.forked_at is not None:
            self._check_fork(layout[config.stages[-1]], config.forked_at)
            channels = {name: n_channels(one) for name, one in self._image_conditions.items()}
            stage = layout[config.stages[0]]
            self.late = StageAdapter(stage, config, channels, stage.stride, config.forked_at)

    def _check_fork(self, stage: StageLayout, block: int) -> None:
        if len(self.config.stages) > 1:
            raise ValueError(
                "an adapter of several stages shares no layers between them, so it is not forked"
            )
        if block >= stage.depth:
            raise ValueError(f"forked_at is {block}, but the stage has {stage.depth} blocks")

    def begin(self, images: Tensor) -> AdapterPass:
        """Start one forward pass over (B, 3, H, W) encoder inputs."""
        maps = self.maps_before(images, Cut(0, 0))
        return AdapterPass(self, self._image_terms(maps, Cut(0, 0)), Cut(0, 0))

    def maps_before(self, images: Tensor, cut: Cut) -> dict[str, Tensor]:
        """Return what the image conditions are where they enter the stage of a cut, by name.

        What comes after the cut (`begin_after`) needs nothing else of the images.
        """
        maps = {}
        for name, condition in self._image_conditions.items():
            x = condition(images)
            for number in self.config.stages:
                if number < cut.stage:
                    x = self.stage(number).image_tune[name](x)
            maps[name] = x
        return maps

    def begin_after(self, maps: Mapping[str, Tensor], cut: Cut) -> AdapterPass:
        """Start the part of a forward pass that comes after a cut."""
        return AdapterPass(self, self._image_terms(maps, cut), cut)

    def _image_terms(self, maps: Mapping[str, Tensor], cut: Cut) -> dict[StageAdapter, Tensor]:
        """Return the sum of the image conditions for each part that has prompts after a cut."""
        terms: dict[StageAdapter, Tensor] = {}
        for condition in self.config.image_conditions:
            x = maps[condition.name]
            for part in self.parts_after(cut):
                entering = maps[condition.name] if part is self.late else x
                x = part.image_tune[condition.name](entering)
                term = weighted(condition, x.permute(0, 2, 3, 1))
                terms[part] = term + terms[part] if part in terms else term
        return terms

    def stage(self, number: int) -> StageAdapter:
        """Return the adapter of one stage."""
        module = self.stages[str(number)]
        assert isinstance(module, StageAdapter)
        return module

    def part_of(self, stage: int, block: int) -> StageAdapter:
        """Return what gives the prompt of a block."""
        if self.late is not None and block >= self.late.first_block:
            return self.late
        return self.stage(stage)

    def parts_after(self, cut: Cut) -> list[StageAdapter]:
        """Return what gives the prompts after a cut, from stage to stage; none of them before it.

        Raises
        ------
        ValueError
            If the cut lies within a stage and the adapter is not forked there.
        """
        late = [] if self.late is None else [self.late]
        if not cut.block:
            return [self.stage(n) for n in self.config.stages if n >= cut.stage] + late
        if self.config.forked_at != cut.block:
            raise ValueError(f"the adapter is not forked at block {cut.block}")
        return late

    def fork(self, forked: Adapter) -> None:
        """Copy this adapter into one of the same shape that is forked, changing nothing else."""
        own = self.state_dict()
        late = forked.late
        assert late is not None
        prefix = f"stages.{self.config.stages[0]}."
        copied = {}
        for key in late.state_dict():
            name, _, last = key.partition("mlp_tune.")
            if last:
                number, _, rest = last.partition(".")
                name = f"mlp_tune.{int(number) + late.first_block}.{rest}"
            copied[f"late.{key}"] = own[f"{prefix}{name}"]
        forked.load_state_dict({**own, **copied}, strict=True)


class AdapterPass:
    """The adapter during one forward pass of an encoder.

    An encoder calls `enter_stage` with the features that enter a stage and `before_block` before
    each of its blocks. Features are channels-last, (B, h, w, width).
    """

    def __init__(
        self, adapter: Adapter, image_terms: Mapping[StageAdapter, Tensor], cut: Cut
    ) -> None:
        self._adapter, self._image_terms = adapter, image_terms
        self._parts = adapter.parts_after(cut)
        self._conditions: dict[StageAdapter, Tensor] = {}

    def enter_stage(self, stage: int, features: Tensor) -> None:
        """Take the stage's own features as the patch-embedding condition and sum all of them."""
        config = self._adapter.config
        if stage not in config.stages:
            return
        weight = config.patch_embedding_weight
        for part in (self._adapter.stage(stage), self._adapter.late):
            if part is None or part not in self._parts:
                continue
            total = self._image_terms.get(part)
            if weight is not None:
                embedded = part.patch_embedding_tune(features)
                embedded = embedded if weight == 1.0 else weight * embedded
                total = embedded if total is None else embedded + total
            assert total is not None, "an adapter has at least one condition"
            self._conditions[part] = total

    def before_block(self, stage: int, block: int, x: Tensor) -> Tensor:
        """Return ``x`` plus the prompt of this block; ``x`` itself where no prompt is due."""
        if stage not in self._adapter.config.stages:
            return x
        part = self._adapter.part_of(stage, block)
        return x + part.prompt(block, self._conditions[part]).to(x.dtype)


def weighted(condition: Condition, x: Tensor) -> Tensor:
    """Return ``w_j F_j``, and F_j itself for the paper's weight of 1."""
    return x if condition.weight == 1.0 else condition.weight * x


def has_zero_effect(adapter: Adapter) -> bool:
    """Tell whether every up-projection is zero, so that the encoder is still the base model's."""
    ups = [part.mlp_up for part in adapter.parts_after(Cut(0, 0))]
    return all(not torch.any(up.weight) and not torch.any(up.bias) for up in ups)
