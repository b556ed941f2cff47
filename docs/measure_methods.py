"""The methods that docs/results.md compares, each trained on the same slices for the same time.

Time is what one core computes for a run (`computing_time`), so that runs beside each other, one to
a core, get the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from measure_data import Fold, Item, Task
from torch import Tensor, nn

from napari_sam_adapter.adapter.config import AdapterConfig, Condition
from napari_sam_adapter.evaluation.evaluate import Evaluation, evaluate_image, evaluate_stack
from napari_sam_adapter.evaluation.prompted import PromptProtocol, click_through, decode_prompted
from napari_sam_adapter.evaluation.scores import (
    ImageScores,
    Scoring,
    Summary,
    score_image,
    score_volume,
    summarise,
)
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.encode import VIEWS, encode_image
from napari_sam_adapter.sam.input_format import InputFormat, InputGeometry
from napari_sam_adapter.sam.predict import mean_of_views
from napari_sam_adapter.sam.preprocess import encoder_input, logits_at_original_size, mirrored
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.training import loop
from napari_sam_adapter.training.augment import apply_view, draw_view
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.loss import mask_loss
from napari_sam_adapter.training.prepared_sample import PreparedSample
from napari_sam_adapter.training.step import learning_rate_share

BASE = "lite_medsam"
UNET_BATCH = 8
UNET_LEARNING_RATE = 1e-3
N_CLICKS = 5
Scores = dict[str, Any]
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
computing_time = time.process_time


def use_one_core() -> None:
    """Compute on one thread, and make training end by computing time instead of the wall's."""
    torch.set_num_threads(1)
    loop.time = SimpleNamespace(monotonic=computing_time)


def adapter(gear: str, **conditions: float) -> Callable[[Task, Fold, Path], Scores]:
    """Train our adapter in a gear with the default recipe; score it with and without prompts.

    Conditions are given by their weights; none for the base model's own.
    """

    def run(task: Task, fold: Fold, out: Path) -> Scores:
        job = TrainingJob(
            samples=_training_slices(fold),
            out=out,
            config=TrainingConfig(
                gear=gear,
                max_seconds=60 * task.minutes,
                seed=_seed(fold),
                augmentation=task.augmentation,
            ),
            base=BASE,
            input_size=task.input_size,
            adapter=_adapter_of(task, gear, conditions),
            class_names=task.class_names,
            device="cpu",
        )
        finished = saved = None
        for event in run_job(job):
            finished = event if isinstance(event, TrainingFinished) else finished
            saved = event if isinstance(event, AdapterSaved) else saved
        assert finished is not None
        assert saved is not None
        model, card = load_adapter(saved.path)
        views = model.spec.views_for(card)
        scores = {"steps": finished.steps, "seconds": finished.seconds}
        scores |= _score(model, task, fold, views)
        if gear == "full" and len(task.class_names) == 1 and fold.test[0].labels.ndim == 2:
            scores |= prompted(model, fold, views)
        return scores

    return run


def _adapter_of(task: Task, gear: str, conditions: dict[str, float]) -> AdapterConfig | None:
    if gear == "quick":
        return None
    shape = task.adapter or base_model(BASE).adapter
    chosen = tuple(Condition(name, weight) for name, weight in conditions.items())
    return replace(shape, conditions=chosen or shape.conditions)


def base_box(task: Task, fold: Fold, out: Path) -> Scores:
    """Score the base model with the whole image as its box, and with prompts."""
    settings = ModelSettings.default(BASE, task.input_size)
    model = build_adapted_sam(settings.with_changes(class_names=task.class_names))
    scores = _score(model, task, fold, views=1)
    return scores | (prompted(model, fold, views=1) if fold.test[0].labels.ndim == 2 else {})


def prompted(model: AdaptedSam, fold: Fold, views: int) -> Scores:
    """Score with the exact box of each object, and with 0 to 5 clicks on the largest error."""
    boxes: list[float] = []
    clicks: list[list[float]] = []
    for item in fold.test:
        embedding, truth = encode_image(model, item.image, views), item.labels != 0
        boxed = decode_prompted(model, item.image, embedding, truth, PromptProtocol("boxes"))
        boxes.append(mean_class_dice(boxed.mask, truth, 1))
        found = click_through(model, embedding, truth, N_CLICKS)
        dice = [mean_class_dice(one.mask, truth, 1) for one in found]
        clicks.append(dice + dice[-1:] * (N_CLICKS + 1 - len(dice)))  # all was right before
    return {"boxes": float(np.mean(boxes)), "clicks": np.mean(clicks, axis=0).tolist()}


def unet(task: Task, fold: Fold, out: Path) -> Scores:
    """Train a U-Net of segmentation-models-pytorch from scratch: same views, same loss."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(_seed(fold))
    rng = np.random.default_rng(_seed(fold))
    n_classes, input_format = len(task.class_names), InputFormat(task.input_size)
    net = smp.Unet("resnet18", encoder_weights=None, classes=n_classes)
    optimizer = torch.optim.AdamW(net.parameters(), lr=UNET_LEARNING_RATE, weight_decay=0.01)
    samples = [PreparedSample(s, n_classes, input_format) for s in _training_slices(fold)]
    start, steps = computing_time(), 0
    while (share := (computing_time() - start) / (60 * task.minutes)) < 1:
        chosen = [samples[i] for i in rng.integers(len(samples), size=UNET_BATCH)]
        seen = [
            apply_view(s.image, s.target, draw_view(rng, task.augmentation), input_format)
            for s in chosen
        ]
        for group in optimizer.param_groups:
            group["lr"] = UNET_LEARNING_RATE * learning_rate_share(share, 0.05)
        optimizer.zero_grad()
        logits = net(torch.cat([image for image, _, _ in seen]))
        _unet_loss(logits, seen).backward()
        optimizer.step()
        steps += 1
    seconds = computing_time() - start
    net.eval()
    predict = partial(_unet_prediction, net, input_format, _views(task))
    scores = [_unet_scores(predict, item, task) for item in fold.test]
    dice = [one.overall["dice"] for one in scores]
    return {
        "dice": float(np.mean(dice)),
        "measures": _measures(summarise(scores, task.class_names)),
        "per_item": dice,
        "steps": steps,
        "seconds": seconds,
    }


def _unet_loss(logits: Tensor, seen: Sequence[tuple[Tensor, Tensor, InputGeometry]]) -> Tensor:
    """Return the mean loss of the views; as for our adapters, padding teaches nothing."""
    losses = []
    for found, (_, target, geometry) in zip(logits, seen, strict=True):
        height, width = geometry.content_hw
        losses.append(mask_loss(found[None, :, :height, :width], target[..., :height, :width]))
    return torch.stack(losses).mean()


def _unet_scores(predict: Predict, item: Item, task: Task) -> ImageScores:
    scoring = _scoring(task, item)
    if item.labels.ndim == 2:
        return score_image(*predict(item.image), item.labels, scoring)
    slices = zip(item.image, item.labels, strict=True)
    return score_volume(((*predict(image), truth) for image, truth in slices), scoring)


def _unet_prediction(
    net: nn.Module, input_format: InputFormat, views: int, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predict labels and probabilities from the views that our adapters are predicted from."""
    x, geometry = encoder_input(image, input_format)
    with torch.inference_mode():
        found = torch.cat([net(mirrored(x, axes, geometry)) for axes in VIEWS[:views]])
        logits: Tensor = logits_at_original_size(mean_of_views(found, geometry), geometry)[0]
    highest, index = logits.max(dim=0)
    if image.min() == image.max():
        highest, logits = torch.zeros_like(highest), torch.full_like(logits, -torch.inf)
    labels = torch.where(highest > 0, index + 1, 0).to(torch.uint8)
    return labels.numpy(), logits.sigmoid().numpy()


def _views(task: Task) -> int:
    return TrainingConfig(augmentation=task.augmentation).views(base_model(BASE).views)


def _training_slices(fold: Fold) -> list[Any]:
    """Return the slices that have any contrast."""
    slices = [one for item in fold.train for one in item.slices()]
    return [one for one in slices if one.image.min() < one.image.max()]


def _score(model: AdaptedSam, task: Task, fold: Fold, views: int) -> Scores:
    scoring = replace(_scoring(task, fold.test[0]), views=views)
    scores = []
    for item in fold.test:
        evaluate = evaluate_image if item.labels.ndim == 2 else evaluate_stack
        scores.append(evaluate(model, item.image, item.labels, item.name, scoring))
    summary = Evaluation(tuple(scores), task.class_names).summary()
    classes = {name: measures["dice"].mean for name, measures in summary.classes.items()}
    return {
        "dice": summary.overall["dice"].mean,
        "iou": summary.overall["iou"].mean,
        "measures": _measures(summary),
        "classes": classes,
        "per_item": [score.dice for score in scores],
        "expected_dice": [float(np.mean(score.expected_dice)) for score in scores],
        "seconds_per_item": float(np.median([score.seconds for score in scores])),
    }


def _scoring(task: Task, item: Item) -> Scoring:
    """Return what is measured; the measures of saliency are made for pictures."""
    return Scoring(saliency=item.labels.ndim == 2, class_names=task.class_names)


def _measures(summary: Summary) -> dict[str, float]:
    return {name: found.mean for name, found in summary.overall.items()}


def _seed(fold: Fold) -> int:
    return int(fold.name.rpartition("-")[2])


METHODS: dict[str, Callable[[Task, Fold, Path], Scores]] = {
    "full": adapter("full"),
    "late": adapter("late"),
    "quick": adapter("quick"),
    "unet": unet,
    "box": base_box,
}
"""What every task is measured with."""

CONDITION_METHODS = {
    f"full-{name}": adapter("full", **conditions)
    for name, conditions in {
        "gradient": {"patch_embedding": 1, "high_frequency": 1, "gradient": 1},
        "texture": {"patch_embedding": 1, "high_frequency": 1, "local_texture": 1},
        "high-frequency-2": {"patch_embedding": 1, "high_frequency": 2},
        "high-frequency-half": {"patch_embedding": 1, "high_frequency": 0.5},
        "embedding-alone": {"patch_embedding": 1},
        "high-frequency-alone": {"high_frequency": 1},
    }.items()
}
"""The adapter in full with other conditions than the paper's two, by name; only on request."""
