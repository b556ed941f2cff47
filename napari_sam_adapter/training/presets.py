"""Named recipes of training, as data; each value with its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from napari_sam_adapter.training.config import Gear, Loss, TrainingConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe and where its values come from.

    Attributes
    ----------
    title : str
        For people.
    config : TrainingConfig
    sources : mapping of str to str
        Of each value that decides what is learned, by its name in `config`.
    """

    title: str
    config: TrainingConfig
    sources: Mapping[str, str]


# How long our own recipe is trained where nothing else is said; measured in docs/results.md.
USUAL_MINUTES: dict[str, float] = {"quick": 1.5, "late": 2.0, "full": 3.0}


class Stretch(NamedTuple):
    """A part of a walk through the gears.

    Attributes
    ----------
    gear : {"quick", "late", "full"}
    time : float
        Its share of the time.
    rate : float
        Share of the usual learning rates.
    start_share : float
        See `TrainingConfig`.
    """

    gear: Gear
    time: float = 1.0
    rate: float = 1.0
    start_share: float = 0.0


# The gears that Retrain walks up by itself. At the usual rates full forgot slices that late had
# just learned, and half way from late's weights to full's is better than either
# (docs/performance.md).
WALK = (
    Stretch("quick", 0.065),
    Stretch("late", 0.13),
    Stretch("full", 0.805, rate=0.25, start_share=0.5),
)
# A gear that gains less than this is the last one, where held-out slices are enough to tell
# (`promotion.ENOUGH`).
LEAST_GAIN = 0.002


def walk_of(recipe: TrainingConfig) -> tuple[Stretch, ...]:
    """Return the gears that a recipe walks up: a published one has one, and its own rates."""
    return WALK if recipe.max_epochs is None else (Stretch(recipe.gear),)


PAPER = "Chen et al., SAM-Adapter, arXiv:2304.09148v2, section 4"
CODE = "SAM-Adapter's reference code (tianrun-chen/SAM-Adapter-PyTorch)"
OURS = "docs/recipe.md"
_PUBLISHED_SOURCES = {
    "gear": f"{PAPER}: adapter and mask decoder are trained, the encoder is frozen",
    "max_seconds": f"{PAPER}: epochs end a run, not time",
    "max_epochs": f"{PAPER}: camouflage 20, shadow 90, polyps 120",
    "loss": f"{PAPER}: BCE and IoU for camouflage and polyps, balanced BCE for shadows",
    "decoder_learning_rate": f"{PAPER}: AdamW, 2e-4, one rate for all that is trained",
    "adapter_learning_rate": f"{PAPER}: AdamW, 2e-4, one rate for all that is trained",
    "final_learning_rate": f"{CODE}, train.py: CosineAnnealingLR, eta_min 1e-7",
    "warmup_share": f"{CODE}, train.py: none",
    "weight_decay": f"{CODE}, train.py: none is set, so AdamW's default",
    "gradient_clip": f"{CODE}, train.py: none",
    "ema_decay": f"{CODE}, train.py: the weights themselves are saved",
    "start_share": f"{CODE}, train.py: the weights themselves are saved",
    "augmentation": f"{CODE}, datasets: mirrored half of the time, nothing else",
    "prompted_share": f"{PAPER}: without prompts",
    "batch_size": f"{CODE}, configs: 2 per process; {PAPER}: four processes",
}
_OUR_SOURCES = {
    "gear": "docs/performance.md, the three gears; the dock's auto walks up them",
    "loss": f"{PAPER}: as for polyps",
    "decoder_learning_rate": f"{OURS}: 2e-4 (published) against 5e-4 and 1e-4",
    "adapter_learning_rate": f"{OURS}: 1e-3 against 2e-3; a zero-initialised adapter and few steps",
    "final_learning_rate": "cosine to the end of a run whose length is known",
    "warmup_share": "users of SAM-Adapter report NaN at high rates without one; not measured here",
    "weight_decay": f"{CODE}, train.py: AdamW's default",
    "gradient_clip": "1.0 is usual where a slice is a batch; not measured",
    "ema_decay": f"{OURS}: 0.98, 0.99 and 0.998 are alike",
    "start_share": "0; only the last gear of a walk starts from what knows its slices (WALK)",
    "augmentation": f"{OURS}: views; more colours and smaller crops did not help",
    "prompted_share": "docs/results.md, 'Boxes and clicks after training'",
    "batch_size": "steps count for more than smooth ones in minutes on a CPU; not measured",
}


def _published(title: str, loss: Loss, epochs: int) -> Preset:
    config = TrainingConfig(
        gear="full",
        max_seconds=math.inf,
        max_epochs=epochs,
        loss=loss,
        decoder_learning_rate=2e-4,
        adapter_learning_rate=2e-4,
        final_learning_rate=1e-7,
        warmup_share=0.0,
        weight_decay=0.01,
        gradient_clip=None,
        ema_decay=0.0,
        prompted_share=0.0,
        augmentation="flip",
        batch_size=2,
    )
    return Preset(title, config, _PUBLISHED_SOURCES)


PRESETS: dict[str, Preset] = {
    "interactive": Preset("few slices, in minutes", TrainingConfig(), _OUR_SOURCES),
    "polyp": _published("polyps, as published", "bce_iou", 120),
    "camouflage": _published("camouflaged objects, as published", "bce_iou", 20),
    "shadow": _published("shadows, as published", "balanced_bce", 90),
}
