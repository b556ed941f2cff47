"""The methods that docs/results.md compares, each trained on the same slices for the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_data import Fold, Task
from torch import Tensor, nn

from napari_sam_adapter.evaluation import Evaluation, evaluate_image, evaluate_stack
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.metrics.scores import Scoring
from napari_sam_adapter.prompted import PromptProtocol, decode_prompted
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.input_format import InputFormat
from napari_sam_adapter.sam.predict import VIEWS, encode_image, mean_of_views
from napari_sam_adapter.sam.preprocess import encoder_input, logits_at_original_size, mirrored
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.training.augment import apply_view, draw_view
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.feeds import PreparedSample
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.loss import mask_loss
from napari_sam_adapter.training.step import learning_rate_share

BASE = "lite_medsam"
UNET_BATCH = 8
UNET_LEARNING_RATE = 1e-3
N_CLICKS = 5
N_VIEWS = base_model(BASE).views
Scores = dict[str, Any]


def adapter(gear: str) -> Callable[[Task, Fold, Path], Scores]:
    """Train our adapter in a gear with the default recipe; score it with and without prompts."""

    def run(task: Task, fold: Fold, out: Path) -> Scores:
        job = TrainingJob(
            samples=_training_slices(fold),
            out=out,
            config=TrainingConfig(gear=gear, max_seconds=60 * task.minutes, seed=_seed(fold)),
            base=BASE,
            input_size=task.input_size,
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
            scores |= prompted(model, fold)
        return scores

    return run


def base_box(task: Task, fold: Fold, out: Path) -> Scores:
    """Score the base model with the whole image as its box, and with prompts."""
    settings = ModelSettings.default(BASE, task.input_size)
    model = build_adapted_sam(settings.with_changes(class_names=task.class_names))
    scores = _score(model, task, fold, views=1)
    return scores | (prompted(model, fold) if fold.test[0].labels.ndim == 2 else {})


def prompted(model: AdaptedSam, fold: Fold) -> Scores:
    """Score with the exact box of each object, and with 1 to 5 clicks on the largest error."""
    names = ("boxes", *(f"clicks:{n}" for n in range(1, N_CLICKS + 1)))
    found: dict[str, list[float]] = {name: [] for name in names}
    for item in fold.test:
        embedding, truth = encode_image(model, item.image), item.labels != 0
        for name, scores in found.items():
            protocol = PromptProtocol.parse(name)
            mask = decode_prompted(model, item.image, embedding, truth, protocol).mask
            scores.append(mean_class_dice(mask, truth, 1))
    return {name: float(np.mean(scores)) for name, scores in found.items()}


def unet(task: Task, fold: Fold, out: Path) -> Scores:
    """Train a U-Net of segmentation-models-pytorch from scratch: same views, same loss."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(_seed(fold))
    rng = np.random.default_rng(_seed(fold))
    n_classes, input_format = len(task.class_names), InputFormat(task.input_size)
    net = smp.Unet("resnet18", encoder_weights=None, classes=n_classes)
    optimizer = torch.optim.AdamW(net.parameters(), lr=UNET_LEARNING_RATE, weight_decay=0.01)
    samples = [PreparedSample(s, n_classes, input_format) for s in _training_slices(fold)]
    start, steps = time.monotonic(), 0
    while (share := (time.monotonic() - start) / (60 * task.minutes)) < 1:
        chosen = [samples[i] for i in rng.integers(len(samples), size=UNET_BATCH)]
        views = [apply_view(s.image, s.target, draw_view(rng), input_format) for s in chosen]
        images, targets = (torch.cat([view[part] for view in views]) for part in (0, 1))
        for group in optimizer.param_groups:
            group["lr"] = UNET_LEARNING_RATE * learning_rate_share(share, 0.05)
        optimizer.zero_grad()
        mask_loss(net(images), targets).backward()
        optimizer.step()
        steps += 1
    seconds = time.monotonic() - start
    net.eval()
    predict = partial(_unet_labels, net, input_format)
    dice = [
        mean_class_dice(predict(item.image, item.labels), item.labels, n_classes)
        for item in fold.test
    ]
    return {"dice": float(np.mean(dice)), "per_item": dice, "steps": steps, "seconds": seconds}


def _unet_labels(
    net: nn.Module, input_format: InputFormat, image: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Predict from the views that our adapters are predicted from."""
    if truth.ndim == 3:
        pairs = zip(image, truth, strict=True)
        return np.stack([_unet_labels(net, input_format, *pair) for pair in pairs])
    if image.min() == image.max():
        return np.zeros(truth.shape, np.uint8)
    x, geometry = encoder_input(image, input_format)
    with torch.inference_mode():
        views = torch.cat([net(mirrored(x, axes, geometry)) for axes in VIEWS[:N_VIEWS]])
        logits: Tensor = logits_at_original_size(mean_of_views(views, geometry), geometry)[0]
    highest, index = logits.max(dim=0)
    return torch.where(highest > 0, index + 1, 0).to(torch.uint8).numpy()


def _training_slices(fold: Fold) -> list[Any]:
    """Return the slices that have any contrast."""
    slices = [one for item in fold.train for one in item.slices()]
    return [one for one in slices if one.image.min() < one.image.max()]


def _score(model: AdaptedSam, task: Task, fold: Fold, views: int) -> Scores:
    scoring = Scoring(saliency=False, class_names=task.class_names, views=views)
    scores = []
    for item in fold.test:
        evaluate = evaluate_image if item.labels.ndim == 2 else evaluate_stack
        scores.append(evaluate(model, item.image, item.labels, item.name, scoring))
    summary = Evaluation(tuple(scores), task.class_names).summary()
    classes = {name: measures["dice"].mean for name, measures in summary.classes.items()}
    return {
        "dice": summary.overall["dice"].mean,
        "iou": summary.overall["iou"].mean,
        "classes": classes,
        "per_item": [score.dice for score in scores],
        "expected_dice": [float(np.mean(score.expected_dice)) for score in scores],
        "seconds_per_item": float(np.median([score.seconds for score in scores])),
    }


def _seed(fold: Fold) -> int:
    return int(fold.name.rpartition("-")[2])


METHODS: dict[str, Callable[[Task, Fold, Path], Scores]] = {
    "full": adapter("full"),
    "quick": adapter("quick"),
    "unet": unet,
    "box": base_box,
}
