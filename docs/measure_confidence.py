"""Fit the usual calibration of `napari_sam_adapter.confidence`, and draw how well it holds.

    python docs/measure_confidence.py DATA OUT PICTURE.png

DATA and OUT as for measure_tasks.py, whose polyps-16 adapters must be in OUT. Each adapter is left
out of the fit that it is judged by. Tasks of other kinds show whether the calibration travels.
Where OUT has adapters of hippocampus, theirs is printed for single slices, many of them empty.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from measure_data import TASKS, Fold

from napari_sam_adapter.confidence import SEVERAL_VIEWS, Pairs, calibration_of, fit_calibration
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.volumes.slice_source import value_range

FITTED_ON = TASKS["polyps-16"]
OTHERS = ("camouflage", "shadow")
VOLUMES = TASKS["hippocampus"]
N_BINS = 5


def pairs_of(adapter: Path, fold: Fold, views: int) -> Pairs:
    """Return raw score and Dice of every test image."""
    model, _ = load_adapter(adapter)
    found = []
    for item in fold.test:
        prediction = predict_masks(model, item.image, views=views)
        score = mean_class_dice(prediction.labels, item.labels, model.settings.n_classes)
        found.append((prediction.expected_dice, score))
    return found


def report(views: int, by_fold: dict[str, Pairs]) -> list[tuple[float, float]]:
    """Print the fit, and how far off it is for each adapter when fitted on the others."""
    everything = [pair for pairs in by_fold.values() for pair in pairs]
    fitted = fit_calibration(everything)
    print(f"{views} views: intercept {fitted.intercept:.2f}, slope {fitted.slope:.2f}")
    judged = []
    for name, pairs in by_fold.items():
        rest = [pair for other, found in by_fold.items() if other != name for pair in found]
        calibration = fit_calibration(rest)
        mine = [(calibration(raw), dice) for raw, dice in pairs]
        judged += mine
        raw, confidence, dice = (
            np.array(column)
            for column in ([r for r, _ in pairs], [c for c, _ in mine], [d for _, d in mine])
        )
        print(
            f"  {name}: mean absolute error {np.abs(confidence - dice).mean():.3f} "
            f"(raw score {np.abs(raw - dice).mean():.3f}, always the mean "
            f"{np.abs(dice.mean() - dice).mean():.3f}), calibration error {binned(mine)[2]:.3f}"
        )
    return judged


def binned(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean confidence and mean Dice of five equal groups, and their mean difference."""
    groups = np.array_split(np.array(sorted(pairs)), N_BINS)
    confidence, dice = np.array([group.mean(axis=0) for group in groups]).T
    return confidence, dice, float(np.abs(confidence - dice).mean())


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("out", type=Path, help="folder with the adapters of measure_tasks.py")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    asked = parser.parse_args()
    data, out, picture = asked.data, asked.out, asked.picture
    judged = {}
    for views in (1, 2):
        by_fold = {
            fold.name: pairs_of(out / f"{FITTED_ON.name}-{fold.name}-full.safetensors", fold, views)
            for fold in FITTED_ON.folds(data)
        }
        judged[f"polyps, {views} view{'s'[: views - 1]}"] = report(views, by_fold)
    for name in OTHERS:
        found = [json.loads(path.read_text()) for path in sorted(out.glob(f"{name}-*-full.json"))]
        judged[f"{name}, not fitted on"] = [
            (SEVERAL_VIEWS(raw), dice)
            for one in found
            for raw, dice in zip(one["expected_dice"], one["per_item"], strict=True)
        ]
    for fold in VOLUMES.folds(data):
        adapter = out / f"{VOLUMES.name}-{fold.name}-full.safetensors"
        if adapter.exists():
            report_slices(adapter, fold)
    draw({name: pairs for name, pairs in judged.items() if pairs}, picture)


def report_slices(adapter: Path, fold: Fold) -> None:
    """Print how far off the confidence is in slices of volumes; apart, in those without a mask."""
    model, card = load_adapter(adapter)
    calibration = calibration_of(card.training, 1)
    marked, empty = [], []
    for item in fold.test:
        for image, truth in zip(item.image, item.labels, strict=True):
            if value_range(image) is not None:
                found = predict_masks(model, image)
                dice = mean_class_dice(found.labels, truth, model.settings.n_classes)
                pair = (calibration(found.expected_dice), dice)
                (marked if found.mask.any() else empty).append(pair)
    for name, pairs in (("something marked", marked), ("nothing marked", empty)):
        confidence, dice = np.array(pairs).T
        print(
            f"{adapter.stem}, {name}: {len(pairs)} slices, confidence {confidence.mean():.3f}, "
            f"Dice {dice.mean():.3f}, mean absolute error {np.abs(confidence - dice).mean():.3f}, "
            f"calibration error {binned(pairs)[2]:.3f}"
        )


def draw(judged: dict[str, Pairs], picture: Path) -> None:
    """Draw every image as a dot, and the means of five equal groups as a line."""
    figure, axes = plt.subplots(1, len(judged), figsize=(3.4 * len(judged), 3.6), sharey=True)
    for axis, (name, pairs) in zip(np.atleast_1d(axes), judged.items(), strict=True):
        confidence, dice, error = binned(pairs)
        axis.plot((0, 1), (0, 1), color="0.7", linewidth=1)
        axis.scatter(*np.array(pairs).T, s=6, alpha=0.35, color="#0072b2", linewidths=0)
        axis.plot(confidence, dice, "o-", color="#d55e00")
        axis.set_title(f"{name}\n{len(pairs)} images, calibration error {error:.3f}", fontsize=9)
        axis.set_xlabel("confidence")
        axis.set_aspect("equal")
    np.atleast_1d(axes)[0].set_ylabel("Dice against the truth")
    figure.tight_layout()
    figure.savefig(picture, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
