"""What goes wrong in a callback of napari or Qt is said in the dialog, never by a traceback."""

import sys

import pytest
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam_adapter.widgets.dock import SamAdapterDock
from napari_sam_adapter.widgets.features_on_disk import FeaturesOnDisk
from napari_sam_adapter.widgets.judge.comparing import Comparing
from napari_sam_adapter.widgets.keys import Keys
from napari_sam_adapter.widgets.layers.edits import Strokes
from napari_sam_adapter.widgets.record.kept_layers import KeptLayers
from napari_sam_adapter.widgets.retrain import class_choice
from napari_sam_adapter.widgets.trouble import TroubleDialog
from napari_sam_adapter.widgets.uncaught import UncaughtHook

pytestmark = pytest.mark.troubled


@pytest.fixture
def others(monkeypatch):
    """What reaches the hook that was there before the dock was opened."""
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: seen.append(error))
    return seen


def dialogs():
    found = QApplication.topLevelWidgets()
    return [one for one in found if isinstance(one, TroubleDialog) and one.isVisible()]


def test_an_error_while_a_stroke_is_drawn_says_what_was_kept_and_is_said_once(
    others, open_person, polyps, monkeypatch
):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.predict()
    person.wait_for_record()
    person.viewer.layers.selection.active = person.labels
    person.labels.mode = "paint"
    canvas = person.viewer.window._qt_viewer.canvas.native
    with monkeypatch.context() as patched:
        patched.setattr(Strokes, "step_made", lambda *_: 1 / 0)
        middle = QPoint(canvas.width() // 2, canvas.height() // 2)
        for _ in range(2):
            QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier(0), middle)
    (dialog,) = dialogs()
    assert "ZeroDivisionError" in dialog.text()
    assert "Traceback" in dialog.details
    assert "in the project folder" in dialog.informativeText()
    assert not others
    dialog.close()


def test_an_error_of_who_listens_to_a_change_of_classes_is_said_and_not_that_of_the_signal(
    person, monkeypatch
):
    person.predict()
    with monkeypatch.context() as patched:
        patched.setattr(class_choice, "show_classes", lambda *_: 1 / 0)
        person.dock.classes_panel.add_button.click()
    (dialog,) = dialogs()
    assert dialog.text().endswith("ZeroDivisionError: division by zero")
    assert "show_classes" in dialog.details
    dialog.close()


def test_an_error_that_none_of_our_code_has_to_do_with_is_left_to_napari(
    others, open_person, polyps
):
    person = open_person(polyps.frames, rgb=True, show=True)
    QTimer.singleShot(0, lambda: 1 / 0)
    person.wait(lambda: len(others) == 1)
    assert not dialogs()


def test_napari_that_begins_to_run_only_after_the_dock_was_opened_takes_no_error_of_ours(
    others, open_person, polyps, monkeypatch
):
    person = open_person(polyps.frames, rgb=True)
    monkeypatch.setattr(sys, "excepthook", others.append)  # as napari.run does
    person.wait(lambda: isinstance(sys.excepthook, UncaughtHook))


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (KeptLayers, "_save"),
        (FeaturesOnDisk, "close"),
        (Keys, "close"),
        (Comparing, "close"),
        (SamAdapterDock, "rest"),
    ],
)
def test_what_fails_as_the_dock_closes_is_said_and_keeps_nothing_else_from_being_written(
    open_polyps, monkeypatch, owner, step
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.labels.paint((3, 20, 20), 2)  # in the same moment: nobody has looked at it yet
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, lambda self: 1 / 0)
        person.dock.shutdown()
    (dialog,) = dialogs()
    assert "ZeroDivisionError" in dialog.text()
    dialog.close()
    wanted = person.labels.data.copy()
    person.viewer.layers.clear()
    again = open_polyps()  # its record is not open any more
    assert (again.labels.data == wanted).all()
    assert again.labels.data[3, 20, 20] == 2
