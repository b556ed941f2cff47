"""Measure whose answer to boxes is better, the adapter's or the base model's.

    python docs/measure_boxes.py DATA OUT [--tasks camouflage,shadow]

DATA and OUT as for measure_tasks.py, whose full adapters must be in OUT. As in training, every
second object of a test image has its exact box, and an answer is to mark those alone. Prints, for
each adapter, both answers on all test images and on those with several objects, what the held-out
slices said, and who answers by that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measure_data import TASKS, Fold
from measure_methods import use_one_core

from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.encode import Encoder
from napari_sam_adapter.training.held_out import score_boxes
from napari_sam_adapter.training.simulated_prompts import objects_by_size


def main() -> None:
    """Print a row for each adapter that is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default="camouflage,shadow")
    given = parser.parse_args()
    use_one_core()
    print("| adapter | all: adapter | base | several: n | adapter | base | held out | answers |")
    print("|---" * 8 + "|")
    for task in given.tasks.split(","):
        for fold in TASKS[task].folds(given.data):
            path = given.out / f"{task}-{fold.name}-full.safetensors"
            if path.exists():
                print(row(path, fold), flush=True)


def row(path: Path, fold: Fold) -> str:
    """Score an adapter; a row in Markdown."""
    model, card = load_adapter(path)
    views = model.spec.views_for(card)
    encoder, is_several = Encoder(model, None), []
    found: dict[str, list[float]] = {"adapter": [], "base": []}
    for item in fold.test:
        _, boxes = objects_by_size(item.labels != 0)
        if len(boxes):
            embedding = encoder.image(item.image, views)
            score_boxes(model, encoder, item.slices()[0], embedding, found)
            is_several.append(len(boxes) > 1)
    adapter, base, several = *map(np.array, found.values()), np.array(is_several)
    whole = f"{adapter.mean():.3f} | {base.mean():.3f}"
    part = f"{several.sum()} | {adapter[several].mean():.3f} | {base[several].mean():.3f}"
    held_out = card.training["box_dice"]
    gain = f"{held_out['adapter'] - held_out['base']:+.3f}"
    if "median_gain" in held_out:
        gain += f", median {held_out['median_gain']:+.3f}"
    return f"| {path.stem} | {whole} | {part} | {gain} | {card.box_answers} |"


if __name__ == "__main__":
    main()
