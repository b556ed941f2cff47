"""Measure a retraining on a machine whose cores other programs keep busy.

    python docs/measure_busy.py DATA [--seconds 30]

As many other processes as there are cores count up without end while each gear trains on 16 polyp
images, with one thread for each free core (as training does) and with all threads. All have the
same priority. DATA holds kvasir_seg_352 as docs/results.md lays it out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

from measure_data import TASKS

from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.allocator import keep_freed_memory
from napari_sam_adapter.training import loop
from napari_sam_adapter.training.config import GEARS, TrainingConfig
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.threads import FreeThreads


def main() -> None:
    """Print the steps that each gear takes, on the idle machine and on the busy one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    keep_freed_memory()
    fold = next(iter(TASKS["polyps-16"].folds(given.data)))
    samples = [sample for item in fold.train for sample in item.slices()]
    measure("idle", samples, given.seconds)
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        measure("busy", samples, given.seconds)
    finally:
        for other in others:
            other.kill()


def measure(machine: str, samples: list[TrainingSample], seconds: float) -> None:
    """Train in each gear with both ways to choose the threads."""
    choices = {"free cores": FreeThreads, "all threads": _all_threads}
    for gear in GEARS:
        for name, threads in choices.items():
            loop.FreeThreads = threads  # type: ignore[misc, assignment]
            model = build_adapted_sam(ModelSettings.default("lite_medsam", 128), seed=0)
            config = TrainingConfig(gear=gear, max_seconds=seconds)
            for event in loop.train_adapter(model, samples, config):
                if isinstance(event, TrainingFinished):
                    print(f"{machine}, {gear}, {name}: {event.steps} steps", flush=True)


def _all_threads() -> SimpleNamespace:
    return SimpleNamespace(used=nullcontext)


if __name__ == "__main__":
    main()
