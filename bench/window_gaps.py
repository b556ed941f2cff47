"""Gaps between ticks of the window's event loop while a full training runs and a person paints.

With ``alone`` as its argument the same is painted into a napari without dock and without training:
what is left of the gaps there is napari's own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import napari
import numpy as np

from bench.measuring import FailedError

TICK_MS, STROKE_MS = 5, 500
MINUTES, N_CORRECTED, N_FRAMES = 1.0, 6, 24
WINDOW = (1400, 880)


def main(alone: bool) -> dict[str, object]:
    """Paint for a minute, and return the gaps in ms, the start and the end included."""
    return _alone() if alone else _while_training()


def _while_training() -> dict[str, object]:
    from bench.driving import Driver, run_until

    driver = Driver(N_FRAMES, WINDOW)
    driver.predict(all_slices=True)
    for position in range(N_CORRECTED):
        driver.correct(position)
    driver.go_to(N_CORRECTED)
    driver.settle(1.0)
    labels, retraining = driver.dock.controller.binding.labels, driver.dock.controller.retraining

    def train() -> None:
        driver.start_training("full", MINUTES)
        run_until(lambda: not retraining.is_running)

    found = gaps_while(driver.viewer, labels, train)
    losses = driver.dock.retrain_panel.curve.losses
    steps = losses[-1][0] if losses else 0
    driver.finish_training()
    check_whole(found, steps, driver.dock.message.text())
    driver.close()
    return {**found, "steps": steps}


def check_whole(found: dict[str, Any], steps: int, said: str) -> None:
    """Check that a run lasted as long as asked: one that breaks off leaves the window alone.

    Raises
    ------
    FailedError
        With what the dock has said.
    """
    seconds = sum(found["gaps_ms"]) / 1000
    if not steps or seconds < 0.9 * 60 * MINUTES:
        raise FailedError(f"{steps} steps in {seconds:.0f} of {60 * MINUTES:.0f} s: {said}")


def _alone() -> dict[str, object]:
    from bench.driving import run_until
    from napari_sam_adapter.demo import synthetic_demo_data
    from napari_sam_adapter.widgets.launch import add_demo_layers

    viewer = napari.Viewer()
    viewer.window._qt_window.resize(*WINDOW)
    data = synthetic_demo_data(N_FRAMES)
    add_demo_layers(viewer, data)
    labels = viewer.add_labels(np.stack(list(data.masks)).astype(np.uint8))
    viewer.dims.set_current_step(0, N_CORRECTED)
    end = time.monotonic() + 1
    run_until(lambda: time.monotonic() > end)
    end += 60 * MINUTES
    return gaps_while(viewer, labels, lambda: run_until(lambda: time.monotonic() > end))


def gaps_while(
    viewer: napari.Viewer, labels: napari.layers.Labels, wait: Callable[[], None]
) -> dict[str, Any]:
    """Paint a dab twice a second while something is waited for, and note when the loop turns."""
    from bench.driving import timer

    rng = np.random.default_rng(0)
    ticks: list[float] = []
    strokes = 0

    def paint() -> None:
        nonlocal strokes
        row, column = rng.integers(40, 200, size=2).tolist()
        labels.paint((viewer.dims.current_step[0], row, column), 1)
        strokes += 1

    heartbeat = timer(TICK_MS, lambda: ticks.append(time.perf_counter()))
    brush = timer(STROKE_MS, paint)
    wait()
    heartbeat.stop()
    brush.stop()
    return {"gaps_ms": (np.diff(ticks) * 1000).round(2).tolist(), "strokes": strokes}


if __name__ == "__main__":
    print(json.dumps(main("alone" in sys.argv[1:])), flush=True)
    os._exit(0)  # without taking napari down politely
