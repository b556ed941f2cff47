"""A project that cannot be written to is open for looking."""

import errno
import os

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.project import project
from napari_sam_adapter.storage import is_read_only


@pytest.fixture
def worked_on(open_polyps, polyps, folder):
    """Return the masks of a project that was worked in; its window is closed."""
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.correct(1, polyps.masks[1].astype(np.uint8))
    masks = person.labels.data.copy()
    person.dock.shutdown()
    person.viewer.layers.clear()
    return masks


@pytest.fixture
def read_only(monkeypatch, folder):
    """Refuse to write to the project; tests may run as somebody who may do anything."""
    monkeypatch.setattr(project, "is_read_only", lambda asked: asked == folder)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_read_only_project_is_told_from_a_writable_one_and_from_a_full_disk(
    tmp_path, monkeypatch
):
    assert not is_read_only(tmp_path)
    for number, answer in ((errno.EROFS, True), (errno.EACCES, True), (errno.ENOSPC, False)):

        def refuse(*args, number=number, **kwargs):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("pathlib.Path.touch", refuse)
        assert is_read_only(tmp_path) is answer


def test_masks_of_a_read_only_project_come_back_to_be_looked_at_and_nothing_is_written(
    worked_on, read_only, open_person, polyps, folder, tmp_path
):
    before = files_of(folder)
    person = open_person(polyps.frames, rgb=True, project=tmp_path / "own")
    person.wait_for_record()
    person.dock.project_panel.folder_requested.emit(folder)
    person.wait_for_record()
    assert person.controller.session.project.folder == folder
    np.testing.assert_array_equal(person.labels.data, worked_on)
    assert person.tracker.state((1,)) is SliceState.CORRECTED
    assert "cannot be written to" in person.message
    assert "choose another project folder" in person.message
    assert "tried again" not in person.dock.project_panel.not_recorded.text()
    assert not person.controller.recording.is_at_risk
    person.paint(0, 40, 40, 3)
    assert person.controller.recording.is_at_risk
    person.dock.shutdown()
    assert files_of(folder) == before


def test_what_is_painted_while_looking_is_recorded_in_the_project_that_is_chosen_then(
    worked_on, read_only, open_polyps, folder, tmp_path
):
    person = open_polyps()
    person.paint(0, 40, 40, 3)
    person.dock.project_panel.folder_requested.emit(tmp_path / "other")
    person.wait_for_record()
    wanted = person.labels.data.copy()
    assert wanted[0, 40, 40] == 3
    assert person.controller.recording.problem == ""
    person.dock.shutdown()
    person.viewer.layers.clear()
    again = open_polyps(project=tmp_path / "other")
    np.testing.assert_array_equal(again.labels.data, wanted)
