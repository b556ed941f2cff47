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
