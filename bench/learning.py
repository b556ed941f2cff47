"""Rows of the time from the start of a training run to a Dice on images nobody has corrected.

Sixteen polyp images are learned from by ``napari-sam-adapter train``, in runs of several lengths,
each a process of its own from its start to its saved adapter. The adapters are scored on other
images at their own size; scoring is not counted.

That is the fastest way to a Dice for somebody who knows how long to train, not what the dock does
by itself: it walks up the gears, which `bench.walk` measures.
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
from bench.measuring import CannotRunError, FailedError, Row, say
from bench.table import lines_of

DATA = "NAPARI_SAM_ADAPTER_BENCH_DATA"
N_IMAGES = 16
# Each run is told its seconds of training, and starts from the base model.
GEAR, LENGTHS = "late", (3, 5, 12, 45, 75, 105)


def rows() -> Iterator[Row]:
    """Train until every Dice is reached.

    Raises
    ------
    CannotRunError
        If the images are not here.
    """
    lines = {float(one.name.split()[-1]): one for one in lines_of("learning")}
    images = polyps()
    say(f"Learning from {N_IMAGES} polyp images")
    reached: dict[float, tuple[float, str]] = {}
    with tempfile.TemporaryDirectory() as out:
        for seconds in LENGTHS:
            adapter = Path(out) / f"{seconds}.safetensors"
            start = time.perf_counter()
            _train(images, adapter, seconds)
            took = time.perf_counter() - start
            dice = score(images, adapter)
            say(f"  {GEAR}, {seconds} s: {took:.1f} s from its start, Dice {dice:.3f}")
            for wanted in lines:
                if dice >= wanted:
                    note = f"`train --gear {GEAR}` of {seconds} s, not the dock's walk"
                    reached.setdefault(wanted, (took, note))
            if len(reached) == len(lines):
                break
    for wanted, line in lines.items():
        yield line.row(*reached.get(wanted, (None, "not reached by the longest run")))


def polyps() -> Path:
    """Return the folder of the polyp images.

    Raises
    ------
    CannotRunError
        If it is not here.
    """
    folder = os.environ.get(DATA)
    images = None if folder is None else Path(folder) / "kvasir_seg_352"
    if images is None or not images.is_dir():
        raise CannotRunError(
            f"{DATA} must name the folder that holds kvasir_seg_352 (docs/results.md)"
        )
    return images


def _train(data: Path, adapter: Path, seconds: int) -> None:
    _run(
        *("train", "--images", str(data / "train/images"), "--masks", str(data / "train/masks")),
        *("--max-images", str(N_IMAGES), "--gear", GEAR, "--minutes", str(seconds / 60)),
        *("--out", str(adapter), "--json"),
    )


def score(data: Path, adapter: Path) -> float:
    """Return an adapter's mean Dice on the held-out images, at their own size."""
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
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}"[-2000:]
        raise FailedError(f"{arguments[0]} failed ({done.returncode}):\n{said}")
    return done.stdout
