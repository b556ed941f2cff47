"""What docs/measure_volumes.py compares: each function scores volumes with a help and without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from measure_data import Item, Task
from measure_methods import BASE
from scipy import ndimage

from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.encode import encode_image, for_prompts
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.sam.preprocess import logits_at_original_size
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import TrainingJob, run_job
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.simulated_prompts import object_boxes
from napari_sam_adapter.volumes import carry as carry_module
from napari_sam_adapter.volumes import fill_between as fill_between_module
from napari_sam_adapter.volumes.across_slices import smooth_across
from napari_sam_adapter.volumes.carry import carried_prior, prior_from_neighbours
from napari_sam_adapter.volumes.fill_between import fill_between
from napari_sam_adapter.volumes.slice_source import value_range
from napari_sam_adapter.volumes.three_axes import predict_three_axes
from napari_sam_adapter.volumes.tiling import EMPTY_LOGIT, PredictLogits, predict_tiles

SMOOTHING = (0.5, 0.75, 1.0, 1.5, 2.0)  # slices
STEPS = (2, 4, 8)
GAPS = (1, 2, 4)
STRENGTHS = (2.0, 3.0, 4.0, 6.0, 8.0)
BOX_MARGIN = 0.1  # of a box's sides
WEIGHTS = ((1.0, 0.0, 0.0), (1.0, 1.0, 1.0))
TILE, TILE_INPUT_SIZE = 256, 128
OVERLAPS = (0, 32, 64, 128)
Table = dict[str, list[float]]
"""Dice of each volume by row."""


@dataclass(frozen=True)
class Known:
    """A task, its volumes, and the model of its adapter."""

    task: Task
    spacing: tuple[float, float, float]
    train: list[Item]
    volumes: list[Item]
    model: AdaptedSam
    views: int
    out: Path

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.task.class_names)

    def dice(self, labels: Iterable[np.ndarray], truth: np.ndarray) -> float:
        """Score the slices of a volume, or some of them, as one."""
        return mean_class_dice(np.stack(list(labels)), truth, self.n_classes)

    def alone(self) -> Iterator[tuple[Item, np.ndarray]]:
        """Yield each volume and its logits (Z, K, Y, X), predicted slice by slice."""
        for item in self.volumes:
            target = self.out / f"{self.task.name}-{item.name}.npy"
            if not target.exists():
                np.save(target, np.stack([self._logits(one) for one in item.image]))
            yield item, np.load(target)

    def _logits(self, image: np.ndarray) -> np.ndarray:
        if value_range(image) is None:
            return np.full((self.n_classes, *image.shape), EMPTY_LOGIT, np.float32)
        return logits_of(self.model, self.views, image)


def logits_of(
    model: AdaptedSam, views: int, image: np.ndarray, prompts: Prompts = NO_PROMPTS
) -> np.ndarray:
    """Predict the logits (K, Y, X) of a slice at its own size."""
    embedding = for_prompts(model, image, encode_image(model, image, views), prompts)
    found = decode_masks(model, embedding, prompts)
    low_res_masks = torch.from_numpy(found.low_res_masks)[None]
    logits: np.ndarray = logits_at_original_size(low_res_masks, found.geometry)[0].numpy()
    return logits


def labels_of(maps: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Return the class of the highest map (K, Y, X) above a threshold, else 0."""
    return np.where(maps.max(axis=0) > threshold, maps.argmax(axis=0) + 1, 0).astype(np.uint8)


def smoothing(known: Known) -> Table:
    """Average logits, or probabilities, of neighbouring slices; widths are in slices."""
    table: Table = defaultdict(list)
    for item, logits in known.alone():
        table["none"].append(known.dice(map(labels_of, logits), item.labels))
        probabilities = 1 / (1 + np.exp(-logits))
        for name, maps, cut in (("logits", logits, 0.0), ("probabilities", probabilities, 0.5)):
            for width in SMOOTHING:
                labels = (labels_of(one, cut) for one in smooth_across(maps, width))
                table[f"{name}, width {width:g}"].append(known.dice(labels, item.labels))
    return table


def filling(known: Known) -> Table:
    """Score the slices between every n-th, whose truth is known."""
    table: Table = defaultdict(list)
    for item, logits in known.alone():
        truth = item.labels.astype(np.uint8)
        for step in STEPS:
            given = {z: truth[z] for z in range(0, len(truth), step)}
            between = [z for z in range(max(given)) if z not in given]
            filled = fill_between(given, between, known.spacing[1:])
            with mock.patch.object(fill_between_module, "_way", return_value=np.zeros(2)):
                in_place = fill_between(given, between, known.spacing[1:])
            nearest = [min(given, key=lambda place, z=z: abs(place - z)) for z in between]
            carry = partial(
                prior_from_neighbours, given, n_classes=known.n_classes, spacing=known.spacing
            )
            rows = {
                "nearest known slice": [given[z] for z in nearest],
                "filled, shapes not moved along": [in_place[z] for z in between],
                "filled": [filled[z] for z in between],
                "predicted": [labels_of(logits[z]) for z in between],
                "predicted, prior of both neighbours": [
                    labels_of(logits[z] + carry(z)) for z in between
                ],
            }
            for name, labels in rows.items():
                table[f"every {step}: {name}"].append(known.dice(labels, truth[between]))
    return table


def carrying(known: Known) -> Table:
    """Tell each slice the true labels of one that lies some slices before it."""
    table: Table = defaultdict(list)
    for item, logits in known.alone():
        truth = item.labels.astype(np.uint8)
        for gap in GAPS:
            carry = partial(
                carried_prior, n_classes=known.n_classes, n_slices=gap, spacing=known.spacing
            )
            before, here = truth[:-gap], logits[gap:]
            rows = {
                "none": map(labels_of, here),
                "its copy": before,
                "prior": (labels_of(x + carry(t)) for t, x in zip(before, here, strict=True)),
            }
            if gap == 1:
                slices = zip(item.image[gap:], before, here, strict=True)
                rows["boxes"] = (labels_of(_boxed(known, *one)) for one in slices)
            for name, labels in rows.items():
                table[f"{gap} away: {name}"].append(known.dice(labels, truth[gap:]))
    return table


def strength(known: Known) -> Table:
    """Let the slice before weigh more or less."""
    table: Table = defaultdict(list)
    for item, logits in known.alone():
        truth = item.labels.astype(np.uint8)
        for value in STRENGTHS:
            with mock.patch.object(carry_module, "STRENGTH", value):
                labels = [
                    labels_of(x + carried_prior(t, known.n_classes, spacing=known.spacing))
                    for t, x in zip(truth[:-1], logits[1:], strict=True)
                ]
            table[f"1 away: strength {value:g}"].append(known.dice(labels, truth[1:]))
    return table


def _boxed(
    known: Known, image: np.ndarray, neighbour: np.ndarray, logits: np.ndarray
) -> np.ndarray:
    """Prompt each class that the neighbour shows with boxes around its objects there."""
    answers = logits.copy()
    for k in range(known.n_classes):
        boxes = object_boxes(neighbour == k + 1)
        if len(boxes):
            sides = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
            boxes += BOX_MARGIN * sides * [-1, -1, 1, 1]
            prompts = Prompts(boxes, class_index=k)
            answers[k] = logits_of(known.model, known.views, image, prompts)[k]
    return answers


def axes_untrained(known: Known) -> Table:
    """Predict across one axis and across three by the task's adapter."""
    return _across_axes(known, known.model, "one axis")


def axes(known: Known) -> Table:
    """Predict across one axis and across three by an adapter of slices of all axes."""
    samples = [
        TrainingSample(*_square(image, labels, spacing), f"{item.name}, axis {axis}, slice {index}")
        for item in known.train
        for axis in range(3)
        for spacing in [[*known.spacing[:axis], *known.spacing[axis + 1 :]]]
        for index, (image, labels) in enumerate(
            zip(*(np.moveaxis(x, axis, 0) for x in (item.image, item.labels)), strict=True)
        )
    ]
    model = _trained(known, samples, known.task.input_size, "three-axes")
    return _across_axes(known, model, "three axes")


def _square(image: np.ndarray, labels: np.ndarray, spacing: list[float]) -> list[np.ndarray]:
    """Sample a slice (Y, X) and its labels at square pixels, as `predict_three_axes` sees it."""
    zoom = [step / min(spacing) for step in spacing]
    pairs = ((image, 1), (labels, 0))
    return [ndimage.zoom(x, zoom, order=n, mode="nearest", grid_mode=True) for x, n in pairs]


def _across_axes(known: Known, model: AdaptedSam, name: str) -> Table:
    predict = partial(logits_of, model, known.views)
    table: Table = defaultdict(list)
    for item in known.volumes:
        for weights in WEIGHTS:
            fused = predict_three_axes(item.image, predict, known.n_classes, known.spacing, weights)
            labels = map(labels_of, np.moveaxis(fused, 1, 0))
            row = f"trained on {name}, weights {', '.join(f'{one:g}' for one in weights)}"
            table[row].append(known.dice(labels, item.labels))
    return table


def tiling(known: Known) -> Table:
    """Predict pictures whole and in tiles, by an adapter of tiles of that size."""
    samples = [
        TrainingSample(image[rows, columns], labels[rows, columns], f"{item.name}, {z}, {row}")
        for item in known.train
        for z, (image, labels) in enumerate(zip(item.image, item.labels, strict=True))
        for row, rows in enumerate(_quarters(image.shape[0]))
        for columns in _quarters(image.shape[1])
    ]
    model = _trained(known, samples, TILE_INPUT_SIZE, "tiles")
    predict = partial(logits_of, model, known.views)
    table: Table = defaultdict(list)
    for item in known.volumes:
        whole = (labels_of(predict(image)) for image in item.image)
        table["pictures at the size of a tile"].append(known.dice(whole, item.labels))
        for overlap in OVERLAPS:
            labels = (_tiled(image, predict, known.n_classes, overlap) for image in item.image)
            table[f"tiles, overlap {overlap}"].append(known.dice(labels, item.labels))
    return table


def tiling_untrained(known: Known) -> Table:
    """Predict in tiles by the task's adapter, which has learned from whole pictures."""
    predict = partial(logits_of, known.model, known.views)
    table: Table = defaultdict(list)
    for item, logits in known.alone():
        table["whole pictures"].append(known.dice(map(labels_of, logits), item.labels))
        labels = (_tiled(image, predict, known.n_classes, TILE // 8) for image in item.image)
        table[f"tiles of {TILE}"].append(known.dice(labels, item.labels))
    return table


def _tiled(image: np.ndarray, predict: PredictLogits, n_classes: int, overlap: int) -> np.ndarray:
    rows = predict_tiles(image, predict, n_classes, TILE, overlap)
    return np.concatenate([labels_of(logits) for _, logits in rows])


def _quarters(size: int) -> list[slice]:
    return [slice(start, start + TILE) for start in range(0, size, TILE)]


def _trained(known: Known, samples: list[TrainingSample], input_size: int, name: str) -> AdaptedSam:
    """Train another adapter for as long as the task's own, if OUT does not hold it yet."""
    path = known.out / f"{known.task.name}-{name}.safetensors"
    if not path.exists():
        job = TrainingJob(
            samples=[one for one in samples if value_range(one.image) is not None],
            out=path,
            config=TrainingConfig(
                gear="full",
                max_seconds=60 * known.task.minutes,
                augmentation=known.task.augmentation,
            ),
            base=BASE,
            input_size=input_size,
            class_names=known.task.class_names,
            device="cpu",
        )
        for _ in run_job(job):
            pass
    return load_adapter(path)[0]
