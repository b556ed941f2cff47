"""A base model with an adapter: what predicts, and what is trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor, nn

from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.adapter.module import Adapter, has_zero_effect
from napari_sam_adapter.sam.base import BaseSam
from napari_sam_adapter.sam.preprocess import InputGeometry
from napari_sam_adapter.sam.registry import BaseModel, base_model, check_input_size


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Everything that decides what an adapted model computes, its weights aside.

    Attributes
    ----------
    base : str
        Name of the base model in the registry.
    input_size : int
        Side S of the square encoder input.
    standing_prompt : str
        ``"whole_image_box"`` or ``"none"``.
    adapter : AdapterConfig
    class_names : tuple of str
        One name per predicted class.
    """

    base: str
    input_size: int
    standing_prompt: str
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    class_names: tuple[str, ...] = ("object",)

    @classmethod
    def default(cls, base: str, input_size: int | None = None) -> ModelSettings:
        """Return a base model's own settings, optionally at another input size."""
        spec = base_model(base)
        size = spec.default_input_size if input_size is None else input_size
        check_input_size(spec, size)
        return cls(base=base, input_size=size, standing_prompt=spec.standing_prompt)


class AdaptedSam(nn.Module):
    """A frozen base, an adapter in front of its blocks, and a mask decoder of its own.

    Parameters
    ----------
    base : BaseSam
        Shared and never changed; the mask decoder is copied from it.
    settings : ModelSettings

    Attributes
    ----------
    adapter : Adapter
    mask_decoder : MaskDecoder
        The two parts that training changes and an adapter file holds.
    """

    def __init__(self, base: BaseSam, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        # Not registered as submodules: state_dict() and parameters() are the adapter's alone.
        self._frozen = (base,)
        self.adapter = Adapter(base.image_encoder.layout, settings.adapter)  # type: ignore[arg-type]
        self.mask_decoder: MaskDecoder = copy.deepcopy(base.mask_decoder)

    @property
    def base(self) -> BaseSam:
        """The frozen base model."""
        return self._frozen[0]

    @property
    def spec(self) -> BaseModel:
        """The base model's registry entry."""
        return base_model(self.settings.base)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        device: torch.device = next(self.mask_decoder.parameters()).device
        return device

    def to_device(self, device: torch.device) -> AdaptedSam:
        """Move the adapter and its base."""
        self.base.to(device)
        return self.to(device)

    def encode(self, images: Tensor) -> Tensor:
        """Map (B, 3, S, S) inputs to (B, 256, h, w) image embeddings, adapter included.

        An adapter without effect (all up-projections zero) is skipped unless gradients are wanted.
        """
        training = torch.is_grad_enabled() and any(
            p.requires_grad for p in self.adapter.parameters()
        )
        active = training or not has_zero_effect(self.adapter)
        prompts = self.adapter.begin(images) if active else None
        embeddings: Tensor = self.base.image_encoder(images, prompts)
        return embeddings

    def decode(self, image_embeddings: Tensor, geometry: InputGeometry) -> Tensor:
        """Map (B, 256, h, w) image embeddings to (B, 1, 4h, 4w) mask logits, without a prompt.

        The standing prompt stands in for the person's: all slices of a batch share one geometry.
        """
        sparse, dense = self._standing_prompt(geometry)
        low_res_masks, _ = self.mask_decoder(
            image_embeddings=image_embeddings,
            image_pe=self.base.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        logits: Tensor = low_res_masks
        return logits

    def _standing_prompt(self, geometry: InputGeometry) -> tuple[Tensor, Tensor]:
        boxes = None
        if self.settings.standing_prompt == "whole_image_box":
            height, width = geometry.content_hw
            corners = [0.0, 0.0, width - 1.0, height - 1.0]
            boxes = torch.tensor([corners], device=self.device)
        with torch.no_grad():
            sparse, dense = self.base.prompt_encoder(points=None, boxes=boxes, masks=None)
        return sparse, dense


def build_adapted_sam(settings: ModelSettings, *, seed: int = 0) -> AdaptedSam:
    """Build an adapted model that still computes what its base computes.

    Parameters
    ----------
    settings : ModelSettings
    seed : int
        For the adapter's inner weights (its up-projections start at zero).

    Raises
    ------
    WeightsError
        If the base model or input size is unknown, or its weights are not usable.
    """
    spec = base_model(settings.base)
    check_input_size(spec, settings.input_size)
    base = spec.build(settings.input_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AdaptedSam(base, settings)
