"""SAM's plain ViT encoders, wrapped around `segment_anything`'s own modules.

The wrapper makes the two calls an adapter needs and lets the input be of any size that the patch
size divides, square or not; every weight is in `segment_anything`'s own modules. What a block
computes is theirs too, in another order of work (`relative_attention`, `strips`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from napari_sam_adapter.adapter.config import Cut, StageLayout
from napari_sam_adapter.adapter.module import AdapterPass
from napari_sam_adapter.sam.base import go_on
from napari_sam_adapter.sam.modeling import Block, ImageEncoderViT
from napari_sam_adapter.sam.relative_attention import attend
from napari_sam_adapter.sam.strips import add_in_strips

PATCH_SIZE = 16
PRETRAINED_GRID = 64  # SAM was trained at 1024 pixels


@dataclass(frozen=True, slots=True)
class PlainViTConfig:
    """Sizes of a plain ViT; all have windows of 14 x 14 patches but in the global blocks."""

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]


# segment_anything/build_sam.py
VIT_B = PlainViTConfig(768, 12, 12, (2, 5, 8, 11))
VIT_L = PlainViTConfig(1024, 24, 16, (5, 11, 17, 23))
VIT_H = PlainViTConfig(1280, 32, 16, (7, 15, 23, 31))


class PlainViT(nn.Module):
    """The encoder: (B, 3, H, W) images to (B, 256, H / 16, W / 16) image embeddings.

    Parameters
    ----------
    config : PlainViTConfig
    grid : int
        Side of the position embedding that the weights bring, in patches.
    """

    def __init__(self, config: PlainViTConfig, grid: int = PRETRAINED_GRID) -> None:
        super().__init__()
        self.before_block: Callable[[], None] = go_on  # see `base.ImageEncoder`
        self.config = config
        self.vit = ImageEncoderViT(
            img_size=grid * PATCH_SIZE,
            patch_size=PATCH_SIZE,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=4.0,
            out_chans=256,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=config.global_blocks,
        )

    @property
    def layout(self) -> tuple[StageLayout, ...]:
        """The single stage an adapter sees."""
        return (StageLayout(self.config.width, self.config.depth, PATCH_SIZE),)

    def forward(self, images: Tensor, adapter: AdapterPass | None = None) -> Tensor:
        """Encode images, adding the adapter's prompts before each block.

        Parameters
        ----------
        images : Tensor, shape (B, 3, H, W), float
            Preprocessed images; H and W divisible by 16.
        adapter : AdapterPass, optional
            Prompts for this pass, from `Adapter.begin` with the same images.

        Returns
        -------
        Tensor, shape (B, 256, H / 16, W / 16)

        Raises
        ------
        ValueError
            If a side is not divisible by the patch size.
        """
        start = Cut(0, 0)
        features, entering = self.before(images, adapter, start)
        return self.after(features, entering, adapter, start)

    @property
    def late_cut(self) -> Cut:
        """Where the ``late`` gear begins: at the last third of the blocks."""
        return Cut(0, self.config.depth - self.config.depth // 3)

    def before(
        self, images: Tensor, adapter: AdapterPass | None, cut: Cut
    ) -> tuple[Tensor, Tensor]:
        """Encode up to a cut between two blocks; see `base.ImageEncoder`."""
        if images.shape[-2] % PATCH_SIZE or images.shape[-1] % PATCH_SIZE:
            raise ValueError(
                f"the sides of the input must be divisible by {PATCH_SIZE}, got "
                f"{images.shape[-2]} x {images.shape[-1]}"
            )
        # Before the position embedding, as in the published method: E knows what, not where.
        entering: Tensor = self.vit.patch_embed(images)  # (B, h, w, C)
        if adapter is not None and cut.block:
            adapter.enter_stage(0, entering)
        x = entering + self._position_embedding(entering)
        return self._through(x, adapter, range(cut.block)), entering

    def after(
        self, features: Tensor, entering: Tensor, adapter: AdapterPass | None, cut: Cut
    ) -> Tensor:
        """Encode what comes after a cut; see `base.ImageEncoder`."""
        if adapter is not None:
            adapter.enter_stage(0, entering)
        x = self._through(features, adapter, range(cut.block, self.config.depth))
        embedding: Tensor = self.vit.neck(x.permute(0, 3, 1, 2))
        return embedding

    def _through(self, x: Tensor, adapter: AdapterPass | None, blocks: range) -> Tensor:
        for index in blocks:
            self.before_block()
            if adapter is not None:
                x = adapter.before_block(0, index, x)
            x = block_of_vit(self.vit.blocks[index], x)
        return x

    def _position_embedding(self, x: Tensor) -> Tensor:
        """Return the position embedding (1, h, w, C), interpolated where the grid is another."""
        embedding: Tensor = self.vit.pos_embed
        if embedding.shape[1:3] == x.shape[1:3]:
            return embedding
        resized = functional.interpolate(
            embedding.permute(0, 3, 1, 2).float(),
            (x.shape[1], x.shape[2]),
            mode="bicubic",
            align_corners=False,
        )
        return resized.permute(0, 2, 3, 1).to(embedding.dtype)


def block_of_vit(block: Block, x: Tensor) -> Tensor:
    """Compute what one of `segment_anything`'s blocks does, for less time and memory.

    Parameters
    ----------
    block : Block
    x : Tensor, shape (B, h, w, C)
        Relative positions are interpolated where the grid is not the one of the weights.
    """
    x = x + attend(block.attn, block.norm1(x), block.window_size)
    return add_in_strips(
        x, lambda strip: block.mlp(block.norm2(strip)), block.mlp.lin1.out_features
    )
