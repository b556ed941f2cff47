"""Measure the longest gap between two ticks of the window's event loop while training runs.

Run it on an otherwise idle machine: ``xvfb-run -a python docs/measure_window.py``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from qtpy.QtCore import QTimer

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver

TICK_MS = 5
MINUTES = 1.0
N_CORRECTED = 6


def main() -> None:
    """Train for a minute, painting and predicting meanwhile, and print the gaps."""
    driver = Driver()
    driver.predict(all_slices=True)
    for position in range(N_CORRECTED):
        driver.correct(position)
    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(TICK_MS)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    driver.start_training("full", MINUTES)
    driver.settle(1.0)
    timer.start()
    labels = driver.dock.controller.binding.labels
    rng = np.random.default_rng(0)
    strokes = 0

    def work() -> None:
        """Paint a dab about twice a second, as a person does."""
        nonlocal strokes
        if ticks and ticks[-1] - ticks[0] > 0.5 * strokes:
            row, column = rng.integers(40, 200, size=2).tolist()
            labels.paint((driver.viewer.dims.current_step[0], row, column), 1)
            strokes += 1

    driver.finish_training(work)
    timer.stop()
    gaps = np.diff(ticks) * 1000
    print(
        json.dumps(
            {
                "ticks": len(ticks),
                "strokes": strokes,
                "median_ms": round(float(np.median(gaps)), 1),
                "p99_ms": round(float(np.percentile(gaps, 99)), 1),
                "longest_ms": round(float(gaps.max()), 1),
                "steps": len(driver.dock.retrain_panel.curve.losses),
            }
        )
    )
    driver.close()


if __name__ == "__main__":
    main()
