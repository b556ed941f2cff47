"""Drive the real window from a script: the person of the screenshots and of the measurements.

The brush is simulated: `correct` paints what the ground truth says, as one undoable edit.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_sam_adapter.demo import DemoData, synthetic_demo_data
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam.feature_files import FOLDER_VARIABLE
from napari_sam_adapter.session.session import Session
from napari_sam_adapter.widgets.dock import SamAdapterDock
from napari_sam_adapter.widgets.launch import add_demo_layers
from napari_sam_adapter.widgets.panels.message_line import STARTING

TIMEOUT_S = 900


class Driver:
    """A viewer with frames (synthetic ones), their truth, and the dock, in a folder of its own."""

    def __init__(
        self,
        n_frames: int = 24,
        size: tuple[int, int] = (1400, 880),
        folder: tempfile.TemporaryDirectory[str] | None = None,
        data: DemoData | None = None,
    ) -> None:
        # What is shown and measured must not depend on what an earlier run has left.
        os.environ[FOLDER_VARIABLE] = "off"
        self._folder = folder or tempfile.TemporaryDirectory()
        self._n_frames, self._size, self._data = n_frames, size, data
        self.project = Path(self._folder.name) / "polyps"
        self.viewer = napari.Viewer()
        self.application = QApplication.instance()
        self.viewer.window._qt_window.resize(*size)
        data = data or synthetic_demo_data(n_frames)
        add_demo_layers(self.viewer, data)
        self.truth = np.stack(list(data.masks)).astype(np.uint8)
        self.dock = SamAdapterDock(self.viewer, Session(Project(self.project)))
        self.viewer.window.add_dock_widget(self.dock, name="SAM Adapter")
        self.wait(lambda: self.dock.message.text() != STARTING)

    def wait(
        self, condition: Callable[[], bool], on_turn: Callable[[], None] = lambda: None
    ) -> None:
        """Keep the window alive until a condition holds."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > TIMEOUT_S:
                raise TimeoutError(self.dock.message.text())
            self.application.processEvents()
            on_turn()
            time.sleep(0.001)

    def settle(self, seconds: float = 0.4) -> None:
        """Let the window draw what has changed."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end)

    def go_to(self, position: int) -> None:
        """Move the slider."""
        self.viewer.dims.set_current_step(0, position)
        self.settle(0.1)

    def predict(self, *, all_slices: bool = False) -> None:
        """Press Predict slice, or Predict all, and wait."""
        panel = self.dock.predict_panel
        (panel.all_button if all_slices else panel.slice_button).click()
        self.wait(lambda: not self.dock.controller.prediction.is_running)

    def correct(self, position: int) -> None:
        """Make a slice what the truth says."""
        self.go_to(position)
        labels = self.dock.controller.binding.labels
        rows, columns = np.nonzero(labels.data[position] != self.truth[position])
        planes = np.full(rows.size, position)
        labels.data_setitem((planes, rows, columns), self.truth[position][rows, columns])
        self.settle(0.1)

    def start_training(self, gear: str, minutes: float) -> None:
        """Press Retrain."""
        self.dock.retrain_panel.gear_box.value = gear
        self.dock.retrain_panel.minutes_box.value = minutes
        self.dock.retrain_panel.button.click()

    def finish_training(self, on_turn: Callable[[], None] = lambda: None) -> None:
        """Wait until the new version has predicted the slice in view."""
        controller = self.dock.controller
        self.wait(
            lambda: not controller.retraining.is_running and not controller.prediction.is_running,
            on_turn,
        )

    def has_checkpoint(self) -> bool:
        """Whether the run that goes on could be resumed."""
        return any(self.project.glob("runs/*/state.checkpoint"))

    def show_section(self, title: str) -> None:
        """Scroll the dock to a section."""
        section = next(one for one in self.dock.sections if one.heading.text() == title)
        area = self.dock.findChild(QScrollArea)
        self.settle()
        area.verticalScrollBar().setValue(section.y())
        self.settle()

    def reopened(self) -> Driver:
        """Close the window, whatever runs in it, and open the project in another one."""
        self.dock.shutdown()
        self.finish_training()
        self.viewer.close()
        driver = Driver(self._n_frames, self._size, self._folder, self._data)
        driver.wait(lambda: not driver.dock.controller.recording.is_busy)
        return driver

    def close(self) -> None:
        """Close the window."""
        self.dock.shutdown()
        self.settle()
        self.viewer.close()
        self._folder.cleanup()
