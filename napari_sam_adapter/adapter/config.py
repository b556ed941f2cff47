"""What an adapter is made of, as plain data: it travels in the adapter file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StageLayout:
    """One stage of an image encoder as an adapter sees it.

    Attributes
    ----------
    width : int
        Channels of the features that enter the stage's blocks.
    depth : int
        Number of blocks.
    stride : int
        Input pixels per feature cell along each side.
    """

    width: int
    depth: int
    stride: int


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Shape of an adapter.

    Attributes
    ----------
    stages : tuple of int
        Encoder stages that receive prompts. A plain ViT has the single stage 0.
    reduction : int
        The bottleneck of a stage is its width divided by this.
    mask_ratio : float
        Share of the spectrum removed for the high-frequency component.
    """

    stages: tuple[int, ...] = (1, 2, 3)
    reduction: int = 8
    mask_ratio: float = 0.25

    def __post_init__(self) -> None:
        if not self.stages or list(self.stages) != sorted(set(self.stages)):
            raise ValueError(
                f"stages must be rising stage numbers such as (1, 2, 3), got {self.stages}"
            )
        if self.reduction < 1:
            raise ValueError(f"reduction must be at least 1, got {self.reduction}")
        if not 0.0 < self.mask_ratio < 1.0:
            raise ValueError(f"mask_ratio must lie between 0 and 1, got {self.mask_ratio}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AdapterConfig:
        """Rebuild a configuration from `to_dict`; unknown keys are an error of the file."""
        return cls(
            stages=tuple(int(stage) for stage in values["stages"]),
            reduction=int(values["reduction"]),
            mask_ratio=float(values["mask_ratio"]),
        )
