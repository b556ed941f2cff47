"""Keys and other preferences, trouble, and the log."""

import gc
import sys

import numpy as np
import pytest
from napari.settings import get_plugin_settings
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_sam_adapter.project.journal import JournalWriter
from napari_sam_adapter.sam.feature_files import FOLDER_VARIABLE
from napari_sam_adapter.session.model_in_use import ModelInUse
from napari_sam_adapter.widgets import commands
from napari_sam_adapter.widgets.commands import delete_encoded
from napari_sam_adapter.widgets.dock import SamAdapterDock
from napari_sam_adapter.widgets.layers.walk import SliceWalk
from napari_sam_adapter.widgets.panels.log_dialog import LogDialog
from napari_sam_adapter.widgets.trouble import TroubleDialog

NAME = "napari-sam-adapter"


@pytest.fixture
def preferences(plugin_settings):
    """Preferences of a test of its own, as napari offers them for the installed plugin."""
    manager = PluginManager.instance()
    if NAME not in manager:
        manager.register(PluginManifest.from_distribution(NAME))
    return get_plugin_settings(NAME)


def press(person, key, modifier=Qt.KeyboardModifier.ShiftModifier):
    canvas = person.viewer.window._qt_viewer.canvas.native
    person.qtbot.keyClick(canvas, key, modifier)


def open_dialogs(kind):
    return [one for one in QApplication.topLevelWidgets() if isinstance(one, kind)]


def test_keys_are_listed_and_those_of_preferences_take_effect_at_once(
    preferences, open_person, polyps
):
    person = open_person(polyps.frames, rgb=True, show=True)
    assert "Shift+P predict · Shift+A accept" in person.dock.keys_line.text()
    preferences.keys.accept_slice = "F6"
    assert "F6 accept" in person.dock.keys_line.text()
    assert person.dock.correct_panel.accept_button.toolTip().endswith("(F6)")
    person.predict()
    press(person, "A")
    assert person.tracker.state((0,)).value == "predicted"
    press(person, Qt.Key.Key_F6, Qt.KeyboardModifier.NoModifier)
    assert person.tracker.state((0,)).value == "accepted"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("Foo", "'Foo' is no key"),
        ("no key", "'no key' is no key"),
        ("Shift-P", "has another meaning already"),
        ("Shift P", "has another meaning already"),
    ],
)
def test_a_key_that_cannot_be_is_refused_and_the_usual_one_stays(
    preferences, open_person, polyps, wanted, said
):
    preferences.keys.accept_slice = wanted
    person = open_person(polyps.frames, rgb=True)
    assert said in person.message
    assert "Shift+P predict · Shift+A accept" in person.dock.keys_line.text()


@pytest.mark.parametrize(
    ("wanted", "line", "said"),
    [
        # What the person means by it is known once both are set: the keys are exchanged then.
        (
            {"predict_slice": "Shift-A"},
            "Shift+P predict · Shift+A accept",
            ["Shift-A has another meaning already: predict is on Shift-P"],
        ),
        (
            {"predict_slice": "Shift-A", "accept_slice": "Shift-P"},
            "Shift+A predict · Shift+P accept",
            [],
        ),
        (
            {"predict_slice": "Shift-A", "next_slice": "Shift-P"},
            "Shift+P predict · Shift+A accept · Shift+N next",
            ["predict is on Shift-P", "next is on Shift-N"],
        ),
        (
            {"accept_slice": "F6", "next_slice": "F6"},
            "Shift+P predict · F6 accept · Shift+N next",
            ["F6 has another meaning already: next is on Shift-N"],
        ),
    ],
)
def test_no_two_commands_share_a_key(preferences, open_person, polyps, wanted, line, said):
    for name, key in wanted.items():
        setattr(preferences.keys, name, key)
    person = open_person(polyps.frames, rgb=True)
    assert line in person.dock.keys_line.text()
    for sentence in said:
        assert sentence in person.message
    assert ("Preferences" in person.message) == bool(said)
    keys = list(person.dock.keys.keys.values())
    assert len(set(keys)) == len(keys)


def test_a_new_window_begins_as_preferred(preferences, make_napari_viewer):
    preferences.training.gear, preferences.training.minutes = "quick", 4.0
    preferences.training.learn_from_other_images = False
    preferences.computing.device = "cpu"
    dock = SamAdapterDock(make_napari_viewer())
    settings = dock.retrain_panel.settings()
    assert (settings.config.gear, settings.config.max_seconds) == ("quick", 240.0)
    assert not settings.learns_from_others
    assert dock.controller.session.in_use.device == "cpu"
    dock.shutdown()


def test_a_preferred_device_that_is_not_there_is_told_when_the_dock_opens(
    preferences, make_napari_viewer, wait
):
    absent = "mps" if sys.platform != "darwin" else "cuda"
    preferences.computing.device = absent
    dock = SamAdapterDock(make_napari_viewer())
    wait(lambda: any(words in dock.message.text() for words in ("Ready on", "not available")))
    assert f"The device {absent!r}" in dock.message.text()
    assert "Preferences" in dock.message.text()
    dock.shutdown()


def test_encoded_slices_may_take_so_much_of_the_disk_as_is_preferred(
    preferences, make_napari_viewer, tmp_path, monkeypatch
):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "features"))
    folder = tmp_path / "features"
    folder.mkdir()

    def leave_one() -> None:
        (folder / f"{'ab' * 20}.safetensors").write_bytes(b"of an earlier day")

    leave_one()
    dock = SamAdapterDock(make_napari_viewer())
    session = dock.controller.session
    processes = (session.predictor, session.trainer)
    assert [one.disk_bytes for one in processes] == [2 * 1024**3] * 2
    preferences.computing.disk_gigabytes = 0.5
    assert [one.disk_bytes for one in processes] == [1024**3 // 2] * 2
    assert len(list(folder.iterdir())) == 1
    preferences.computing.disk_gigabytes = 0
    assert [one.disk_bytes for one in processes] == [0, 0]
    assert list(folder.iterdir()) == []
    preferences.computing.disk_gigabytes = 1
    leave_one()
    delete_encoded()
    assert list(folder.iterdir()) == []
    dock.shutdown()
    preferences.computing.disk_gigabytes = 3
    assert session.predictor.disk_bytes == 1024**3, "it follows no longer"


@pytest.mark.troubled
def test_an_error_of_the_program_is_a_sentence_with_details_to_copy(
    open_person, polyps, monkeypatch
):
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    person.wait_for_record()
    with monkeypatch.context() as patched:  # what is encoded ahead goes on
        patched.setattr(ModelInUse, "reference", property(lambda self: 1 / 0))
        person.dock.predict_panel.slice_button.click()
    (dialog,) = open_dialogs(TroubleDialog)
    assert dialog.text() == "An unexpected error happened: ZeroDivisionError: division by zero"
    assert "are kept" in dialog.informativeText()
    assert "Traceback" not in dialog.text() + dialog.informativeText()
    dialog.copy_button.click()
    assert dialog.isVisible()
    assert "Traceback" in QApplication.clipboard().text()
    dialog.close()


def kept_when_a_click_fails(person, monkeypatch):
    """What the dialog says is kept, when predicting fails in the program itself."""
    with monkeypatch.context() as patched:
        patched.setattr(ModelInUse, "reference", property(lambda self: 1 / 0))
        person.dock.predict_panel.slice_button.click()
    (dialog,) = open_dialogs(TroubleDialog)
    text = dialog.informativeText()
    dialog.deleteLater()
    person.qtbot.waitUntil(lambda: not open_dialogs(TroubleDialog))
    return text


@pytest.mark.troubled
def test_the_dialog_does_not_promise_what_a_full_disk_has_not_taken(
    open_person, polyps, monkeypatch
):
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    person.wait_for_record()
    assert "in the project folder" in kept_when_a_click_fails(person, monkeypatch)
    with monkeypatch.context() as full:

        def fail(*_):
            raise OSError(28, "No space left on device")

        full.setattr(JournalWriter, "_write", fail)
        person.paint(0)
        person.wait(lambda: "No space left" in person.message)
        person.dock.predict_panel.slice_button.click()  # it is corrected: the next one predicts
        kept = kept_when_a_click_fails(person, monkeypatch)
        assert "kept in memory" in kept
        assert "do not close the window" in kept
        assert "in the project folder" not in kept
    person.wait(lambda: "takes changes again" in person.message)
    assert "in the project folder" in kept_when_a_click_fails(person, monkeypatch)


@pytest.mark.troubled
def test_the_dialog_says_that_masks_open_in_another_window_are_not_recorded_here(
    open_person, polyps, monkeypatch
):
    first = open_person(polyps.frames, rgb=True)
    first.predict()
    first.wait_for_record()
    second = open_person(polyps.frames, rgb=True)
    second.wait_for_record()
    second.predict()
    second.wait_for_record()
    kept = kept_when_a_click_fails(second, monkeypatch)
    assert "is not recorded" in kept
    assert "open in another window" in kept
    assert "in the project folder" not in kept


@pytest.mark.troubled
def test_an_error_in_a_command_of_the_palette_is_one_too(open_person, polyps, monkeypatch):
    person = open_person(polyps.frames, rgb=True)
    monkeypatch.setattr(commands, "open_dock", lambda viewer: person.dock)
    with monkeypatch.context() as patched:
        patched.setattr(ModelInUse, "reference", property(lambda self: 1 / 0))
        commands.predict_slice(person.viewer)
    (dialog,) = open_dialogs(TroubleDialog)
    assert dialog.text() == "An unexpected error happened: ZeroDivisionError: division by zero"
    assert "Traceback" in dialog.details
    dialog.close()


@pytest.mark.troubled
def test_a_dock_that_cannot_be_opened_by_a_command_is_said_in_the_dialog(
    make_napari_viewer, monkeypatch
):
    monkeypatch.setattr(commands, "open_dock", lambda viewer: 1 / 0)
    commands.retrain(make_napari_viewer())
    gc.collect()  # nobody but the screen holds it
    (dialog,) = open_dialogs(TroubleDialog)
    assert "ZeroDivisionError" in dialog.text()
    dialog.close()


def damaged(path):
    """Write a packed volume whose middle was lost on the way."""
    volume = np.random.default_rng(0).integers(0, 500, (64, 64, 16), dtype=np.int16)
    pytest.importorskip("nibabel").Nifti1Image(volume, np.eye(4)).to_filename(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(1000) + content[-500:])


@pytest.mark.troubled
@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("a.nii", lambda path: path.write_text("no image"), "could not be read as a NIfTI file"),
        ("b.nii.gz", damaged, "could not be read"),
    ],
    ids=["no image", "damaged"],
)
def test_a_bad_file_is_called_that_and_is_no_matter_for_developers(
    preferences, make_napari_viewer, tmp_path, name, spoil, words
):
    spoil(tmp_path / name)
    viewer = make_napari_viewer(show=True)
    viewer.open(tmp_path / name, plugin=NAME)
    (dialog,) = open_dialogs(TroubleDialog)
    assert words in dialog.text()
    assert name in dialog.text()
    assert "developers" not in dialog.informativeText()
    assert "left as it is" in dialog.informativeText()
    assert not dialog.copy_button.isVisible()
    assert len(viewer.layers) == 0
    dialog.close()


@pytest.mark.troubled
def test_what_fails_by_itself_again_and_again_is_said_once(open_person, polyps, monkeypatch):
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    looks = []
    with monkeypatch.context() as patched:
        patched.setattr(SliceWalk, "_portion", lambda *_: looks.append(1) or 1 / 0)
        person.wait(lambda: len(looks) > 2)
        (dialog,) = open_dialogs(TroubleDialog)
        assert "ZeroDivisionError" in dialog.text()
        assert "in the project folder" in dialog.informativeText()
    dialog.close()


@pytest.mark.troubled
def test_an_error_in_the_background_is_one_too(open_person, polyps, monkeypatch):
    person = open_person(polyps.frames, rgb=True)

    def broken(*_):
        raise KeyError("no such thing")

    monkeypatch.setattr(type(person.controller.session.predictor), "predict", broken)
    person.predict()
    (dialog,) = open_dialogs(TroubleDialog)
    assert "KeyError" in person.message
    assert "Traceback" in dialog.details
    dialog.close()


def test_the_log_of_a_training_run_can_be_read_and_is_kept_in_the_project(open_person, polyps):
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    person.correct(0, polyps.masks[0].astype(np.uint8))
    panel = person.dock.retrain_panel
    assert panel.log_button.isHidden()
    person.retrain()
    person.wait_for_training()
    panel.log_button.click()
    (dialog,) = open_dialogs(LogDialog)
    text = dialog.text.toPlainText()
    assert "started on cpu" in text
    assert "completed after" in text
    (path,) = person.controller.session.project.folder.glob("logs/training-*.log")
    assert path.read_text(encoding="utf-8").splitlines() == text.splitlines()
    dialog.close()


def test_the_log_of_a_run_can_be_read_after_its_window_has_died(open_person, polyps, folder):
    logs = folder / "logs"
    logs.mkdir(parents=True)
    for day, text in (("23", "an older run"), ("24", "10:15:00 started on cpu")):
        (logs / f"training-2026-11-{day}-101500.log").write_text(f"{text}\n", encoding="utf-8")
    person = open_person(polyps.frames, rgb=True)
    button = person.dock.retrain_panel.log_button
    assert not button.isHidden()
    button.click()
    (dialog,) = open_dialogs(LogDialog)
    assert dialog.text.toPlainText() == "10:15:00 started on cpu\n"
    dialog.close()
    # Another project has logs of its own.
    person.dock.project_panel.folder_requested.emit(folder.with_name("another"))
    assert button.isHidden()
    person.dock.project_panel.folder_requested.emit(folder)
    assert not button.isHidden()


def test_the_dock_needs_no_more_than_300_pixels_and_its_sections_fold(open_person, polyps):
    # Shown, so that napari's style with its wider texts holds.
    person = open_person(polyps.frames, rgb=True, show=True)
    dock = person.dock
    person.predict()
    scroll = dock.findChild(QScrollArea)
    needed = (
        scroll.widget().minimumSizeHint().width() + scroll.verticalScrollBar().sizeHint().width()
    )
    assert needed <= 300
    section = next(one for one in dock.sections if one.heading.text() == "Model")
    section.heading.click()
    assert section.body.isHidden()
    section.heading.click()
    assert not section.body.isHidden()
