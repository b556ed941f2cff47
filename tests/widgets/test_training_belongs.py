"""A retraining belongs to the project it was started in, whatever becomes of either meanwhile."""

import shutil
import threading

import numpy as np
import pytest

from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.widgets import run_start


@pytest.fixture
def corrected(open_polyps, polyps):
    """Somebody who has corrected two slices."""
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    return person


def events_of(project):
    journals = project.glob("images/*/journal.jsonl")
    return [event for path in journals for event in read_journal(path).events]


def trainings(project):
    """What the journals of a project tell of its runs."""
    return [event.do for event in events_of(project) if event.do in ("training", "trained")]


def test_a_run_stays_in_its_project_though_another_one_is_chosen_before_its_first_step(
    corrected, monkeypatch, folder, adapter_file
):
    person, session = corrected, corrected.controller.session
    other = Project(folder.with_name("other"))
    other.create()
    other.adapters.import_file(adapter_file)
    gather, may_go_on = run_start.with_other_images, threading.Event()

    def gather_slowly(*asked):
        may_go_on.wait()
        return gather(*asked)

    monkeypatch.setattr(run_start, "with_other_images", gather_slowly)
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


def test_what_was_learned_for_a_project_that_was_moved_becomes_a_version_where_it_is_chosen(
    corrected, folder
):
    person, moved = corrected, folder.with_name("moved")
    person.begin_training()
    folder.rename(moved)
    person.wait_for_training()
    assert not folder.exists()
    assert "was moved or deleted, so the retraining has ended." in person.message
    (kept,) = folder.with_name("home").glob("rescued/*.safetensors")
    assert str(kept) in person.message
    person.dock.project_panel.folder_requested.emit(moved)
    assert person.controller.session.in_use.version.path.parent == moved / "adapters"
    assert person.controller.session.in_use.version.number == 1
    assert "v1 holds the best state" in person.message
    assert person.dock.retrain_panel.unfinished.isHidden()
    assert not kept.exists()
    person.wait_for_record()
    person.dock.shutdown()
    assert not folder.exists()
    # The journal is being opened when the version is taken over: its card names the run.
    (version,) = Project(moved).adapters.versions()
    (started,) = [e for e in events_of(moved) if e.do == "training"]
    assert version.card.training["run"] == started.details["run"]


def test_a_run_whose_project_is_deleted_ends_and_nothing_of_the_project_comes_back(
    corrected, folder
):
    person = corrected
    person.begin_training()
    shutil.rmtree(folder)
    person.wait_for_training()
    assert "was moved or deleted, so the retraining has ended." in person.message
    assert not folder.exists()
    assert len(list(folder.with_name("home").glob("rescued/*.safetensors"))) == 1
