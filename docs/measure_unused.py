"""Score the polyp adapters of docs/measure_tasks.py on training images that they have not seen.

    python docs/measure_unused.py DATA OUT [--count 200]

The 100 validation images are one sample, these are another: in a random order of the training
images, the first ones that a run had not chosen. Some of them were looked at while the recipe was
sought, so they flatter it where that overfitted.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from measure_data import _pictures
from measure_methods import use_one_core

from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.metrics.bootstrap import bootstrap_mean
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.predict import predict_masks

ORDER_SEED = 2611


def main() -> None:
    """Print a line for each adapter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    use_one_core()
    items = _pictures(given.data / "kvasir_seg_352" / "train")
    order = np.random.default_rng(ORDER_SEED).permutation(len(items))
    for path in sorted(given.out.glob("polyps-*-full.safetensors")):
        n_images, seed = map(int, re.findall(r"\d+", path.stem)[:2])
        chosen = np.random.default_rng(seed).choice(len(items), n_images, replace=False)
        unseen = [items[place] for place in order if place not in chosen][: given.count]
        model, card = load_adapter(path)
        views = model.spec.views_for(card)
        found = bootstrap_mean(
            [
                mean_class_dice(predict_masks(model, one.image, views=views).labels, one.labels, 1)
                for one in unseen
            ]
        )
        scores = f"{found.mean:.4f}, 95 % interval {found.low:.3f} to {found.high:.3f}"
        print(f"{path.stem}: Dice {scores}, {found.n} images", flush=True)


if __name__ == "__main__":
    main()
