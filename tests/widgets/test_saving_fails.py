"""Masks that cannot be saved are told once, in the dialog of the dock, and stay in the viewer."""

import logging

import numpy as np
import pytest
from napari._qt import qt_viewer
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest
from qtpy.QtWidgets import QApplication

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.widgets import writers
from napari_sam_adapter.widgets.readers import GEOMETRY
from napari_sam_adapter.widgets.trouble import TroubleDialog

NAME = "napari-sam-adapter"
pytest.importorskip("nibabel")
pytestmark = pytest.mark.troubled


@pytest.fixture
def viewer(make_napari_viewer):
    manager = PluginManager.instance()
    if NAME not in manager:
        manager.register(PluginManifest.from_distribution(NAME))
    return make_napari_viewer(show=True)


@pytest.fixture
def save(viewer, monkeypatch, qtbot):
    """Return a function that saves the selected layer by napari's menu and returns the dialog."""

    def save_under(path):
        def chosen(dialog, *given, filter, **more):
            return str(path), next(one for one in filter.split(";;") if "NIfTI masks" in one)

        monkeypatch.setattr(qt_viewer.QFileDialog, "getSaveFileName", chosen)
        notification_manager.records.clear()
        viewer.window._qt_viewer._save_layers_dialog(selected=True)  # raises what napari would show
        (dialog,) = [one for one in QApplication.topLevelWidgets() if is_open(one)]
        qtbot.addWidget(dialog)
        return dialog

    return save_under


def is_open(widget):
    return isinstance(widget, TroubleDialog) and widget.isVisible()


def masks(viewer, *, label=1, geometry=None):
    metadata = {} if geometry is None else {GEOMETRY: geometry}
    return viewer.add_labels(np.full((4, 8, 9), label), name="masks", metadata=metadata)


def check_told_once(dialog, path, caplog):
    assert "Nothing was saved" in dialog.informativeText()
    assert not path.exists()
    assert not notification_manager.records
    assert "Traceback" not in caplog.text


def test_a_folder_that_cannot_be_written_to(viewer, save, tmp_path, caplog):
    (tmp_path / "folder").write_text("a file")
    masks(viewer)
    dialog = save(tmp_path / "folder" / "masks.nii.gz")
    assert "could not be written" in dialog.text()
    check_told_once(dialog, tmp_path / "folder" / "masks.nii.gz", caplog)
    assert viewer.layers["masks"].data.all()


def test_masks_of_another_shape_than_their_image(viewer, save, tmp_path, caplog):
    masks(viewer, geometry=Geometry.of_steps((5, 8, 9)))
    dialog = save(tmp_path / "masks.nii.gz")
    assert "Masks and image must be alike" in dialog.text()
    check_told_once(dialog, tmp_path / "masks.nii.gz", caplog)


def test_labels_that_the_format_cannot_hold(viewer, save, tmp_path, caplog):
    masks(viewer, label=2**40)
    dialog = save(tmp_path / "masks.nii.gz")
    assert "more than 32 bits" in dialog.text()
    check_told_once(dialog, tmp_path / "masks.nii.gz", caplog)


@pytest.mark.parametrize("is_link", [False, True], ids=["a file", "a link to nothing"])
def test_what_the_dialog_did_not_ask_about_is_not_replaced(viewer, save, tmp_path, caplog, is_link):
    """It has asked about the name without the suffix that the masks get."""
    other = tmp_path / "masks.nii.gz"
    if is_link:
        other.symlink_to("not fetched")
    else:
        other.write_bytes(b"of somebody else")
    masks(viewer)
    dialog = save(tmp_path / "masks")
    assert "masks.nii.gz exists already" in dialog.text()
    check_told_once(dialog, tmp_path / "masks", caplog)
    assert other.is_symlink() if is_link else other.read_bytes() == b"of somebody else"


def test_an_error_of_the_program_is_logged_and_its_details_can_be_copied(
    viewer, save, tmp_path, caplog, monkeypatch
):
    def fail(*given, **more):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(writers, "export_masks", fail)
    masks(viewer)
    with caplog.at_level(logging.ERROR):
        dialog = save(tmp_path / "masks.nii.gz")
    assert "Nothing was saved" in dialog.informativeText()
    dialog.copy_button.click()
    assert "ZeroDivisionError" in QApplication.clipboard().text()
    assert "Traceback" in caplog.text
    assert not notification_manager.records
    caplog.clear()  # its traceback would keep the viewer
