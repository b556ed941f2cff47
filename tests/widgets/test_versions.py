"""Adapter versions in the dock."""

import shutil

import numpy as np
import pytest

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.training.job import AdapterSaved
from napari_sam_adapter.versions import AdapterStore


@pytest.fixture
def adapter_file(tmp_path):
    path = tmp_path / "from-a-colleague.safetensors"
    save_adapter(path, build_adapted_sam(ModelSettings.default("lite_medsam")), gear="full")
    return path


@pytest.fixture
def turned_adapter_file(tmp_path):
    """Return an adapter that was trained on turned and mirrored slices."""
    path = tmp_path / "turned.safetensors"
    training = {"config": {"augmentation": "views"}}
    model = build_adapted_sam(ModelSettings.default("lite_medsam"))
    save_adapter(path, model, gear="full", training=training)
    return path


def test_an_adapter_file_is_taken_in_used_and_found_again_tomorrow(
    open_person, polyps, adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    assert person.controller.session.active.number == 1
    person.predict()
    assert "Predicted by v1" in person.message
    adapter_file.unlink()
    tomorrow = open_person(polyps.frames, rgb=True)
    assert tomorrow.controller.session.active.number == 1
    assert tomorrow.dock.versions_panel.version_box.currentText().startswith("v1")


def test_the_base_model_can_be_chosen_again_and_stays_chosen(open_person, polyps, adapter_file):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    box = person.dock.versions_panel.version_box
    box.setCurrentIndex(box.count() - 1)
    box.activated.emit(box.count() - 1)
    assert person.controller.session.active is None
    assert "The base model predicts" in person.message
    tomorrow = open_person(polyps.frames, rgb=True)
    assert tomorrow.controller.session.active is None


def test_the_version_in_use_can_be_exported(open_person, polyps, adapter_file, tmp_path):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    target = tmp_path / "exported.safetensors"
    person.dock.versions_panel.export_requested.emit(target)
    assert target.read_bytes() == adapter_file.read_bytes()


def test_a_version_deleted_from_disk_is_reported(open_person, polyps, adapter_file):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.controller.session.active.path.unlink()
    person.predict()
    assert "no adapter file" in person.message


def test_an_adapter_of_another_base_model_is_refused_by_both_names(person, adapter_file):
    content = adapter_file.read_bytes().replace(b"lite_medsam", b"huge_medsam")
    adapter_file.write_bytes(content)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    assert "huge_medsam" in person.message
    assert "lite_medsam" in person.message
    assert person.controller.session.store.versions() == []


def test_another_folder_has_its_own_versions(open_person, polyps, adapter_file, tmp_path):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    assert person.controller.session.active is None
    assert person.dock.versions_panel.version_box.count() == 1


def test_a_run_that_outlasts_a_change_of_folder_stays_in_the_folder_it_was_started_in(
    open_person, polyps, adapter_file, tmp_path
):
    person = open_person(polyps.frames, rgb=True)
    session, first = person.controller.session, person.controller.session.store.folder
    made = session.store.working_path()
    made.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(adapter_file, made)
    second = tmp_path / "second"
    person.dock.project_panel.folder_requested.emit(second)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    in_use = session.active
    person.controller.retraining._on_event(AdapterSaved(made, read_card(made)))
    assert session.active == in_use
    assert [v.path.parent for v in AdapterStore(first).versions()] == [first]
    assert str(first) in person.message


def test_an_adapter_says_how_sure_it_is_and_the_base_model_does_not(
    open_person, polyps, turned_adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    assert "confidence" not in person.message
    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    person.predict()
    confidence = person.tracker.confidence_of((0,))
    assert 0 < confidence < 1
    assert f"confidence {confidence:.0%}" in person.message
    assert f"confidence {confidence:.0%}" in person.dock.correct_panel.in_view.text()
    person.undo()
    assert person.tracker.confidence_of((0,)) is None


def test_after_predicting_all_the_least_certain_slice_is_named(
    open_person, polyps, turned_adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    person.predict_all()
    found = [person.tracker.confidence_of((z,)) for z in range(8)]
    least = int(np.argmin(found))
    where = person.controller.binding.source.describe((least,))
    assert f"least sure of {where}, {found[least]:.0%}" in person.message


def test_mirror_images_are_offered_where_the_adapter_knows_them(
    open_person, polyps, adapter_file, turned_adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    box, session = person.dock.predict_panel.care_box, person.controller.session
    assert not box.isEnabled()
    person.dock.versions_panel.load_requested.emit(adapter_file)
    assert not box.isEnabled()
    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    assert box.isEnabled()
    assert box.isChecked()
    assert session.model().views == 2
    person.predict()
    both = person.labels.data[0].copy()
    box.click()
    assert session.model().views == 1
    person.predict()
    assert (person.labels.data[0] != both).any()
