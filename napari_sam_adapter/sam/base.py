"""The three frozen parts every base model is made of, whatever its encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.config import Cut, StageLayout
from napari_sam_adapter.adapter.module import AdapterPass
from napari_sam_adapter.sam.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

EMBEDDING_WIDTH = 256


def go_on() -> None:
    """Go on, whatever else there is to do."""


class ImageEncoder(Protocol):
    """What this package asks of an encoder; TinyViT is one, a wrapped plain ViT is another.

    Attributes
    ----------
    before_block : callable
        Called before each block; what it raises ends the pass.
    """

    before_block: Callable[[], None]

    @property
    def layout(self) -> tuple[StageLayout, ...]:
        """The stages as an adapter sees them."""

    @property
    def late_cut(self) -> Cut:
        """Where the ``late`` gear begins."""

    def __call__(self, images: Tensor, adapter: AdapterPass | None = None) -> Tensor:
        """Encode (B, 3, S, S) into (B, 256, S / stride, S / stride)."""

    def before(
        self, images: Tensor, adapter: AdapterPass | None, cut: Cut
    ) -> tuple[Tensor, Tensor]:
        """Encode up to a cut.

        Returns
        -------
        features : Tensor, shape (B, h, w, width)
            That enter the first block after the cut.
        entering : Tensor, shape (B, h, w, width)
            That entered that block's stage.
        """

    def after(
        self, features: Tensor, entering: Tensor, adapter: AdapterPass | None, cut: Cut
    ) -> Tensor:
        """Encode what `before` returned to the end: (B, 256, S / stride, S / stride)."""


class BaseSam(nn.Module):
    """A frozen image encoder with `segment_anything`'s prompt encoder and mask decoder.

    All parameters are frozen and all modules stay in evaluation mode: whoever tunes the mask
    decoder tunes a copy.

    Attributes
    ----------
    sha256 : str
        Of the file the weights were read from; "" where they are of no file.
    """

    sha256: str = ""

    def __init__(
        self, image_encoder: nn.Module, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.requires_grad_(False)
        self.eval()

    @property
    def encoder(self) -> ImageEncoder:
        """The image encoder, as what it can do."""
        return cast(ImageEncoder, self.image_encoder)

    @property
    def knows_prompts(self) -> bool:
        """Whether boxes and points were ever learned: what a file lacks of them is zero in it."""
        return any(bool(torch.any(one.weight)) for one in self.prompt_encoder.point_embeddings)

    def prompt_encoder_for(self, grid: tuple[int, int]) -> PromptEncoder:
        """Return the prompt encoder for image embeddings of (h, w) cells, with the same weights."""
        encoder = self.prompt_encoder
        if grid == encoder.image_embedding_size:
            return encoder
        stride = encoder.input_image_size[0] // encoder.image_embedding_size[0]
        other = copy.copy(encoder)  # a shallow copy: it shares the weights
        other.image_embedding_size = grid
        other.input_image_size = (grid[0] * stride, grid[1] * stride)
        return other

    def train(self, mode: bool = True) -> BaseSam:
        """Stay in evaluation mode: a frozen model has no training mode."""
        del mode
        return super().train(False)


def build_prompt_encoder(input_size: int, embedding_stride: int) -> PromptEncoder:
    """Build SAM's prompt encoder for a square input of ``input_size`` pixels."""
    grid = input_size // embedding_stride
    return PromptEncoder(
        embed_dim=EMBEDDING_WIDTH,
        image_embedding_size=(grid, grid),
        input_image_size=(input_size, input_size),
        mask_in_chans=16,
    )


def build_mask_decoder() -> MaskDecoder:
    """Build SAM's mask decoder with its published sizes."""
    return MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(
            depth=2, embedding_dim=EMBEDDING_WIDTH, mlp_dim=2048, num_heads=8
        ),
        transformer_dim=EMBEDDING_WIDTH,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
