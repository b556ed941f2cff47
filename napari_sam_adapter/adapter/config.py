"""What an adapter is made of, as plain data: it travels in the adapter file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import entry_points
from typing import Any, Literal, get_args

PATCH_EMBEDDING = "patch_embedding"
HIGH_FREQUENCY = "high_frequency"
BUILT_IN_CONDITIONS = (PATCH_EMBEDDING, HIGH_FREQUENCY, "local_texture", "gradient")
CONDITION_GROUP = "napari_sam_adapter.conditions"
"""Entry point group in which a package offers conditions of its own (docs/conditions.md)."""

ImageTune = Literal["overlapping", "patches"]


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
class Condition:
    """One term ``w_j F_j`` of the sum an adapter computes its prompts from.

    Attributes
    ----------
    name : str
        One of `condition_names`.
    weight : float
        w_j. The paper adds its two conditions as they are, with weights of 1.
    """

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a condition has no name")
        if not math.isfinite(self.weight) or self.weight == 0:
            raise ValueError(
                f"the weight of the condition {self.name!r} must be a number other than 0, got "
                f"{self.weight}; leave the condition out to do without it"
            )

    def __str__(self) -> str:
        return self.name if self.weight == 1 else f"{self.name}={self.weight:g}"


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """Where an encoder is cut in two: what lies before it is frozen in the ``late`` gear.

    Attributes
    ----------
    stage, block : int
        The first block after the cut.
    """

    stage: int
    block: int


DEFAULT_CONDITIONS = (Condition(PATCH_EMBEDDING), Condition(HIGH_FREQUENCY))


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
    conditions : tuple of Condition
        What the prompts are computed from, as a weighted sum.
    image_tune : {"overlapping", "patches"}
        How conditions that are images come to a stage's grid: by overlapping convolutions chained
        from stage to stage, each with a LayerNorm (SAM2-Adapter), or by one convolution over
        patches that do not overlap (SAM-Adapter).
    forked_at : int or None
        From this block on, the last adapted stage has copies of the layers that its blocks share,
        so that training those leaves earlier blocks, and what is cached of them, as they are.
    """

    stages: tuple[int, ...] = (1, 2, 3)
    reduction: int = 8
    mask_ratio: float = 0.25
    conditions: tuple[Condition, ...] = DEFAULT_CONDITIONS
    image_tune: ImageTune = "overlapping"
    forked_at: int | None = None

    def __post_init__(self) -> None:
        if not self.stages or list(self.stages) != sorted(set(self.stages)):
            raise ValueError(
                f"stages must be rising stage numbers such as (1, 2, 3), got {self.stages}"
            )
        if self.reduction < 1:
            raise ValueError(f"reduction must be at least 1, got {self.reduction}")
        if not 0.0 < self.mask_ratio < 1.0:
            raise ValueError(f"mask_ratio must lie between 0 and 1, got {self.mask_ratio}")
        names = [condition.name for condition in self.conditions]
        if not names:
            raise ValueError("at least one condition is needed")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the condition {twice} is named twice; once each is expected")
        if self.image_tune not in get_args(ImageTune):
            raise ValueError(f"image_tune must be overlapping or patches, got {self.image_tune!r}")
        if self.forked_at is not None and self.forked_at < 1:
            raise ValueError(f"forked_at must be a block after the first, got {self.forked_at}")

    @property
    def image_conditions(self) -> tuple[Condition, ...]:
        """The conditions that are computed from the image; the others from a stage's features."""
        return tuple(c for c in self.conditions if c.name != PATCH_EMBEDDING)

    @property
    def patch_embedding_weight(self) -> float | None:
        """Weight of the patch embedding; None where it is no condition."""
        weights = (c.weight for c in self.conditions if c.name == PATCH_EMBEDDING)
        return next(weights, None)

    def difference(self, other: AdapterConfig) -> str:
        """Say in what another shape differs from this one; empty where it does not.

        That this one is forked makes no difference: it computes the same, and stays as it is.
        """
        found = []
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs and field.name != "forked_at":
                words = (_shown(mine), _shown(theirs))
                found.append("{}: {} there, {} asked for".format(field.name, *words))
        return "; ".join(found)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AdapterConfig:
        """Rebuild a configuration from `to_dict`; a missing key is an error of the file."""
        return cls(
            stages=tuple(int(stage) for stage in values["stages"]),
            reduction=int(values["reduction"]),
            mask_ratio=float(values["mask_ratio"]),
            conditions=tuple(
                Condition(str(one["name"]), float(one["weight"])) for one in values["conditions"]
            ),
            image_tune=values["image_tune"],
            forked_at=values.get("forked_at"),  # files of before have none
        )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# SAM-Adapter on a plain ViT: width / 32, one convolution over patches (arXiv:2304.09148).
PLAIN_VIT_ADAPTER = AdapterConfig(stages=(0,), reduction=32, image_tune="patches")


def condition_names() -> tuple[str, ...]:
    """Name the conditions there are: built in, then those of installed packages. Loads none."""
    own = {point.name for point in entry_points(group=CONDITION_GROUP)}
    return BUILT_IN_CONDITIONS + tuple(sorted(own - set(BUILT_IN_CONDITIONS)))
