"""The stacks of docs/measure_next_slice.py: what an annotator works on, and what is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure_data import TASKS, Item, _pictures

from napari_sam_adapter.training.config import Augmentation
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.volumes.slice_source import SliceIndex


@dataclass(frozen=True)
class Stack:
    """Slices by their index on the sliders."""

    images: dict[SliceIndex, np.ndarray]
    labels: dict[SliceIndex, np.ndarray]

    @property
    def indices(self) -> list[SliceIndex]:
        """All slices, in order."""
        return list(self.images)

    def sample(self, index: SliceIndex) -> TrainingSample:
        """Return a slice with its true mask, as a person would correct it."""
        group = " ".join(["stack", *map(str, index[:-1])])  # as `RetrainRequest.samples` has it
        return TrainingSample(self.images[index], self.labels[index], f"slice {index}", group)


@dataclass(frozen=True)
class Setting:
    """A kind of stack, and how its versions are trained.

    ``load`` returns the stack of a seed, and slices of none of the stacks to score on.
    """

    name: str
    load: Callable[[Path, int], tuple[Stack, Stack]]
    input_size: int
    first_steps: int
    steps: int
    class_names: tuple[str, ...] = ("object",)
    augmentation: Augmentation = "views"
    gear: str = "full"


def _stack(items: list[Item], n_axes: int) -> Stack:
    """Put images, or the slices of volumes, on one or two sliders."""
    images: dict[SliceIndex, np.ndarray] = {}
    labels: dict[SliceIndex, np.ndarray] = {}
    for number, item in enumerate(items):
        for z, sample in enumerate(item.slices()):
            if sample.image.min() == sample.image.max():
                continue
            index = (number, z) if n_axes == 2 else (number + z,)
            images[index], labels[index] = sample.image, sample.labels
    return Stack(images, labels)


def _hippocampus(data: Path, seed: int) -> tuple[Stack, Stack]:
    """Return a volume for each seed, and every tenth slice of ten other volumes."""
    fold = next(TASKS["hippocampus"].folds(data))
    volume = fold.train[seed % len(fold.train)]
    thinned = [Item(i.name, i.image[::10], i.labels[::10] != 0) for i in fold.test]
    return _stack([Item(volume.name, volume.image, volume.labels != 0)], 1), _stack(thinned, 2)


def _polyps(data: Path, seed: int) -> tuple[Stack, Stack]:
    """Return 40 training images for each seed, and every second validation image."""
    fold = next(TASKS["polyps-16"].folds(data))
    train = _pictures(data / "kvasir_seg_352" / "train")
    order = np.random.default_rng(0).permutation(len(train))
    start = 40 * (seed % 20)
    return _stack([train[i] for i in order[start : start + 40]], 1), _stack(fold.test[::2], 1)


def _mitochondria(data: Path, seed: int) -> tuple[Stack, Stack]:
    """Return the quarters of the first 12 sections as four volumes, and those of the last 5."""
    import tifffile

    folder = data / "vnc_sstem_512"
    image, labels = (tifffile.imread(folder / f"{part}.tif") for part in ("image", "labels"))
    quarters = [
        Item(
            f"quarter {y}{x}",
            image[:, 256 * y : 256 * y + 256, 256 * x : 256 * x + 256],
            (labels == 1)[:, 256 * y : 256 * y + 256, 256 * x : 256 * x + 256],
        )
        for y in range(2)
        for x in range(2)
    ]
    stack = [Item(q.name, q.image[:12], q.labels[:12]) for q in quarters]
    test = [Item(q.name, q.image[15:], q.labels[15:]) for q in quarters]
    return _stack(stack, 2), _stack(test, 2)


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            "hippocampus",
            _hippocampus,
            input_size=56,
            first_steps=200,
            steps=150,
            gear="quick",
            augmentation="upright",
        ),
        # More like the dock's usual rounds: are slices forgotten because rounds are short?
        Setting(
            "hippocampus-long",
            _hippocampus,
            input_size=56,
            first_steps=200,
            steps=1000,
            gear="quick",
            augmentation="upright",
        ),
        Setting("polyps", _polyps, input_size=112, first_steps=60, steps=60),
        Setting("mitochondria", _mitochondria, input_size=112, first_steps=60, steps=60),
    )
}
