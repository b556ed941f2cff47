"""What a click on Retrain brings when the dock walks up the gears by itself.

    NAPARI_SAM_ADAPTER_BENCH_DATA=DATA python -m bench.walk [--minutes 2]

Sixteen polyp images (those of `bench.learning`) are open in a real window and corrected; Retrain is
pressed with its own settings. Printed is when each version of the walk was in use, counted from the
click, and its Dice on images nobody has corrected, at their own size. Nothing is known of the
images before: no features are kept on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.learning import N_IMAGES, polyps, score
from bench.measuring import in_fresh_process, say
from napari_sam_adapter.training.presets import USUAL_MINUTES


def main() -> None:
    """Walk in a window of its own, score what it made, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=USUAL_MINUTES["late"])
    parser.add_argument("--child", type=Path, help="For the module itself: where adapters go.")
    given = parser.parse_args()
    if given.child:
        print(json.dumps(walk(given.minutes, given.child)), flush=True)
        os._exit(0)  # without taking napari down politely
    images = polyps()
    with TemporaryDirectory() as folder:
        asked = ("--minutes", str(given.minutes), "--child", folder)
        versions = json.loads(in_fresh_process(__spec__.name, *asked, window=True))
        say("\n| version in use | s from the click | Dice |\n|---|---|---|")
        for number, version in enumerate(versions, start=1):
            dice = score(images, Path(folder) / version["file"])
            say(f"| v{number}, {version['gear']} | {version['seconds']:.1f} | {dice:.3f} |")


def walk(minutes: float, out: Path) -> list[dict[str, object]]:
    """Press Retrain and wait until the walk ends.

    Parameters
    ----------
    minutes : float
        Of training, all gears together.
    out : Path
        Where the adapters are copied to.

    Returns
    -------
    list of dict
        Of each version, when it came into use: ``gear``, ``seconds`` from the click, ``file``.
    """
    from bench.driving import Driver, run_until

    driver = Driver(data=polyp_data())
    driver.predict()  # which makes the masks layer
    for position in range(N_IMAGES):
        driver.correct(position)
    controller = driver.dock.controller
    found: list[dict[str, object]] = []

    def note() -> None:
        seconds = time.perf_counter() - start
        version = controller.session.in_use.version
        shutil.copy(version.path, out)
        found.append({"gear": version.card.gear, "seconds": seconds, "file": version.path.name})

    controller.retraining.version_made.connect(note)
    start = time.perf_counter()
    driver.start_training("auto", minutes)
    run_until(lambda: not controller.retraining.is_running, timeout_s=60 * minutes + 600)
    say(f"  {driver.dock.message.text()}")
    driver.close()
    return found


def polyp_data():  # type: ignore[no-untyped-def]
    """Return the images that ``train --max-images`` chooses."""
    from napari_sam_adapter.data.files import pair_by_stem
    from napari_sam_adapter.data.stacks import read_slices
    from napari_sam_adapter.demo import DemoData

    folder = polyps() / "train"
    pairs = pair_by_stem(folder / "images", folder / "masks")
    chosen = np.random.default_rng(0).choice(len(pairs), size=N_IMAGES, replace=False)
    slices = read_slices([pairs[index] for index in sorted(chosen)])
    images, masks, names, _ = (list(column) for column in zip(*slices, strict=True))
    return DemoData(images, masks, names, "polyps")


if __name__ == "__main__":
    main()
