"""How time grows with input, picture, classes and slices, and memory with slices.

    python -m bench.growth docs/pictures/growth.png

Draws the curves and prints the numbers as Markdown; computing time of one thread, the least of
several rounds. Volumes are predicted once each, in a process of its own, whose start
counts. Needs matplotlib (the dependency group ``measure``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

from bench.machine import fix_threads
from bench.volumes import predicted
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.allocator import keep_freed_memory
from napari_sam_adapter.sam.encode import encode_image
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.training.config import GEARS, TrainingConfig
from napari_sam_adapter.training.feeds import feed_for
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.step import Stepper
from napari_sam_adapter.training.workers import ALONE

matplotlib.use("Agg")
INPUT_SIZES = (112, 128, 168, 224, 256)
PICTURE_SIZES = (128, 256, 512, 1024, 2048, 4096)
CLASSES = (1, 2, 4, 8, 16, 32)
CORRECTED = (4, 8, 16, 32, 64, 128)
SLICES = (16, 64, 256, 1024)
# In every panel a line of the same name has the same colour.
LINES = ("encode", "decode", *(f"step, {gear}" for gear in GEARS), "predict")


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured at each of several values, by name.

    Attributes
    ----------
    title : str
        What grows.
    values : sequence of int
    lines : dict of str to list of float
        In ``unit``; a number for each value.
    unit : str
    """

    title: str
    values: Sequence[int]
    lines: dict[str, list[float]]
    unit: str = "ms"


def main() -> None:
    """Measure all curves, print them, and draw them."""
    keep_freed_memory()
    fix_threads(1)
    torch.set_num_threads(1)
    curves = [by_input_size(), by_picture_size(), by_classes(), by_corrected_slices(), *by_slices()]
    for curve in curves:
        tell(curve)
    draw(curves, Path(sys.argv[1]))


def tell(curve: Curve) -> None:
    """Print a curve as Markdown."""
    print(f"\n| {curve.title} |", *(f"{value} |" for value in curve.values))
    print("|---|" + "---|" * len(curve.values))
    for name, found in curve.lines.items():
        print(f"| {name} |", *(f"{one:.0f} {curve.unit} |" for one in found), flush=True)


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
    """Return the least computing time of several rounds in ms; a first one does not count."""
    found = []
    for _ in range(rounds + 1):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return 1000 * min(found[1:])


def by_input_size() -> Curve:
    """Encode and decode at each size of the input, one view."""
    encoded, decoded, image = [], [], frame(256)
    for size in INPUT_SIZES:
        model = model_of(size)
        embedding = encode_image(model, image)
        encoded.append(least(lambda m=model: encode_image(m, image)))
        decoded.append(least(lambda m=model, e=embedding: decode_masks(m, e)))
    return Curve("input size, pixels", INPUT_SIZES, {"encode": encoded, "decode": decoded})


def by_picture_size() -> Curve:
    """Encode and decode pictures of each size at an input of 128 pixels."""
    model = model_of(128)
    encoded, decoded = [], []
    for side in PICTURE_SIZES:
        image = frame(side)
        embedding = encode_image(model, image)
        encoded.append(least(lambda i=image: encode_image(model, i), 5))
        decoded.append(least(lambda e=embedding: decode_masks(model, e), 5))
    return Curve("picture size, pixels", PICTURE_SIZES, {"encode": encoded, "decode": decoded})


def by_classes() -> Curve:
    """Decode, and take a step of each gear, with so many classes."""
    lines: dict[str, list[float]] = {"decode": [], **{f"step, {gear}": [] for gear in GEARS}}
    image = frame(256)
    for count in CLASSES:
        model = model_of(128, count)
        embedding = encode_image(model, image)
        lines["decode"].append(least(lambda m=model, e=embedding: decode_masks(m, e)))
        for gear in GEARS:
            lines[f"step, {gear}"].append(step_time(model, gear, 4, count))
    return Curve("classes", CLASSES, lines)


def by_corrected_slices() -> Curve:
    """Take steps of each gear with so many corrected slices, when all caches are warm."""
    lines: dict[str, list[float]] = {f"step, {gear}": [] for gear in GEARS}
    model = model_of(128)
    for count in CORRECTED:
        for gear in GEARS:
            lines[f"step, {gear}"].append(step_time(model, gear, count, 1))
    return Curve("corrected slices", CORRECTED, lines)


def by_slices() -> tuple[Curve, Curve]:
    """Predict volumes of so many slices of 512 pixels, read one by one: time, and peak memory."""
    found = predicted(*SLICES)
    title, name = "slices of a volume", "predict"
    times = [1000 * one["cpu_s"] / one["slices"] for one in found]
    return (
        Curve(title, SLICES, {name: times}, "ms a slice"),
        Curve(title, SLICES, {name: [one["mib"] for one in found]}, "MiB"),
    )


def step_time(model: AdaptedSam, gear: str, n_slices: int, n_classes: int) -> float:
    """Return the computing time of a step without prompts, in ms."""
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
    """Draw a panel for each curve, three in a row; each line is named at its end."""
    from matplotlib import pyplot

    n_rows = -(-len(curves) // 3)
    figure, panels = pyplot.subplots(n_rows, 3, figsize=(12, 3.4 * n_rows), squeeze=False)
    for panel in panels.flat[len(curves) :]:
        panel.remove()
    for panel, curve in zip(panels.flat, curves, strict=False):
        for name, found in curve.lines.items():
            colour = f"C{LINES.index(name)}"
            panel.plot(curve.values, found, marker="o", color=colour)
            place, at_end = (curve.values[-1], found[-1]), {"textcoords": "offset points"}
            panel.annotate(name, place, (7, -3), color=colour, fontsize=9, **at_end)
        unit = curve.unit if curve.unit == "MiB" else f"{curve.unit}, one thread"
        panel.set(xscale="log", xlabel=curve.title, ylabel=unit)
        panel.set_xlim(right=curve.values[-1] * (curve.values[-1] / curve.values[0]) ** 0.3)
        panel.set_xticks(curve.values, [str(value) for value in curve.values])
        # From zero, so that what is level looks level.
        panel.set_ylim(0, 1.15 * max(map(max, curve.lines.values())))
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
