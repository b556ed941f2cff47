"""Measure the help that neighbouring slices give: Dice with it and without, on the same volumes.

    python docs/measure_volumes.py DATA OUT --hippocampus ADAPTER --mitochondria ADAPTER

DATA holds the data sets as docs/results.md lays them out; the adapters are those that
docs/measure_tasks.py trains on fold 0 of the tasks of these names, and the volumes are that fold's.
Two more, of slices across three axes and of quarters of pictures, are trained here and kept in OUT.
What is there already is not measured again. Prints the tables.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from measure_data import TASKS
from measure_methods import use_one_core
from measure_volume_methods import (
    Known,
    Table,
    axes,
    axes_untrained,
    carrying,
    filling,
    smoothing,
    strength,
    tiling,
    tiling_untrained,
)

from napari_sam_adapter.sam.checkpoint import load_adapter

# mm and nm, along Z, Y and X.
SPACING = {"hippocampus": (1.0, 1.0, 1.0), "mitochondria": (47.5, 9.2, 9.2)}
METHODS = {
    "hippocampus": {
        "smooth": smoothing,
        "fill": filling,
        "carry": carrying,
        "strength": strength,
        "axes-untrained": axes_untrained,
        "axes": axes,
    },
    "mitochondria": {
        "smooth": smoothing,
        "fill": filling,
        "carry": carrying,
        "strength": strength,
        "axes-untrained": axes_untrained,
        "axes": axes,
        "tiles-untrained": tiling_untrained,
        "tiles": tiling,
    },
}


def main() -> None:
    """Run what is missing, then print what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    for task in METHODS:
        parser.add_argument(f"--{task}", type=Path, help="Its adapter; without, it is left out.")
    parser.add_argument(
        "--methods", default="smooth,fill,carry,strength,axes-untrained,axes,tiles-untrained,tiles"
    )
    parser.add_argument("--volumes", type=int, help="Use only so many volumes of each task.")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    use_one_core()
    for task in METHODS:
        path = getattr(given, task)
        if path is not None:
            known = prepare(task, path, given.data, given.out, given.volumes)
            run(known, given.methods.split(","))


def prepare(name: str, adapter: Path, data: Path, out: Path, n_volumes: int | None) -> Known:
    """Load the adapter and the first fold of a task."""
    task = TASKS[name]
    fold = next(task.folds(data))
    model, card = load_adapter(adapter)
    return Known(
        task=task,
        spacing=SPACING[name],
        train=fold.train,
        volumes=fold.test[:n_volumes],
        model=model,
        views=model.spec.views_for(card),
        out=out,
    )


def run(known: Known, methods: list[str]) -> None:
    """Measure what is asked for and not there yet, and print it."""
    for method, measure in METHODS[known.task.name].items():
        if method not in methods:
            continue
        target = known.out / f"{known.task.name}-{method}.json"
        if not target.exists():
            table = measure(known)
            rounded = {row: [round(one, 4) for one in dice] for row, dice in table.items()}
            target.write_text(json.dumps(rounded))
        show(f"{known.task.name}, {method}", json.loads(target.read_text()))


def show(title: str, table: Table) -> None:
    """Print the mean Dice of each row, and how many volumes it is of, in Markdown."""
    print(f"\n| {title} | mean Dice | volumes |\n|---|---|---|")
    for row, dice in table.items():
        print(f"| {row} | {np.mean(dice):.3f} | {len(dice)} |", flush=True)


if __name__ == "__main__":
    main()
