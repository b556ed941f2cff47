"""The models whose training steps are timed, each with stock modules of the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.encoders import stock_lite_medsam
from bench.plain import plain_loss, tiny_vit_embedding, vit_embedding
from napari_sam_adapter.adapter.config import PLAIN_VIT_ADAPTER
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.base import BaseSam, build_mask_decoder, build_prompt_encoder
from napari_sam_adapter.sam.late import prepare_late
from napari_sam_adapter.sam.plain_vit import VIT_B, PlainViT
from napari_sam_adapter.training.augment import View
from napari_sam_adapter.training.config import Gear, TrainingConfig
from napari_sam_adapter.training.feeds import feed_for
from napari_sam_adapter.training.prepared_sample import PreparedSample
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.step import Stepper
from napari_sam_adapter.training.workers import ALONE


@dataclass(frozen=True, slots=True)
class Setting:
    """A model, the stock encoder with the same weights, and a slice.

    Attributes
    ----------
    name : str
    model : AdaptedSam
    stock : Module
    encode : callable
        The formula on it; see `bench.plain`.
    sample : TrainingSample
        Of the size of the model's input.
    """

    name: str
    model: AdaptedSam
    stock: Any
    encode: Callable[..., Tensor]
    sample: TrainingSample

    def model_for(self, gear: Gear) -> AdaptedSam:
        """Return a copy that computes the same, ready for a gear."""
        model = copy.deepcopy(self.model)
        if gear == "late":
            prepare_late(model)
        return model

    def inputs(self) -> tuple[Tensor, Tensor]:
        """Make the encoder's input (1, 3, S, S) and the target (1, 1, S, S)."""
        prepared = PreparedSample(self.sample, 1, self.model.settings.input_format)
        images, target, _ = prepared.render(View())
        return images, target

    def stepper(self, model: AdaptedSam, gear: Gear, *, clips: bool = True) -> Stepper:
        """Return what takes the product's own steps, which leave all weights as they are.

        Without prompts and always on the same view, as the plain step has neither; with everything
        else that a training run does in a step, if asked for without clipped gradients.
        """
        config = TrainingConfig(
            gear=gear,
            prompted_share=0.0,
            augmentation="none",
            decoder_learning_rate=0.0,
            adapter_learning_rate=0.0,
        )
        if not clips:
            config = replace(config, gradient_clip=None)
        return Stepper(model, feed_for(model, [self.sample], config), config, ALONE)

    def plain_loss(self, model: AdaptedSam) -> Callable[[], Tensor]:
        """Return what computes the plain step's loss, with the adapter and decoder of a model."""
        return partial(plain_loss, self.encode, self.stock, model, *self.inputs())


def lite_medsam() -> Setting:
    """LiteMedSAM at 256 px, the only size of its stock encoder."""
    model = build_adapted_sam(ModelSettings.default("lite_medsam", 256))
    stock = stock_lite_medsam().image_encoder.requires_grad_(False)
    return Setting("LiteMedSAM", _randomised(model), stock, tiny_vit_embedding, _sample(256))


def vit_b(size: int = 512) -> Setting:
    """ViT-B with random weights."""
    torch.manual_seed(0)
    encoder = PlainViT(VIT_B, grid=size // 16)
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.trunc_normal_(parameter, std=0.02)
    base = BaseSam(encoder, build_prompt_encoder(size, 16), build_mask_decoder())
    model = AdaptedSam(base, ModelSettings("sam_vit_b", size, "none", PLAIN_VIT_ADAPTER))
    name, stock = f"ViT-B {size} px", encoder.vit
    return Setting(name, _randomised(model), stock, vit_embedding, _sample(size))


def _randomised(model: AdaptedSam) -> AdaptedSam:
    """Give the adapter an effect: its up-projections start at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.adapter.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.01)
    return model


def _sample(size: int) -> TrainingSample:
    data = synthetic_polyps(1, (size, size), seed=11)
    return TrainingSample(data.frames[0], data.masks[0] != 0, "frame")
