"""The part of an adapter that serves one stage of an encoder."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from napari_sam_adapter.adapter.config import AdapterConfig, ImageTune, StageLayout


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
    first_block : int
        The first block it has prompts for.
    """

    def __init__(
        self,
        layout: StageLayout,
        config: AdapterConfig,
        in_channels: Mapping[str, int],
        stride: int,
        first_block: int = 0,
    ) -> None:
        super().__init__()
        bottleneck = bottleneck_width(layout, config)
        self.first_block = first_block
        if config.patch_embedding_weight is not None:
            self.patch_embedding_tune = nn.Linear(layout.width, bottleneck)
        self.image_tune = nn.ModuleDict(
            {
                name: ImageTuneLayer(channels, bottleneck, stride, config.image_tune)
                for name, channels in in_channels.items()
            }
        )
        self.mlp_tune = nn.ModuleList(
            nn.Linear(bottleneck, bottleneck) for _ in range(first_block, layout.depth)
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
        tuned = self.mlp_tune[block - self.first_block](conditions)
        prompt: Tensor = self.mlp_up(nn.functional.gelu(tuned))
        return prompt


def bottleneck_width(layout: StageLayout, config: AdapterConfig) -> int:
    """Return the width r in which a stage's conditions are summed."""
    return max(1, layout.width // config.reduction)
