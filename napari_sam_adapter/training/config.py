"""Settings of a training run, as plain data. Each default names where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

Gear = Literal["quick", "full"]
GEARS: tuple[Gear, ...] = get_args(Gear)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    gear : {"quick", "full"}
        ``quick`` trains the mask decoder on cached image embeddings; ``full`` trains the adapter
        and the mask decoder through the encoder.
    max_seconds : float
        May be infinite where ``max_steps`` is given.
        Time after which training ends. The learning rate follows the share of it that has passed,
        so that the run always ends with a small rate, on any machine.
    max_steps : int or None
        Number of steps after which training ends, whichever comes first. With ``max_seconds`` out
        of reach, runs of equal seed and steps are alike on one machine.
    seed : int
        For the split, the order of the samples and the augmentation.
    decoder_learning_rate, adapter_learning_rate : float
        Peak rates of AdamW. SAM-Adapter publishes 2e-4; a zero-initialised adapter on few slices
        learns faster at 1e-3 (docs/results.md).
    warmup_share : float
        Share of the run in which the rates rise from zero.
    weight_decay : float
        AdamW's, as published.
    gradient_clip : float
        Largest norm of a step's gradient.
    ema_decay : float
        The state that is kept is a running average of the weights with this decay per step.
    batch_size : int
        Slices per step; their gradients are added up one by one.
    """

    gear: Gear = "full"
    max_seconds: float = 120.0
    max_steps: int | None = None
    seed: int = 0
    decoder_learning_rate: float = 2e-4
    adapter_learning_rate: float = 1e-3
    warmup_share: float = 0.05
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.99
    batch_size: int = 1

    def __post_init__(self) -> None:
        if self.gear not in GEARS:
            raise ValueError(f"gear must be one of {', '.join(GEARS)}, got {self.gear!r}")
        if not self.max_seconds > 0:
            raise ValueError(f"max_seconds must be positive, got {self.max_seconds}")
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {self.max_steps}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, which knows no infinity: no time limit is None there."""
        values = asdict(self)
        if math.isinf(self.max_seconds):
            values["max_seconds"] = None
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """Rebuild a configuration from `to_dict`."""
        values = dict(values)
        if "max_seconds" in values and values["max_seconds"] is None:
            values["max_seconds"] = math.inf
        return replace(cls(), **values)
