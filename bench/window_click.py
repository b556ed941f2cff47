"""From a click on Predict slice to a canvas that shows the mask, in a real window.

A version trained for seconds predicts pictures of 512 x 512 pixels as the dock does by default:
with its own input size and number of views. Each picture has been predicted before, so that its
embedding is cached, and that prediction was undone, so that there is a mask to paint.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.measuring import NotEqualError, in_fresh_process, say

SIDE, CLICKS = 512, 48
CORRECTED, PREDICTED = (0, 1), (2, 3, 4, 5)
MOST_UNLIKE = 1e-3


def main() -> list[float]:
    """Train, check masks and pictures, then click; return the seconds of each click."""
    from bench.driving import Driver
    from napari_sam_adapter.data.synthetic import synthetic_polyps
    from napari_sam_adapter.demo import DemoData

    stack = synthetic_polyps(6, (SIDE, SIDE), seed=7)
    masks = [mask.astype(bool) for mask in stack.masks]
    names = [f"frame {number}" for number in range(len(masks))]
    driver = Driver(data=DemoData(list(stack.frames), masks, names, "synthetic frames"))
    driver.go_to(CORRECTED[0])
    driver.predict()  # which makes the masks layer
    for position in CORRECTED:
        driver.correct(position)
    driver.start_training("quick", 0.15)
    driver.finish_training()
    adapter = driver.dock.controller.session.in_use.reference.adapter
    if adapter is None:
        raise RuntimeError(f"training made no version: {driver.dock.message.text()}")
    clicks = Clicks(driver)
    for position, expected in zip(PREDICTED, plain_masks(adapter, stack.frames), strict=True):
        clicks.check(position, expected)
    found = [clicks.timed(PREDICTED[number % len(PREDICTED)]) for number in range(CLICKS)]
    driver.close()
    return found


class Clicks:
    """Presses the button and watches the canvas."""

    def __init__(self, driver) -> None:  # type: ignore[no-untyped-def]
        self._driver = driver
        self._labels = driver.dock.controller.binding.labels
        self._canvas = driver.viewer.window._qt_viewer.canvas._scene_canvas
        self._canvas.events.draw.connect(self._on_draw, position="last")
        self._expected: dict[int, np.ndarray] = {}
        self._position: int | None = None
        self._painted = 0.0
        self._keeps_picture = False
        self._picture: np.ndarray | None = None

    def check(self, position: int, expected: np.ndarray) -> None:
        """Predict a slice for the first time: the plain way's mask, and a canvas that shows it.

        Raises
        ------
        NotEqualError
            If the mask is another one, or the picture that counts as painted is not yet what
            stands there in the end.
        """
        self._driver.go_to(position)
        self._driver.predict()
        self._driver.settle()
        found = self._labels.data[position].copy()
        unlike = float((found != expected).mean())
        say(f"  slice {position}: {found.mean():.1%} marked, {unlike:.1e} unlike the plain way")
        if unlike > MOST_UNLIKE or not found.any():
            raise NotEqualError(f"the dock's mask differs from the plain way's in {unlike:.1e}")
        self._expected[position] = found
        empty = self._undone()
        self._keeps_picture = True
        self._click(position)
        painted, self._picture = self._picture, None
        self._keeps_picture = False
        final = self._drawn_again()
        self._undone()
        if painted is None or (painted != final).any() or not (painted != empty).any():
            raise NotEqualError("the canvas that counts as painted does not show the mask")

    def timed(self, position: int) -> float:
        """Return the seconds of a click; the prediction is undone afterwards."""
        self._driver.go_to(position)
        self._driver.settle()
        seconds = self._click(position)
        self._undone()
        return seconds

    def _click(self, position: int) -> float:
        from bench.driving import run_until

        self._position, self._painted = position, 0.0
        start = time.perf_counter()
        self._driver.dock.predict_panel.slice_button.click()
        run_until(lambda: self._painted > 0 and not self._is_running())
        self._position = None
        return self._painted - start

    def _is_running(self) -> bool:
        running: bool = self._driver.dock.controller.prediction.is_running
        return running

    def _on_draw(self, event: object) -> None:
        from vispy import gloo

        position = self._position
        if position is None or self._painted:
            return
        if np.array_equal(self._labels.data[position], self._expected[position]):
            gloo.gl.glFinish()
            self._painted = time.perf_counter()
            if self._keeps_picture:
                self._picture = gloo.read_pixels()

    def _undone(self) -> np.ndarray:
        """Take the prediction back, and return the picture without it."""
        self._labels.undo()
        self._driver.settle(0.2)
        return self._drawn_again()

    def _drawn_again(self) -> np.ndarray:
        """Draw once more, and return what is drawn."""
        from vispy import gloo

        from bench.driving import run_until

        pictures: list[np.ndarray] = []

        def keep(event: object) -> None:
            pictures.append(gloo.read_pixels())

        self._driver.settle()
        self._canvas.events.draw.connect(keep, position="last")
        self._canvas.update()
        run_until(lambda: bool(pictures))
        self._canvas.events.draw.disconnect(keep)
        return pictures[-1]


def plain_masks(adapter: Path, frames: np.ndarray) -> np.ndarray:
    """Predict the slices to click on in a process without window or cache."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "frames.npy", frames[list(PREDICTED)])
        in_fresh_process(__spec__.name, str(adapter), folder)
        masks: np.ndarray = np.load(Path(folder) / "masks.npy")
        return masks


def predict_plainly(adapter: Path, folder: Path) -> None:
    """Predict frames.npy of a folder into its masks.npy."""
    from napari_sam_adapter.sam.checkpoint import load_adapter
    from napari_sam_adapter.sam.predict import predict_masks

    model, card = load_adapter(adapter)
    views = model.spec.views_for(card)
    frames = np.load(folder / "frames.npy")
    np.save(folder / "masks.npy", [predict_masks(model, x, views=views).labels for x in frames])
    print("done")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        predict_plainly(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        print(json.dumps(main()), flush=True)
        os._exit(0)  # without taking napari down politely
