"""Measure how long a click on a version takes, and the first prediction with it.

    xvfb-run -a python docs/measure_activation.py [--versions 30] [--slices 200] [--json]

One version of each gear is trained for a few seconds; the others are copies of these with an id and
a card of their own, which name as many slices as `--slices` says. The mouse clicks on rows of the
list.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.versions.adapter_version import AdapterVersion

GEARS = ("quick", "full")
MINUTES = 0.15
N_CORRECTED = 6


def main() -> None:
    """Click on every version twice, and print milliseconds: median and longest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", type=int, default=30)
    parser.add_argument("--slices", type=int, default=200, help="named in each card")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    driver = Driver()
    fill(driver, given.versions, given.slices)
    numbers = list(range(1, given.versions + 1))
    times: dict[str, list[float]] = {}
    for number in numbers:
        gear = driver.dock.controller.session.store.get(number).card.gear
        times.setdefault("the click", []).append(timed(lambda n=number: click(driver, n)))
        first, again = f"first prediction, {gear}", f"second prediction, {gear}"
        times.setdefault(first, []).append(timed(driver.predict))
        times.setdefault(again, []).append(timed(driver.predict))
    # Both models, and the embeddings of the slice, are kept by now.
    for number in numbers[-2:] * 5:
        times.setdefault("back to the version before: the click", []).append(
            timed(lambda n=number: click(driver, n))
        )
        times.setdefault("back to the version before: prediction", []).append(timed(driver.predict))
    driver.close()
    found = {
        name: {"n": len(ms), "median_ms": round(float(np.median(ms))), "longest_ms": round(max(ms))}
        for name, ms in times.items()
    }
    if given.json:
        print(json.dumps(found))
        return
    for name, row in found.items():
        print(f"{name:42} {row['n']:4} {row['median_ms']:6} ms {row['longest_ms']:6} ms")


def fill(driver: Driver, n_versions: int, n_slices: int) -> None:
    """Train a version of each gear, and make the others from them."""
    driver.predict()
    for position in range(N_CORRECTED):
        driver.correct(position)
    for gear in GEARS:
        driver.start_training(gear, MINUTES)
        driver.finish_training()
    controller = driver.dock.controller
    trained = controller.session.store.versions()
    for number in range(len(GEARS), n_versions):
        add_copy(driver, trained[number % len(GEARS)], n_slices)
    controller.versions_changed.emit()
    driver.go_to(N_CORRECTED)  # a corrected mask stays at the first press


def add_copy(driver: Driver, version: AdapterVersion, n_slices: int) -> None:
    """Make the next version of another one, with a card that names many slices."""
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(n_slices)]
    training = dict(version.card.training) | {
        "n_slices": n_slices,
        "slices": [f"frames, slice {n} of {n_slices}" for n in range(n_slices)],
        "masks": [[digest, digest] for digest in digests],
        "trained_on": digests,
        "held_out_scores": [[f"frames, slice {n}", 0.8, 0.9] for n in range(min(n_slices, 32))],
    }
    card: AdapterCard = replace(version.card, adapter_id=uuid.uuid4().hex, training=training)
    store = driver.dock.controller.session.store
    path = store.working_path()
    save_file(load_file(version.path), path, metadata=card.to_metadata())
    store.adopt(path)


def click(driver: Driver, number: int) -> None:
    """Click on the row of a version, and wait until the window shows that it is in use."""
    rows = driver.dock.versions_panel.list
    items = [rows.topLevelItem(row) for row in range(rows.topLevelItemCount())]
    item = next(one for one in items if one.data(0, Qt.ItemDataRole.UserRole) == number)
    rows.scrollToItem(item)
    where = rows.visualItemRect(item).center()
    QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=where)
    session = driver.dock.controller.session
    driver.wait(lambda: session.in_use.version is not None and rows.currentItem() is not None)
    driver.dock.repaint()
    if session.in_use.version.number != number:
        raise RuntimeError(f"v{number} was clicked, {session.in_use.name} is in use")


def timed(act: Callable[[], None]) -> float:
    """Return how long something takes, in milliseconds."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
