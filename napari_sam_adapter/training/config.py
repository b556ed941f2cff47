"""Settings of a training run, as plain data. Each default names where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

Gear = Literal["quick", "late", "full"]
GEARS: tuple[Gear, ...] = get_args(Gear)
Loss = Literal["bce_iou", "balanced_bce"]
Augmentation = Literal["views", "upright", "flip", "none"]


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    gear : {"quick", "late", "full"}
        ``quick`` trains the mask decoder on cached image embeddings; ``late`` also the adapter of
        the encoder's last part, on cached features that enter it; ``full`` trains the adapter and
        the mask decoder through the encoder.
    max_seconds : float
        Time after which training ends, from the first step on. The learning rate follows the share
        of it that has passed, so that the run always ends with a small rate, on any machine. May be
        infinite where another limit is given.
    max_steps : int or None
        Number of steps after which training ends, whichever comes first. With ``max_seconds`` out
        of reach, runs of equal seed and steps are alike on one machine.
    max_epochs : int or None
        Likewise, in passes over the training slices.
    seed : int
        For the split, the order of the samples and the augmentation; below 2**64.
    decoder_learning_rate, adapter_learning_rate : float
        Peak rates of AdamW. SAM-Adapter publishes 2e-4; a zero-initialised adapter on few slices
        learns faster at 1e-3 (docs/recipe.md).
    final_learning_rate : float
        Both rates end here.
    warmup_share : float
        Share of the run in which the rates rise from zero.
    weight_decay : float
        AdamW's, as published.
    gradient_clip : float or None
        Largest norm of a step's gradient; None leaves it as it is.
    ema_decay : float
        The state that is kept is a running average of the weights with this decay per step; 0
        keeps the weights themselves.
    start_share : float
        Share of the weights that the run starts from in that state; the rest are the average's.
        Only where it starts from an adapter that has learned from the same slices.
    augmentation : {"views", "upright", "flip", "none"}
        ``views``: orientations, crops, brightness, contrast, see `training.augment`; ``upright``:
        the same without orientations, where left and right or up and down tell classes apart;
        ``flip``: mirrored half of the time, as the reference code does.
    prompted_share : float
        Share of the steps in which the model also answers simulated prompts (boxes, and clicks on
        its errors), so that prompts keep working; 0 trains without prompts, as published. Clicks
        are heeded anyway (`sam.click_correction`), so a tenth is enough, and costs little time.
    loss : {"bce_iou", "balanced_bce"}
        See `training.loss`.
    batch_size : int
        Slices per step; their gradients are added up one by one.
    """

    gear: Gear = "full"
    max_seconds: float = 120.0
    max_steps: int | None = None
    max_epochs: int | None = None
    seed: int = 0
    decoder_learning_rate: float = 2e-4
    adapter_learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    warmup_share: float = 0.05
    weight_decay: float = 0.01
    gradient_clip: float | None = 1.0
    ema_decay: float = 0.99
    start_share: float = 0.0
    augmentation: Augmentation = "views"
    prompted_share: float = 0.1
    loss: Loss = "bce_iou"
    batch_size: int = 1

    def __post_init__(self) -> None:
        for name, value, known in (
            ("gear", self.gear, GEARS),
            ("loss", self.loss, get_args(Loss)),
            ("augmentation", self.augmentation, get_args(Augmentation)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if not self.max_seconds > 0:
            raise ValueError(f"max_seconds must be positive, got {self.max_seconds}")
        self._check_rates()
        for name, limit in (
            ("max_steps", self.max_steps),
            ("max_epochs", self.max_epochs),
            ("batch_size", self.batch_size),
        ):
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, got {limit}")
        for name, share in (
            ("prompted_share", self.prompted_share),
            ("start_share", self.start_share),
        ):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in 0 to 1, got {share}")
        if not 0 <= self.seed < 2**64:  # what torch's generators take
            raise ValueError(f"seed must lie in 0 to 2**64 - 1, got {self.seed}")

    def _check_rates(self) -> None:
        for name in ("decoder_learning_rate", "adapter_learning_rate", "final_learning_rate"):
            rate = getattr(self, name)
            if not 0.0 <= rate < math.inf:
                raise ValueError(f"{name} must be a number of 0 or more, got {rate}")

    def total_steps(self, n_slices: int, n_batches: int = 1) -> int | None:
        """Return how many steps end the run; None is without limit.

        Parameters
        ----------
        n_slices : int
            Trained on.
        n_batches : int
            Per step: several processes take one each, and each may add up several.
        """
        limits = [] if self.max_steps is None else [self.max_steps]
        if self.max_epochs is not None:
            limits.append(self.max_epochs * math.ceil(n_slices / (n_batches * self.batch_size)))
        return min(limits, default=None)

    def views(self, usual: int) -> int:
        """Return how many views predictions average: the usual, where mirror images are shown."""
        return usual if self.augmentation == "views" else 1

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
