"""Rows of the time from the click on Retrain to a Dice on images nobody has corrected.

Sixteen polyp images are learned from by ``napari-sam-adapter train``, in runs of several lengths,
each a process of its own from its start to its saved adapter, as in the window. The adapters are
scored on other images at their own size; scoring is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.machine import THREAD_VARIABLES
from bench.measuring import Row, say

DATA = "NAPARI_SAM_ADAPTER_BENCH_DATA"
# What the steps of `Retrain` amount to: a gear, and seconds of training.
RUNS = (("late", 5), ("late", 12), ("late", 25), ("late", 45), ("late", 75), ("late", 105))
GOALS = {0.70: (30.0, 10.0), 0.80: (60.0, 30.0), 0.84: (120.0, 60.0)}
NAME = "16 polyp images on two cores: s to held-out Dice {:.2f}"


def rows() -> Iterator[Row]:
    """Train until every Dice is reached; rows without a value where the images are not here."""
    folder = os.environ.get(DATA)
    images = None if folder is None else Path(folder) / "kvasir_seg_352"
    if images is None or not images.is_dir():
        note = f"{DATA} must name the folder that holds kvasir_seg_352 (docs/results.md)"
        yield from (Row(NAME.format(d), None, *goal, True, note) for d, goal in GOALS.items())
        return
    say("Learning from 16 polyp images")
    reached: dict[float, float] = {}
    with tempfile.TemporaryDirectory() as out:
        for gear, seconds in RUNS:
            adapter = Path(out) / f"{gear}-{seconds}.safetensors"
            start = time.perf_counter()
            _train(images, adapter, gear, seconds)
            took = time.perf_counter() - start
            dice = _score(images, adapter)
            say(f"  {gear}, {seconds} s: {took:.1f} s from the click, Dice {dice:.3f}")
            for wanted in GOALS:
                if dice >= wanted:
                    reached.setdefault(wanted, took)
            if len(reached) == len(GOALS):
                break
    for wanted, (limit, goal) in GOALS.items():
        note = "" if wanted in reached else "not reached by the longest run"
        yield Row(NAME.format(wanted), reached.get(wanted), limit, goal, True, note)


def _train(data: Path, adapter: Path, gear: str, seconds: int) -> None:
    _run(
        *("train", "--images", str(data / "train/images"), "--masks", str(data / "train/masks")),
        *("--max-images", "16", "--gear", gear, "--minutes", str(seconds / 60)),
        *("--out", str(adapter), "--json"),
    )


def _score(data: Path, adapter: Path) -> float:
    found = json.loads(
        _run(
            *("evaluate", "--images", str(data / "val/images"), "--masks", str(data / "val/masks")),
            *("--adapter", str(adapter), "--json"),
        )
    )
    return float(found["dice"])


def _run(*arguments: str) -> str:
    root = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "napari_sam_adapter", *arguments]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(THREAD_VARIABLES, "2")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
