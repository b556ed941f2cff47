"""The plugin as napari sees it: manifest, menus, palette, samples."""

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

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


def close_dock(dock, qtbot):
    qtbot.waitUntil(lambda: "Starting" not in dock.message.text(), timeout=60_000)
    dock.shutdown()


def test_the_dock_opens_from_the_plugins_menu_command(viewer, qtbot):
    dock = commands.open_dock(viewer)
    assert isinstance(dock, SamAdapterDock)
    assert commands.open_dock(viewer) is dock
    close_dock(dock, qtbot)


def test_the_dock_stands_in_the_layers_segment_menu(viewer):
    items = PluginManager.instance().iter_menu("napari/layers/segment")
    assert f"{NAME}.open" in [item.command for item in items]


def test_the_palette_offers_predicting_accepting_and_retraining():
    manifest = PluginManifest.from_distribution(NAME)
    titles = {command.id: command.title for command in manifest.contributions.commands}
    for command in ("predict_slice", "predict_all", "accept_slice", "retrain"):
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


def test_a_closed_dock_lets_go_of_the_viewer_and_opens_again_knowing_the_slices(
    open_person, polyps, qtbot
):
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    person.paint(0)
    labels = person.labels
    person.viewer.window.remove_dock_widget(person.dock)
    person.dock.deleteLater()
    qtbot.wait(100)
    assert not person.dock.is_open
    # None of this may reach the dead dock.
    person.viewer.layers["image"].name = "renamed"
    person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="another")
    person.viewer.layers.remove("another")
    person.viewer.dims.set_current_step(0, 3)
    dock = SamAdapterDock(person.viewer, person.controller.session)
    person.viewer.window.add_dock_widget(dock)
    person.dock = dock
    dock.layers_panel.labels_box.value = labels
    assert person.tracker.ready() == [(0,)]
    assert person.tracker.adapter_of((0,)) == ""
    dock.shutdown()
