"""The plugin as napari sees it: manifest, menus, palette, samples."""

import sys
import threading

import numpy as np
import psutil
import pytest
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.record_opening import RecordOpening
from napari_sam_adapter.session.session import Session
from napari_sam_adapter.widgets import commands
from napari_sam_adapter.widgets.dock import SamAdapterDock

NAME = "napari-sam-adapter"


@pytest.fixture
def viewer(make_napari_viewer):
    # napari's test viewer starts without plugins; register the installed one.
    manager = PluginManager.instance()
    if NAME not in manager:
        manager.register(PluginManifest.from_distribution(NAME))
    return make_napari_viewer()


def test_the_dock_opens_without_what_is_needed_only_later(open_person, polyps, monkeypatch):
    for name in ("pyqtgraph", "requests", "accelerate", "distributed", "nibabel"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    assert open_person(polyps.frames, rgb=True).dock.is_open


def close_dock(dock, wait):
    wait(lambda: "Starting" not in dock.message.text())
    dock.shutdown()


def test_the_dock_opens_from_the_plugins_menu_command(viewer, wait):
    dock = commands.open_dock(viewer)
    assert isinstance(dock, SamAdapterDock)
    assert commands.open_dock(viewer) is dock
    close_dock(dock, wait)


def test_the_dock_stands_in_the_layers_segment_menu(viewer):
    items = PluginManager.instance().iter_menu("napari/layers/segment")
    assert f"{NAME}.open" in [item.command for item in items]


def test_the_palette_offers_predicting_accepting_going_on_and_retraining():
    manifest = PluginManifest.from_distribution(NAME)
    titles = {command.id: command.title for command in manifest.contributions.commands}
    own = (
        "predict_slice predict_all accept_slice accept_and_go_on next_slice fill_between blink "
        "change_map retrain work_in_view"
    )
    for command in own.split():
        assert titles[f"{NAME}.{command}"].startswith("SAM Adapter: ")
        assert callable(getattr(commands, command))


@pytest.mark.parametrize("key", ["synthetic_polyps", "retina", "histology"])
def test_sample_data_opens_as_pictures(viewer, key):
    viewer.open_sample(NAME, key)
    image = viewer.layers[0]
    assert image.rgb
    assert image.data.dtype == np.uint8
    assert min(image.data.shape[-3:-1]) >= 128


def test_the_dock_stands_in_the_menu_a_person_sees(viewer):
    viewer.window.layers_menu.aboutToShow.emit()
    titles = [
        entry.text()
        for action in viewer.window.layers_menu.actions()
        if action.menu() is not None and "Segment" in action.text()
        for entry in action.menu().actions()
    ]
    assert any("SAM Adapter" in title for title in titles)


def close_and_refuse(person, monkeypatch):
    """Close napari's window, say No to what is asked, and return the questions."""
    asked = []
    no = QMessageBox.StandardButton.No
    monkeypatch.setattr(QMessageBox, "question", lambda *a: asked.append(a[2]) or no)
    person.viewer.window._qt_window.close()
    return asked


def is_computing(process):
    try:
        return process.is_running() and "napari_sam_adapter.engine" in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


def holder_of(person):
    """What napari has put the dock into."""
    holder = person.dock.parent()
    while not hasattr(holder, "destroyOnClose"):
        holder = holder.parent()
    return holder


def press_x(person):
    """Press the dock's own close button."""
    holder_of(person).destroyOnClose()


def test_what_is_painted_after_the_x_of_the_dock_is_recorded_all_the_same(open_person, polyps):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.predict()
    person.wait_for_record()
    press_x(person)
    person.labels.paint((3, 20, 20), 1)
    person.viewer.close()
    again = open_person(polyps.frames, rgb=True)
    again.wait_for_record()
    assert again.labels.data[3, 20, 20] == 1
    assert (3,) in again.tracker.ready()


def test_closing_napari_after_the_x_asks_where_strokes_are_not_on_the_disk(
    open_person, polyps, monkeypatch
):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.predict()
    person.wait_for_record()
    press_x(person)
    with monkeypatch.context() as patched:
        patched.setattr(type(person.controller.recording), "is_at_risk", True)
        asked = close_and_refuse(person, patched)
    assert "It is lost if napari is closed now." in asked[0]
    assert person.viewer.window._qt_window.isVisible()


def test_the_x_of_the_dock_ends_its_process_and_a_new_dock_knows_the_slices(
    open_person, polyps, qtbot, wait
):
    before = set(psutil.Process().children())
    person = open_person(polyps.frames, rgb=True, show=True, own_predictor=Predictor())
    person.predict()
    person.paint(0)
    labels, viewer = person.labels, person.viewer
    own = set(psutil.Process().children()) - before
    assert any(map(is_computing, own))
    press_x(person)
    person.wait(lambda: not any(map(is_computing, own)))
    # None of this may reach the dead dock.
    viewer.layers["image"].name = "renamed"
    viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="another")
    viewer.layers.remove("another")
    viewer.dims.set_current_step(0, 3)
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, "A", Qt.KeyboardModifier.ShiftModifier)
    assert person.tracker.ready() == [(0,)], "the key accepts nothing any more"
    closed = person.dock
    assert closed.is_open, "it records on"
    dock = SamAdapterDock(viewer, Session(person.controller.session.project, device="cpu"))
    assert not closed.is_open, "two must not record the same masks"
    viewer.window.add_dock_widget(dock)
    window = viewer.window._qt_window
    wait(lambda: window.findChildren(SamAdapterDock) == [dock])
    person.dock = dock
    dock.layers_panel.labels_box.value = labels
    assert person.tracker.ready() == [(0,)]
    assert person.tracker.adapter_of((0,)) == ""
    close_dock(dock, wait)


def test_a_dock_that_is_opened_while_the_one_before_was_opening_a_record_gets_it(
    open_person, polyps, monkeypatch
):
    first = open_person(polyps.frames, rgb=True)
    first.controller.layers.need()
    first.wait_for_record()
    first.paint(0)
    first.close()
    may_go_on, asked, ended = [threading.Event(), threading.Event()], [], []
    identify, events = ImageIdentity.of, RecordOpening.events

    def identify_slowly(*image):
        asked.append(image)
        may_go_on[min(len(asked), 2) - 1].wait()
        return identify(*image)

    def events_to_the_end(opening):
        yield from events(opening)
        ended.append(opening)

    monkeypatch.setattr(ImageIdentity, "of", identify_slowly)
    monkeypatch.setattr(RecordOpening, "events", events_to_the_end)
    person = open_person(polyps.frames, rgb=True, show=True)
    person.wait(lambda: len(asked) == 1)
    press_x(person)
    dock = SamAdapterDock(person.viewer, Session(Project(first.controller.session.project.folder)))
    person.viewer.window.add_dock_widget(dock)
    person.wait(lambda: len(asked) == 2)
    may_go_on[0].set()
    person.wait(lambda: len(ended) == 1)
    may_go_on[1].set()
    person.dock = dock
    person.wait_for_record()
    assert "another window" not in person.message
    assert person.labels.data[0, 20, 20] == 2
    close_dock(dock, person.wait)


@pytest.mark.parametrize("is_floating", [False, True], ids=["docked", "floating"])
@pytest.mark.parametrize("show", [True, False], ids=["shown", "never shown"])
def test_the_x_of_the_dock_lets_a_training_run_finish(open_person, polyps, show, is_floating):
    person = open_person(polyps.frames, rgb=True, show=show)
    holder_of(person).setFloating(is_floating)
    person.predict()
    person.correct(0, polyps.masks[0])
    person.retrain()
    press_x(person)
    person.wait(lambda: not person.controller.retraining.is_running)
    assert [v.number for v in person.controller.session.store.versions()] == [1]


@pytest.fixture
def in_training(open_person, polyps):
    """A person whose run has begun and goes on for long."""
    person = open_person(polyps.frames, rgb=True, show=True)
    person.predict()
    person.correct(0, polyps.masks[0])
    person.retrain(gear="quick", minutes=30)
    person.wait(lambda: len(person.dock.retrain_panel.curve.losses) >= 1)
    return person


def close_and_open_the_dock(person):
    """Press the dock's x, open another one, and return it."""
    press_x(person)
    dock = SamAdapterDock(person.viewer, Session(person.controller.session.project, device="cpu"))
    person.viewer.window.add_dock_widget(dock)
    person.dock = dock
    return dock


def test_a_dock_that_is_opened_again_goes_on_with_the_training_of_the_one_before(in_training, wait):
    person, dock = in_training, close_and_open_the_dock(in_training)
    assert dock.controller.retraining.is_running
    assert "The retraining goes on where it stood" in person.message
    wait(lambda: len(dock.retrain_panel.curve.losses) >= 1)
    dock.retrain_panel.button.click()
    wait(lambda: not dock.controller.retraining.is_running)
    assert [v.number for v in dock.controller.session.store.versions()] == [1]
    close_dock(dock, wait)


def test_a_run_that_was_stopped_is_not_begun_again_by_opening_the_dock(in_training, wait):
    in_training.controller.retraining.stop()
    dock = close_and_open_the_dock(in_training)
    assert not dock.controller.retraining.is_running
    close_dock(dock, wait)


def test_closing_napari_while_training_runs_asks(open_person, polyps, monkeypatch):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.predict()
    person.correct(0, polyps.masks[0])
    person.retrain(gear="quick", minutes=10)
    asked = close_and_refuse(person, monkeypatch)
    assert "being retrained" in asked[0]
    assert person.viewer.window._qt_window.isVisible()
    assert person.controller.retraining.is_running
    person.wait(lambda: len(person.dock.retrain_panel.curve.losses) >= 1)
    person.stop_training()
