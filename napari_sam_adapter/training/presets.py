"""Named recipes of training, as data; each value with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_sam_adapter.training.config import Gear, Loss, TrainingConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe and where it comes from.

    Attributes
    ----------
    title, source : str
        For people.
    config : TrainingConfig
    """

    title: str
    source: str
    config: TrainingConfig


# How long our own recipe is trained where nothing else is said; measured in docs/results.md.
USUAL_MINUTES: dict[str, float] = {"quick": 1.5, "late": 2.0, "full": 3.0}

# The gears that Retrain walks up by itself, and the share of the time that each gets.
WALK: tuple[tuple[Gear, float], ...] = (("quick", 0.15), ("late", 0.45), ("full", 0.4))
# A gear that gains less than this on the held-out slices is the last one.
LEAST_GAIN = 0.002

PAPER = "Chen et al., SAM-Adapter, arXiv:2304.09148, section 4, and the reference code's configs"


def _published(title: str, loss: Loss, epochs: int) -> Preset:
    config = TrainingConfig(
        gear="full",
        max_seconds=math.inf,
        max_epochs=epochs,  # v2 of the paper
        loss=loss,
        decoder_learning_rate=2e-4,  # AdamW, one rate for everything that is trained
        adapter_learning_rate=2e-4,
        final_learning_rate=1e-7,  # cosine decay, eta_min
        warmup_share=0.0,
        weight_decay=0.01,  # AdamW's default; the reference code sets none
        gradient_clip=None,
        ema_decay=0.0,
        prompted_share=0.0,
        augmentation="flip",  # all that the reference code does
        batch_size=2,  # per process; the paper had four
    )
    return Preset(title, PAPER, config)


PRESETS: dict[str, Preset] = {
    "interactive": Preset("few corrected slices, in minutes", "docs/results.md", TrainingConfig()),
    "polyp": _published("polyps, as published", "bce_iou", 120),
    "camouflage": _published("camouflaged objects, as published", "bce_iou", 20),
    "shadow": _published("shadows, as published", "balanced_bce", 90),
}
