"""A retraining belongs to the project it was started in, whatever becomes of either meanwhile."""

import threading

import numpy as np
import pytest

from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.widgets import retraining


@pytest.fixture
def corrected(open_polyps, polyps):
    """Somebody who has corrected two slices."""
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    return person


def trainings(project):
    """What the journals of a project tell of its runs."""
    journals = project.glob("images/*/journal.jsonl")
    events = [event for path in journals for event in read_journal(path).events]
    return [event.do for event in events if event.do in ("training", "trained")]


def test_a_run_stays_in_its_project_though_another_one_is_chosen_before_its_first_step(
    corrected, monkeypatch, folder, adapter_file
):
    person, session = corrected, corrected.controller.session
    other = Project(folder.with_name("other"))
    other.create()
    other.adapters.import_file(adapter_file)
    gather, may_go_on = retraining.with_other_images, threading.Event()

    def gather_slowly(*asked):
        may_go_on.wait()
        return gather(*asked)

    monkeypatch.setattr(retraining, "with_other_images", gather_slowly)
    person.retrain()
    person.dock.project_panel.folder_requested.emit(other.folder)
    person.wait_for_record()
    may_go_on.set()
    person.wait_for_training()
    (made,) = Project(folder).adapters.versions()
    assert made.card.parent_id == ""
    assert trainings(folder) == ["training", "trained"]
    assert trainings(other.folder) == []
    assert session.in_use.version == other.adapters.get(1)
    assert "v1" in person.message
    assert str(folder) in person.message


def test_a_run_goes_on_while_another_project_is_open_and_its_version_is_there_afterwards(
    corrected, folder
):
    person = corrected
    person.begin_training()
    person.dock.project_panel.folder_requested.emit(folder.with_name("other"))
    n_steps = len(person.dock.retrain_panel.curve.losses)
    person.wait(lambda: len(person.dock.retrain_panel.curve.losses) > n_steps)
    person.stop_training()
    assert person.controller.session.in_use.version is None
    assert str(folder) in person.message
    person.dock.project_panel.folder_requested.emit(folder)
    assert person.controller.session.in_use.version.number == 1
    assert trainings(folder) == ["training", "trained"]
