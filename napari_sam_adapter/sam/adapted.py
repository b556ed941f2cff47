"""A base model with an adapter: what predicts, and what is trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.card import TAKES_NO_PROMPTS
from napari_sam_adapter.adapter.classes import check_class_names
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.adapter.module import Adapter, has_zero_effect
from napari_sam_adapter.errors import PromptError
from napari_sam_adapter.sam.base import EMBEDDING_WIDTH, BaseSam
from napari_sam_adapter.sam.base_model import BaseModel, check_input_size
from napari_sam_adapter.sam.class_decoder import decode_classes, new_class
from napari_sam_adapter.sam.input_format import Fit, InputFormat, InputGeometry, Normalisation
from napari_sam_adapter.sam.modeling import MaskDecoder, PositionEmbeddingRandom
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.sam.registry import base_model

BoxAnswers = Literal["adapter", "base"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Everything that decides what an adapted model computes, its weights aside.

    Attributes
    ----------
    base : str
        Name of the base model, as `registry.base_model` takes it.
    input_size : int
        Side S of the square encoder input.
    standing_prompt : str
        ``"whole_image_box"`` or ``"none"``.
    adapter : AdapterConfig
    class_names : tuple of str
        One name per predicted class.
    normalisation, fit : str
        See `InputFormat`.
    box_answers : {"adapter", "base"}
        Who answers to boxes. Few slices teach what to find, but not how to outline whatever is in a
        box: there the base model may stay the better one.
    own_prompt_embedding : bool
        Whether the model brings its own position encoding and no-mask embedding instead of the
        base's, as SAM-Adapter's original checkpoints do. It takes no prompts then.
    """

    base: str
    input_size: int
    standing_prompt: str
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    class_names: tuple[str, ...] = ("object",)
    normalisation: Normalisation = "min-max"
    fit: Fit = "pad"
    box_answers: BoxAnswers = "adapter"
    own_prompt_embedding: bool = False

    def __post_init__(self) -> None:
        check_class_names(self.class_names)
        if self.standing_prompt not in ("whole_image_box", "none"):
            raise ValueError(f"unknown standing prompt {self.standing_prompt!r}")
        if self.box_answers not in get_args(BoxAnswers):
            raise ValueError(
                f"boxes are answered by the adapter or the base, not {self.box_answers!r}"
            )
        InputFormat(self.input_size, self.normalisation, self.fit)  # checks its own values

    @classmethod
    def default(cls, base: str, input_size: int | None = None) -> ModelSettings:
        """Return a base model's own settings, optionally at another input size."""
        spec = base_model(base)
        size = spec.default_input_size if input_size is None else input_size
        check_input_size(spec, size)
        return cls(
            base=spec.name,
            input_size=size,
            standing_prompt=spec.standing_prompt,
            adapter=spec.adapter,
            normalisation=spec.normalisation,
            fit=spec.fit,
            box_answers="base",
        )

    def with_changes(self, **changes: object) -> ModelSettings:
        """Return settings that differ in some values."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def input_format(self) -> InputFormat:
        """How slices are brought into the encoder's input."""
        return InputFormat(self.input_size, self.normalisation, self.fit)


class PromptEmbedding(nn.Module):
    """Position encoding and no-mask embedding of a model that does not use its base's."""

    def __init__(self) -> None:
        super().__init__()
        self.pe_layer = PositionEmbeddingRandom(EMBEDDING_WIDTH // 2)
        self.no_mask_embed = nn.Embedding(1, EMBEDDING_WIDTH)


class AdaptedSam(nn.Module):
    """A frozen base, an adapter in front of its blocks, and a mask decoder of its own.

    Parameters
    ----------
    base : BaseSam
        Shared and never changed; the mask decoder is copied from it.
    settings : ModelSettings

    Attributes
    ----------
    spec : BaseModel
        The base model's registry entry, as it was: its file may go while the model computes.
    adapter : Adapter
    mask_decoder : MaskDecoder
    further_classes : ModuleList
        The parts that training changes and an adapter file holds. The decoder knows the first
        class; each further class has a small network of its own (`class_decoder`).
    """

    def __init__(self, base: BaseSam, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.spec: BaseModel = base_model(settings.base)
        # Not registered as submodules: state_dict() and parameters() are the adapter's alone.
        self._frozen = (base,)
        self.adapter = Adapter(base.image_encoder.layout, settings.adapter)  # type: ignore[arg-type]
        self.mask_decoder: MaskDecoder = copy.deepcopy(base.mask_decoder)
        self.further_classes = nn.ModuleList(
            new_class(self.mask_decoder) for _ in range(settings.n_classes - 1)
        )
        self.prompt_embedding = PromptEmbedding() if settings.own_prompt_embedding else None

    @property
    def base(self) -> BaseSam:
        """The frozen base model."""
        return self._frozen[0]

    @property
    def base_sha256(self) -> str:
        """Of the weights it computes with, also where their file is another one by now."""
        return self._frozen[0].sha256 or self.spec.weights.sha256

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        device: torch.device = next(self.mask_decoder.parameters()).device
        return device

    @property
    def takes_prompts(self) -> bool:
        """Whether boxes and points of a person mean anything to it."""
        return self.prompt_embedding is None and self.base.knows_prompts

    def decoder_parameters(self) -> list[nn.Parameter]:
        """List what the quick gear trains: everything after the image embedding."""
        return [*self.mask_decoder.parameters(), *self.further_classes.parameters()]

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

    def decode(
        self, image_embeddings: Tensor, geometry: InputGeometry, prompts: Prompts = NO_PROMPTS
    ) -> Tensor:
        """Map image embeddings to mask logits.

        Parameters
        ----------
        image_embeddings : Tensor, shape (B, 256, h, w)
            All slices of a batch share one geometry; with prompts, B is 1.
        geometry : InputGeometry
        prompts : Prompts
            Without a box, the standing prompt stands in for the person's.

        Returns
        -------
        Tensor, shape (B, K, 4h, 4w), or (n, K, 4h, 4w) for n boxes

        Raises
        ------
        PromptError
            If the model takes no prompts.
        """
        sparse, dense, position = self._embed(image_embeddings, geometry, prompts)
        return decode_classes(
            self.mask_decoder,
            self.further_classes,
            image_embeddings=image_embeddings,
            image_pe=position,
            sparse=sparse,
            dense=dense,
        )

    def encode_by_base(self, images: Tensor) -> Tensor:
        """Map (B, 3, S, S) inputs to the image embeddings of the base model alone."""
        embeddings: Tensor = self.base.image_encoder(images, None)
        return embeddings

    def decode_by_base(
        self, image_embedding: Tensor, geometry: InputGeometry, prompts: Prompts
    ) -> Tensor:
        """Map an embedding of `encode_by_base` to what the base model alone answers to prompts.

        Returns
        -------
        Tensor, shape (n, 1, 4h, 4w), for n boxes
            The base model knows no classes.
        """
        sparse, dense, position = self._embed(image_embedding, geometry, prompts)
        return decode_classes(
            self.base.mask_decoder,
            (),
            image_embeddings=image_embedding,
            image_pe=position,
            sparse=sparse,
            dense=dense,
        )

    def _embed(
        self, image_embeddings: Tensor, geometry: InputGeometry, prompts: Prompts
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return sparse and dense prompt embeddings and the position encoding of the grid."""
        if prompts:
            self._check_takes_prompts()
        height, width = image_embeddings.shape[-2:]
        if self.prompt_embedding is not None:
            own = self.prompt_embedding
            dense = own.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(-1, -1, height, width)
            sparse = dense.new_zeros(1, 0, EMBEDDING_WIDTH)
            return sparse, dense, own.pe_layer((height, width))[None]
        encoder = self.base.prompt_encoder_for((height, width))
        points, boxes = prompts.at_input(geometry)
        if boxes is None and self.settings.standing_prompt == "whole_image_box":
            height, width = geometry.content_hw
            boxes = np.array([[0, 0, width - 1, height - 1]], np.float32)
        with torch.no_grad():
            sparse, dense = encoder(
                points=None if points is None else tuple(map(self._tensor, points)),
                boxes=None if boxes is None else self._tensor(boxes),
                masks=None,
            )
        return sparse, dense, encoder.get_dense_pe()

    def _check_takes_prompts(self) -> None:
        if self.takes_prompts:
            return
        if self.prompt_embedding is not None:
            raise PromptError(
                f"This adapter {TAKES_NO_PROMPTS} Predict without prompts, or use another adapter."
            )
        raise PromptError(
            f"The weights of {self.spec.name} were never trained with boxes and points, as those "
            "of an original SAM-Adapter checkpoint. Predict without prompts, or use another base "
            "model."
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


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
