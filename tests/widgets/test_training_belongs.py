"""A retraining belongs to the project it was started in, whatever becomes of either meanwhile."""

import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.engine import trainer
from napari_sam_adapter.engine.training_process import TrainingProcess
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.training.job import run_job
from napari_sam_adapter.widgets.retrain import adoption, run_start


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


def test_the_curve_of_a_run_is_no_part_of_another_project(corrected, folder):
    person, curve = corrected, corrected.dock.retrain_panel.curve
    person.begin_training()
    person.dock.project_panel.folder_requested.emit(folder.with_name("second"))
    assert not curve.isHidden(), "the run goes on, and can be stopped"
    person.stop_training()
    person.dock.project_panel.folder_requested.emit(folder.with_name("third"))
    assert curve.isHidden()
    person.wait_for_record()


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


class InThisProcess(TrainingProcess):
    """A run on whose disk a test can have a say."""

    pid, log, left = 0, "", None

    def __init__(self, job, **_):
        self._job = replace(job, checkpoint=replace(job.checkpoint, every=1))


@pytest.fixture
def corrected_on_a_full_disk(corrected, folder, full_disk, monkeypatch):
    """Somebody whose disk gets full while the run goes on."""

    def events(process):
        for event in run_job(process._job):
            full_disk.update(filling)
            yield event

    filling = full_disk.filling = {folder / "adapters"}

    monkeypatch.setattr(InThisProcess, "events", events)
    monkeypatch.setattr(trainer, "TrainingProcess", InThisProcess)
    return corrected


def rescued(message):
    return Path(re.search(r"It is kept as (\S+)\. ", message)[1])


def test_what_was_learned_while_the_disk_got_full_is_loaded_once_there_is_room(
    corrected_on_a_full_disk, folder, full_disk
):
    person = corrected_on_a_full_disk
    person.retrain()
    person.wait_for_training()
    assert "No space left on device" in person.message
    path = rescued(person.message)
    assert read_card(path).training["n_slices"] == 2
    assert person.controller.session.in_use.version is None
    assert person.dock.retrain_panel.button.text() == "Retrain"
    full_disk.clear()
    person.dock.versions_panel.load_requested.emit(path)
    assert person.controller.session.in_use.version.number == 1


def test_what_did_not_fit_becomes_a_version_if_there_is_room_when_the_run_has_ended(
    corrected_on_a_full_disk, folder, full_disk, monkeypatch
):
    person, take = corrected_on_a_full_disk, adoption.Adoption.take

    def take_with_room(*asked):
        full_disk.clear()
        return take(*asked)

    monkeypatch.setattr(adoption.Adoption, "take", take_with_room)
    person.retrain()
    person.wait_for_training()
    assert person.message.startswith("v1 is trained and in use; Predict all ")
    assert trainings(folder) == ["training", "trained"]
    assert not list(folder.with_name("home").glob("rescued/*"))


def test_where_nothing_can_be_saved_the_run_is_resumed_once_there_is_room(
    corrected_on_a_full_disk, folder, full_disk
):
    person = corrected_on_a_full_disk
    full_disk.filling.add(folder.with_name("home") / "rescued")
    person.retrain()
    person.wait_for_training()
    assert "No space left on device" in person.message
    assert "resume the run" in person.message
    full_disk.clear()
    full_disk.filling.clear()
    person.controller.retraining.resume()
    person.wait_for_training()
    assert person.controller.session.in_use.version.number == 1
