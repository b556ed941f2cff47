"""The tasks of docs/results.md: which images are trained on and which are scored, fold by fold.

Data sets are laid out as docs/results.md says, in one folder; a task whose data is not there is
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.data.files import pair_by_stem, read_image, read_labels
from napari_sam_adapter.data.pairs import read_pair
from napari_sam_adapter.training.config import Augmentation
from napari_sam_adapter.training.samples import TrainingSample


@dataclass(frozen=True)
class Item:
    """An image or volume and its labels."""

    name: str
    image: np.ndarray
    labels: np.ndarray

    def slices(self) -> list[TrainingSample]:
        """Return what can be trained on: the image itself, or the slices of a volume."""
        if self.labels.ndim == 2:
            return [TrainingSample(self.image, self.labels, self.name)]
        parts = enumerate(zip(self.image, self.labels, strict=True))
        return [TrainingSample(*pair, f"{self.name}, slice {z}") for z, pair in parts]


@dataclass(frozen=True)
class Fold:
    """One division of a task's data, or one random choice of training images."""

    name: str
    train: list[Item]
    test: list[Item]


@dataclass(frozen=True)
class Task:
    """What is learned, and how.

    ``input_size``, ``minutes`` of one core and ``augmentation`` hold for every trained method,
    ``adapter`` for those with one; None is the base model's own.
    """

    name: str
    class_names: tuple[str, ...]
    input_size: int
    minutes: float
    folds: Callable[[Path], Iterator[Fold]]
    augmentation: Augmentation = "views"
    adapter: AdapterConfig | None = None


def _pictures(folder: Path) -> list[Item]:
    pairs = pair_by_stem(folder / "images", folder / "masks")
    return [Item(i.name, read_image(i), read_labels(m, ("object",))) for i, m in pairs]


def _polyps(n_images: int, seeds: int) -> Callable[[Path], Iterator[Fold]]:
    def folds(data: Path) -> Iterator[Fold]:
        train, test = (_pictures(data / "kvasir_seg_352" / part) for part in ("train", "val"))
        for seed in range(seeds):
            # As `train --max-images` chooses.
            chosen = np.random.default_rng(seed).choice(len(train), n_images, replace=False)
            yield Fold(f"seed-{seed}", [train[index] for index in sorted(chosen)], test)

    return folds


def _cross_validated(items: list[Item], count: int) -> Iterator[Fold]:
    order = np.random.default_rng(0).permutation(len(items))
    for fold in range(count):
        held_out = set(order[fold::count].tolist())
        train = [item for index, item in enumerate(items) if index not in held_out]
        yield Fold(f"fold-{fold}", train, [items[index] for index in sorted(held_out)])


def _picture_folds(folder: str, count: int) -> Callable[[Path], Iterator[Fold]]:
    return lambda data: _cross_validated(_pictures(data / folder / "train"), count)


def _hippocampus(data: Path) -> Iterator[Fold]:
    folder, names = data / "msd_hippocampus" / "train", ("anterior", "posterior")
    items = []
    for path in sorted((folder / "images").glob("*.nii.gz")):
        # Turned as the program turns them, so that these adapters can be used there.
        pair = read_pair(path, folder / "labels" / path.name, names)
        items.append(Item(path.name, pair.image, pair.labels))
    yield from _cross_validated(items, 3)


def _mitochondria(data: Path) -> Iterator[Fold]:
    folder = data / "vnc_sstem_512"
    image, labels = (tifffile.imread(folder / f"{part}.tif") for part in ("image", "labels"))
    mask = labels == 1
    halves = [Item(name, image[z], mask[z]) for name, z in _HALVES.items()]
    for fold in range(2):
        yield Fold(f"fold-{fold}", [halves[fold]], [halves[1 - fold]])


# Neighbouring sections are alike, so halves are trained on and scored, two sections apart.
_HALVES = {"sections 0-8": slice(0, 9), "sections 11-19": slice(11, 20)}

_MINUTES = {8: 4, 16: 4, 32: 5, 64: 8}
_FEW = {n: Task(f"polyps-{n}", ("polyp",), 128, m, _polyps(n, 3)) for n, m in _MINUTES.items()}
_MANY = {
    128: Task("polyps-128", ("polyp",), 128, 12, _polyps(128, 1)),
    800: Task(
        "polyps-800", ("polyp",), 128, 70, _polyps(800, 1), adapter=AdapterConfig(reduction=4)
    ),
}
TASKS = {
    task.name: task
    for task in (
        *_FEW.values(),
        *_MANY.values(),
        Task("camouflage", ("object",), 128, 4, _picture_folds("camo_cod_512", 3)),
        Task("shadow", ("shadow",), 128, 4, _picture_folds("shadow_sbu_uiuc_sample", 3)),
        # Front and back are what tells these two apart.
        Task("hippocampus", ("anterior", "posterior"), 56, 6, _hippocampus, "upright"),
        Task("mitochondria", ("mitochondrion",), 256, 6, _mitochondria),
    )
}
