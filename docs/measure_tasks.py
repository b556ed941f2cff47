"""Measure the tables of docs/results.md: every method on every task, as long as wanted.

    python docs/measure_tasks.py DATA OUT [--tasks polyps-16,shadow] [--methods full,unet]

DATA holds the data sets as docs/results.md lays them out. Each run is written to OUT as it ends;
what is there already is not run again, so the work may be spread over days. A run keeps one core
busy, so two may go on beside each other on two cores. Prints the table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from measure_data import TASKS, Task
from measure_methods import CONDITION_METHODS, METHODS, Scores, use_one_core


def main() -> None:
    """Run what is missing, then print what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--folds", type=int, help="Run only so many folds or seeds of each task.")
    parser.add_argument("--measures", default="", help="Print tables of these too, e.g. mae,ber.")
    parser.add_argument("--print-only", action="store_true", help="Run nothing.")
    given = parser.parse_args()
    tasks = [TASKS[name] for name in given.tasks.split(",")]
    methods = given.methods.split(",")
    given.out.mkdir(parents=True, exist_ok=True)
    use_one_core()
    if not given.print_only:
        for task in tasks:
            run(task, methods, given.data, given.out, given.folds)
    print_table(tasks, methods, given.out)
    for measure in given.measures.split(",") if given.measures else ():
        print(f"\n{measure}")
        print_table(tasks, methods, given.out, measure)


def run(task: Task, methods: Sequence[str], data: Path, out: Path, n_folds: int | None) -> None:
    """Run the methods on the folds of a task where there is no result yet."""
    try:
        folds = list(islice(task.folds(data), n_folds))
    except (FileNotFoundError, OSError) as error:
        print(f"{task.name} is left out: {error}")
        return
    for fold in folds:
        for method in methods:
            name = f"{task.name}-{fold.name}-{method}"
            target = out / f"{name}.json"
            if target.exists():
                continue
            scores = (METHODS | CONDITION_METHODS)[method](task, fold, out / f"{name}.safetensors")
            target.write_text(json.dumps(_rounded(scores)))
            print(f"{name}: Dice {scores['dice']:.4f}", flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def print_table(
    tasks: Sequence[Task], methods: Sequence[str], out: Path, measure: str = "dice"
) -> None:
    """Print the mean of a measure and the folds' own, a row per task, in Markdown."""
    print("| task | minutes |", *(f"{method} |" for method in methods))
    print("|---|---|" + "---|" * len(methods))
    for task in tasks:
        cells = []
        for method in methods:
            found: list[Scores] = [
                json.loads(path.read_text())
                for path in sorted(out.glob(f"{task.name}-*-{method}.json"))
            ]
            values = [one.get("measures", one).get(measure, np.nan) for one in found]
            each = ", ".join(f"{value:.3f}" for value in values)
            cells.append(f"{np.mean(values):.3f} ({each}) |" if values else "- |")
        print(f"| {task.name} | {task.minutes:g} |", *cells)


if __name__ == "__main__":
    main()
