"""What a click on Retrain brings when the dock walks up the gears by itself.

    NAPARI_SAM_ADAPTER_BENCH_DATA=DATA python -m bench.walk [--minutes 2]

Sixteen polyp images are open in a real window and corrected; Retrain is pressed with its own
settings. Printed is when each version of the walk was in use, counted from the click, and its Dice
on images nobody has corrected, at their own size. No features are kept on the disk.

Correcting sixteen images takes a person minutes, in which the window gets ready for Retrain
(`widgets/retrain/getting_ready.py`). The script corrects in a moment, so it waits until that is
done; ``--at-once`` presses Retrain without it, when nothing is known of the images yet.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.machine import THREAD_VARIABLES
from bench.measuring import CannotRunError, FailedError, in_fresh_process, say
from napari_sam_adapter.training.presets import USUAL_MINUTES

DATA = "NAPARI_SAM_ADAPTER_BENCH_DATA"
N_IMAGES = 16


@dataclass(frozen=True, slots=True)
class Version:
    """A version that came into use ``seconds`` after the click."""

    gear: str
    seconds: float
    dice: float


def main() -> None:
    """Print what a click brings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=USUAL_MINUTES["late"])
    parser.add_argument("--at-once", action="store_true", help="Do not wait for getting ready.")
    parser.add_argument("--child", type=Path, help="For the module itself: where adapters go.")
    given = parser.parse_args()
    if given.child:
        print(json.dumps(walk(given.minutes, given.child, given.at_once)), flush=True)
        os._exit(0)  # without taking napari down politely
    found = list(versions_of_a_click(given.minutes, given.at_once))
    say("\n| version in use | s from the click | Dice |\n|---|---|---|")
    for number, version in enumerate(found, start=1):
        say(f"| v{number}, {version.gear} | {version.seconds:.1f} | {version.dice:.3f} |")


def versions_of_a_click(minutes: float, at_once: bool = False) -> Iterator[Version]:
    """Walk in a window of its own, and score what it made.

    Raises
    ------
    CannotRunError
        If the images are not here.
    """
    images = polyps()
    with TemporaryDirectory() as folder:
        asked = ["--minutes", str(minutes), "--child", folder]
        if at_once:
            asked.append("--at-once")
        for made in json.loads(in_fresh_process("bench.walk", *asked, window=True)):
            dice = score(images, Path(folder) / made["file"])
            yield Version(made["gear"], made["seconds"], dice)


def walk(minutes: float, out: Path, at_once: bool = False) -> list[dict[str, object]]:
    """Press Retrain and wait until the walk ends.

    Parameters
    ----------
    minutes : float
        Of training, all gears together.
    out : Path
        Where the adapters are copied to.
    at_once : bool
        Do not wait until the window is ready for Retrain.

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
    if not at_once:
        ready = controller.getting_ready
        begun = time.perf_counter()
        run_until(lambda: not (ready.work.is_running or ready.work.is_waiting), timeout_s=600)
        say(f"  ready after {time.perf_counter() - begun:.1f} s")
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


def score(data: Path, adapter: Path) -> float:
    """Return an adapter's mean Dice on the held-out images, at their own size."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "napari_sam_adapter", "evaluate", "--json"),
            *("--images", str(data / "val/images"), "--masks", str(data / "val/masks")),
            *("--adapter", str(adapter)),
        ],
        env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(THREAD_VARIABLES, "2")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}"[-2000:]
        raise FailedError(f"evaluate failed ({done.returncode}):\n{said}")
    found = json.loads(done.stdout)
    n_images = sum(1 for path in (data / "val/images").iterdir() if path.is_file())
    if found["n"] != n_images:
        raise FailedError(f"evaluate scored {found['n']} of {n_images} images")
    return float(found["dice"])


if __name__ == "__main__":
    main()
