"""A real viewer with the dock, real weights and a real prediction process."""

import contextlib
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch._dynamo  # noqa: F401 - see below
from napari.settings import get_settings
from npe2 import PluginManifest

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.session.session import Session
from napari_sam_adapter.versions import promotion
from napari_sam_adapter.widgets.dock import SamAdapterDock
from napari_sam_adapter.widgets.panels.advanced_settings import AdvancedSettings
from napari_sam_adapter.widgets.retrain import getting_ready
from napari_sam_adapter.widgets.trouble import TroubleDialog

# A window's process imports no torch, but these tests train in theirs, too. torch's optimizers load
# its compiler with an LLVM of its own, and where software OpenGL has loaded another one before, the
# interpreter crashes. So it is loaded here, before there is a window.

# Waiting ends when what is waited for has happened; this is only for a test that hangs.
TIMEOUT_MS = 600_000
# A second or so: shorter than the box offers, where it does not matter what is learned.
MOMENT = 0.02


class SharedPredictor(Predictor):
    """One process for all tests: starting it takes seconds. `close` is left to the fixture."""

    def close(self) -> None:
        pass

    def really_close(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def predictor():
    shared = SharedPredictor()
    yield shared
    shared.really_close()


class SharedTrainer(Trainer):
    """Goes on in the process that another test's run has left, as the next gear does.

    Starting one takes seconds. Like the next gear, it leaves alone what was told to stop.
    """

    spare: ClassVar[list[EngineProcess]] = []

    def run(self, make_job):
        if self._waiting is None and self.spare:
            self._waiting = self.spare.pop()
        yield from super().run(make_job)

    def release(self):
        is_idle = not (self._stop_requested.is_set() or self._turns.is_working_ahead)
        if self._waiting is not None and is_idle:
            self.spare.append(self._waiting)
            self._waiting = None
        super().release()


@pytest.fixture
def trainer_type() -> type[Trainer]:
    """What owns the training process; tests of the process itself take a `Trainer`."""
    return SharedTrainer


@pytest.fixture(scope="session", autouse=True)
def _no_process_stays():
    yield
    for process in SharedTrainer.spare:
        process.close()


@pytest.fixture(scope="session")
def polyps():
    return synthetic_polyps(8, (96, 96), seed=3)


@pytest.fixture(autouse=True, scope="session")
def _viewers_open_faster():
    """Spare each viewer what a quarter of its time goes to, and no test looks at.

    It reads the manifests of all plugins, and writes its welcome screen, which is not shown, anew
    for each of its keys.
    """
    found = list(PluginManifest.discover())

    def refresh(self, event=None):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        patch.setattr("napari._qt.widgets.qt_welcome.QtWelcomeWidget.refresh", refresh)
        yield


@pytest.fixture(autouse=True, scope="session")
def _settings_are_not_saved():
    """Keep out of napari's settings of whoever runs the tests, and spare the time to write them."""
    get_settings()._save_on_change = False


@pytest.fixture(autouse=True)
def _what_stays_is_no_garbage():
    """Spare the collections of garbage, three for each viewer, what stays anyway.

    That is modules, and what napari and Qt keep of viewers of earlier tests: looking through it all
    took half of the time of the last tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_error_of_the_program(request, monkeypatch):
    """Errors end in a dialog instead of a traceback: a test must not overlook them."""
    said: list[str] = []
    tell = TroubleDialog.__init__

    def opened(self, sentence, details, *others, **named):
        said.append(f"{sentence}\n{details}")
        tell(self, sentence, details, *others, **named)

    monkeypatch.setattr(TroubleDialog, "__init__", opened)
    yield
    if request.node.get_closest_marker("troubled") is None:
        assert not said, "\n".join(said)


@pytest.fixture(autouse=True)
def _a_moment_of_training_may_forget(monkeypatch):
    """Runs of a second do: without this, chance would decide which versions are held back."""
    monkeypatch.setattr(promotion, "FORGETTING", 2.0)


@pytest.fixture(autouse=True)
def _nobody_rests(monkeypatch):
    """Where a test rests, no training process is to be started that it does not ask for."""
    monkeypatch.setattr(getting_ready, "REST_MS", 3_600_000)


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_HOME", str(tmp_path / "home"))


@pytest.fixture
def wait(qtbot):
    """Return a function that waits until a condition holds, however slow the machine is."""
    return lambda condition: qtbot.waitUntil(condition, timeout=TIMEOUT_MS)


class Person:
    """Presses the dock's buttons and waits for what follows."""

    def __init__(self, viewer, dock, qtbot):
        self.viewer, self.dock, self.qtbot = viewer, dock, qtbot

    @property
    def controller(self):
        return self.dock.controller

    @property
    def labels(self):
        return self.controller.binding.labels

    @property
    def tracker(self):
        return self.controller.binding.tracker

    @property
    def message(self):
        return self.dock.message.text()

    def wait(self, condition):
        self.qtbot.waitUntil(condition, timeout=TIMEOUT_MS)

    def go_to(self, position):
        self.viewer.dims.set_current_step(0, position)

    def predict(self):
        self.dock.predict_panel.slice_button.click()
        self.wait(lambda: not self.controller.prediction.is_running)

    def predict_all(self):
        self.dock.predict_panel.all_button.click()
        self.wait(lambda: not self.controller.prediction.is_running)

    def paint(self, position, row=20, column=20, label=2):
        """One dab of napari's brush."""
        self.go_to(position)
        self.labels.brush_size = 9
        self.labels.paint((position, row, column), label)
        self.settle()

    def undo(self):
        self.labels.undo()
        self.settle()

    def redo(self):
        self.labels.redo()
        self.settle()

    def close(self):
        """Close the dock, then the image, as who ends for today."""
        self.dock.shutdown()
        self.viewer.layers.clear()

    def wait_for_record(self):
        recording = self.controller.recording
        self.wait(lambda: not recording.is_busy and not recording.pixels.is_busy)

    def settle(self):
        """Let the deferred look at the slice happen."""
        self.qtbot.wait(30)

    def correct(self, position, truth):
        """Make a slice equal to its truth, as one undoable edit."""
        self.go_to(position)
        rows, columns = np.nonzero(self.labels.data[position] != truth)
        planes = np.full(rows.size, position)
        self.labels.data_setitem((planes, rows, columns), truth[rows, columns])
        self.settle()

    def retrain(self, *, gear="quick", minutes=MOMENT):
        panel = self.dock.retrain_panel
        panel.gear_box.value = gear
        panel.minutes_box.min = min(minutes, panel.minutes_box.min)
        panel.minutes_box.value = minutes
        panel.button.click()

    def begin_training(self, *, gear="quick"):
        """Begin a run that ends only when it is told to, and wait until it takes steps."""
        self.retrain(gear=gear, minutes=30)
        self.wait(lambda: len(self.dock.retrain_panel.curve.losses) >= 2)

    def stop_training(self):
        self.dock.retrain_panel.button.click()
        self.wait_for_training()

    def wait_for_training(self):
        self.wait(lambda: not self.controller.retraining.is_running)
        self.wait(lambda: not self.controller.prediction.is_running)


def _is_busy(controller):
    with contextlib.suppress(RuntimeError):  # it was destroyed together with its window
        return (
            controller.prediction.is_running
            or controller.retraining.is_running
            or controller.recording.is_busy
            or controller.recording.pixels.is_busy
            or controller.ahead.work.is_running
            or controller.getting_ready.work.is_running
        )
    return False


@pytest.fixture
def open_person(make_napari_viewer, qtbot, tmp_path, predictor, trainer_type):
    """Return a function that opens a viewer with the dock."""
    docks = []

    def open_one(image=None, *, project=None, show=False, own_predictor=None, **layer):
        viewer = make_napari_viewer(show=show)
        if image is not None:
            viewer.add_image(image, name="image", **layer)
            # napari opens a stack in its middle.
            viewer.dims.current_step = (0,) * viewer.dims.ndim
        session = Session(
            Project(project or tmp_path / "project"),
            device="cpu",
            predictor=own_predictor or predictor,
        )
        session.trainer = trainer_type()
        dock = SamAdapterDock(viewer, session)
        viewer.window.add_dock_widget(dock, name="SAM Adapter")
        docks.append(dock)
        return Person(viewer, dock, qtbot)

    yield open_one
    for dock in docks:
        dock.shutdown()
        # The worker threads must be gone before the viewer is: they report to its dock.
        qtbot.waitUntil(lambda dock=dock: not _is_busy(dock.controller), timeout=TIMEOUT_MS)


@pytest.fixture
def end_after(monkeypatch):
    """Return a function that lets runs end after some steps, however fast the machine is."""
    recipe = AdvancedSettings.recipe.fget

    def limit(steps):
        limited = property(lambda settings: replace(recipe(settings), max_steps=steps))
        monkeypatch.setattr(AdvancedSettings, "recipe", limited)

    return limit


@pytest.fixture
def person(open_person, polyps):
    """A person who has opened a stack of synthetic frames."""
    return open_person(polyps.frames, rgb=True)


@pytest.fixture(scope="session")
def adapter_bytes() -> Callable[..., bytes]:
    """Return a function that makes an adapter file's content, once for each training summary."""
    made: dict[str, bytes] = {}

    def make(folder: Path, **training: object) -> bytes:
        if repr(training) not in made:
            model = build_adapted_sam(ModelSettings.default("lite_medsam"))
            save_adapter(folder / "made.safetensors", model, gear="full", training=training)
            made[repr(training)] = (folder / "made.safetensors").read_bytes()
        return made[repr(training)]

    return make


@pytest.fixture
def adapter_file(tmp_path, adapter_bytes) -> Path:
    """Return an adapter of the base model that changes nothing."""
    path = tmp_path / "from-a-colleague.safetensors"
    path.write_bytes(adapter_bytes(tmp_path))
    return path


@pytest.fixture
def turned_adapter_file(tmp_path, adapter_bytes) -> Path:
    """Return an adapter that was trained on turned and mirrored slices."""
    path = tmp_path / "turned.safetensors"
    path.write_bytes(adapter_bytes(tmp_path, config={"augmentation": "views"}))
    return path


@pytest.fixture
def folder(tmp_path):
    """The project that `open_person` opens."""
    return tmp_path / "project"


@pytest.fixture
def open_polyps(open_person, polyps):
    """Return a function that opens the synthetic polyps, with what the project has of them."""

    def open_one(**options):
        person = open_person(polyps.frames, rgb=True, **options)
        person.wait_for_record()
        return person

    return open_one
