"""Gaps between ticks of the window's event loop while a full training runs and a person paints."""

from __future__ import annotations

import json
import os
import time

import numpy as np

TICK_MS, STROKE_MS = 5, 500
MINUTES, N_CORRECTED = 1.0, 6


def main() -> dict[str, object]:
    """Train for a minute, and return the gaps in ms, the start and the end included."""
    from bench.driving import Driver, run_until, timer

    driver = Driver()
    driver.predict(all_slices=True)
    for position in range(N_CORRECTED):
        driver.correct(position)
    driver.go_to(N_CORRECTED)
    driver.settle(1.0)
    labels, retraining = driver.dock.controller.binding.labels, driver.dock.controller.retraining
    rng = np.random.default_rng(0)
    ticks: list[float] = []
    strokes = 0

    def paint() -> None:
        nonlocal strokes
        row, column = rng.integers(40, 200, size=2).tolist()
        labels.paint((driver.viewer.dims.current_step[0], row, column), 1)
        strokes += 1

    heartbeat = timer(TICK_MS, lambda: ticks.append(time.perf_counter()))
    brush = timer(STROKE_MS, paint)
    driver.start_training("full", MINUTES)
    run_until(lambda: not retraining.is_running)
    heartbeat.stop()
    brush.stop()
    steps = len(driver.dock.retrain_panel.curve.losses)
    gaps = (np.diff(ticks) * 1000).round(2).tolist()
    driver.finish_training()
    driver.close()
    if not steps:
        raise RuntimeError(f"nothing was trained: {driver.dock.message.text()}")
    return {"gaps_ms": gaps, "strokes": strokes, "steps": steps}


if __name__ == "__main__":
    print(json.dumps(main()), flush=True)
    os._exit(0)  # without taking napari down politely
