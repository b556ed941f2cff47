"""How the time grows: with the input, the picture, the classes and the corrected slices.

    python -m bench.growth docs/pictures/growth.png

Draws the curves and prints the numbers as Markdown; computing seconds of one thread, the least of
several rounds. Needs matplotlib (the dependency group ``measure``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.encode import encode_image
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.training.allocator import keep_freed_memory
from napari_sam_adapter.training.config import GEARS, TrainingConfig
from napari_sam_adapter.training.feeds import feed_for
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.step import Stepper
from napari_sam_adapter.training.workers import ALONE

matplotlib.use("Agg")
Curve = tuple[str, Sequence[int], dict[str, list[float]]]
INPUT_SIZES = (112, 128, 168, 224, 256)
PICTURE_SIZES = (128, 256, 512, 1024, 2048, 4096)
CLASSES = (1, 2, 4, 8, 16, 32)
SLICES = (4, 8, 16, 32, 64, 128)


def main() -> None:
    """Measure all curves, print them, and draw them."""
    keep_freed_memory()
    torch.set_num_threads(1)
    curves = [by_input_size(), by_picture_size(), by_classes(), by_corrected_slices()]
    for title, values, lines in curves:
        print(f"\n| {title} |", *(f"{value} |" for value in values))
        print("|---|" + "---|" * len(values))
        for name, seconds in lines.items():
            print(f"| {name} |", *(f"{1000 * s:.0f} ms |" for s in seconds), flush=True)
    draw(curves, Path(sys.argv[1]))


def model_of(size: int, n_classes: int = 1) -> AdaptedSam:
    """Build LiteMedSAM with an adapter that has an effect."""
    names = tuple(f"class {number}" for number in range(n_classes))
    settings = ModelSettings.default("lite_medsam", size).with_changes(class_names=names)
    model = build_adapted_sam(settings)
    with torch.no_grad():
        for parameter in model.adapter.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.01)
    return model


def frame(side: int) -> np.ndarray:
    """Return a picture of side x side x 3."""
    return np.asarray(synthetic_polyps(1, (side, side), seed=3).frames[0])


def least(run: Callable[[], Any], rounds: int = 7) -> float:
    """Return the least computing seconds of several rounds, after one that does not count."""
    found = []
    for _ in range(rounds + 1):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found[1:])


def by_input_size() -> Curve:
    """Encode and decode at each size of the input, one view."""
    encoded, decoded, image = [], [], frame(256)
    for size in INPUT_SIZES:
        model = model_of(size)
        embedding = encode_image(model, image)
        encoded.append(least(lambda m=model: encode_image(m, image)))
        decoded.append(least(lambda m=model, e=embedding: decode_masks(m, e)))
    return "input size, pixels", INPUT_SIZES, {"encode": encoded, "decode": decoded}


def by_picture_size() -> Curve:
    """Encode and decode pictures of each size at an input of 128 pixels."""
    model = model_of(128)
    encoded, decoded = [], []
    for side in PICTURE_SIZES:
        image = frame(side)
        embedding = encode_image(model, image)
        encoded.append(least(lambda i=image: encode_image(model, i), 5))
        decoded.append(least(lambda e=embedding: decode_masks(model, e), 5))
    return "picture size, pixels", PICTURE_SIZES, {"encode": encoded, "decode": decoded}


def by_classes() -> Curve:
    """Decode, and take a step of each gear, with so many classes."""
    lines: dict[str, list[float]] = {"decode": [], **{f"step, {gear}": [] for gear in GEARS}}
    image = frame(256)
    for count in CLASSES:
        model = model_of(128, count)
        embedding = encode_image(model, image)
        lines["decode"].append(least(lambda m=model, e=embedding: decode_masks(m, e)))
        for gear in GEARS:
            lines[f"step, {gear}"].append(step_seconds(model, gear, 4, count))
    return "classes", CLASSES, lines


def by_corrected_slices() -> Curve:
    """Take steps of each gear with so many corrected slices, when all caches are warm."""
    lines: dict[str, list[float]] = {f"step, {gear}": [] for gear in GEARS}
    model = model_of(128)
    for count in SLICES:
        for gear in GEARS:
            lines[f"step, {gear}"].append(step_seconds(model, gear, count, 1))
    return "corrected slices", SLICES, lines


def step_seconds(model: AdaptedSam, gear: str, n_slices: int, n_classes: int) -> float:
    """Return the computing seconds of a step without prompts."""
    data = synthetic_polyps(n_slices, (128, 128), seed=4)
    rng = np.random.default_rng(0)
    samples = [
        TrainingSample(image, (mask != 0) * rng.integers(1, n_classes + 1), f"slice {number}")
        for number, (image, mask) in enumerate(zip(data.frames, data.masks, strict=True))
    ]
    config = TrainingConfig(gear=gear, prompted_share=0.0)
    feed = feed_for(model, samples, config)
    stepper = Stepper(model, feed, config, ALONE)
    # What is computed once is computed at a slice's first visit, and nothing new at its second.
    if gear != "full":
        for position in range(n_slices):
            feed.at(position)
        stepper.step = n_slices
    return least(lambda: stepper.take(0.5), rounds=12)


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Draw a panel for each curve."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3.2))
    for panel, (title, values, lines) in zip(panels, curves, strict=True):
        for name, seconds in lines.items():
            panel.plot(values, [1000 * s for s in seconds], marker="o", label=name)
        panel.set(xscale="log", yscale="log", xlabel=title, ylabel="ms of one thread")
        panel.set_xticks(values, [str(value) for value in values])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
