"""A training run is written down, goes on after an interruption, and learns from all images."""

from functools import partial

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.project import run_folder
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.provenance import provenance_of
from napari_sam_adapter.project.run_request import marked_image, with_other_images
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.widgets.retrain.run_start import plan_for, request_for


@pytest.fixture(autouse=True)
def _checkpoints_come_soon(monkeypatch):
    """After ten steps, not a hundred: an interrupted run waits for the first one."""
    monkeypatch.setattr(run_folder, "RunCheckpoint", partial(RunCheckpoint, every=10))


def test_a_retraining_is_written_down_with_its_slices_and_its_adapter(open_polyps, polyps, folder):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    person.retrain()
    person.wait_for_training()
    person.dock.shutdown()
    (journal,) = folder.glob("images/*/journal.jsonl")
    events = read_journal(journal).events
    (start,) = [event for event in events if event.do == "training"]
    (end,) = [event for event in events if event.do == "trained"]
    (part,) = start.details["parts"]
    assert (part["slices"], part["line"]) == ([[0], [1]], start.n)
    assert start.details["run"] == end.details["run"]
    version = Project(folder).adapters.get(1)
    assert end.details["adapter"] == version.card.adapter_id


def interrupted(open_polyps, polyps, **settings):
    """A window that dies while it trains, after the first checkpoint."""
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    person.retrain(**{"minutes": 5} | settings)
    project = person.controller.session.project.folder
    person.wait(lambda: any(project.glob("runs/*/state.checkpoint")))
    (run,) = (path.parent for path in project.glob("runs/*/run.json"))
    person.dock.shutdown()
    person.wait(lambda: not person.controller.retraining.is_running)
    person.viewer.layers.clear()
    return run


def resumed_and_stopped(person):
    """Resume the run that is offered, stop it, and wait for its version."""
    person.dock.retrain_panel.unfinished.resume_button.click()
    steps = []
    person.controller.retraining.reported.connect(
        lambda event: steps.append(getattr(event, "step", None))
    )
    person.wait(lambda: any(steps))
    person.dock.retrain_panel.button.click()  # it is Stop now
    person.wait_for_training()
    return person.controller.session.in_use.version


def deeds(record, *kinds):
    return [event for event in read_journal(record / "journal.jsonl").events if event.do in kinds]


def test_an_interrupted_retraining_can_be_resumed(open_polyps, polyps, folder):
    run = interrupted(open_polyps, polyps)
    again = open_polyps()
    row = again.dock.retrain_panel.unfinished
    assert "A retraining on 2 slices was interrupted." in row.text.text()
    steps = []
    again.controller.retraining.reported.connect(
        lambda event: steps.append(getattr(event, "step", None))
    )
    version = resumed_and_stopped(again)
    first = next(step for step in steps if step is not None)
    assert first > 1  # it went on from the checkpoint
    assert version is not None
    assert len(version.card.training["trained_on"]) == 2
    assert not run.exists()
    assert row.isHidden()


def test_after_a_resumed_run_the_gears_follow_that_were_to_follow(open_polyps, polyps, folder):
    interrupted(open_polyps, polyps, gear="auto", minutes=5)
    again = open_polyps()
    again.dock.retrain_panel.unfinished.resume_button.click()
    again.wait(lambda: len(again.controller.session.store.versions()) == 2)
    again.stop_training()
    (own,) = folder.glob("images/*")
    first, second, *_ = deeds(own, "training")
    assert [one.details["config"]["gear"] for one in (first, second)] == ["quick", "late"]
    assert second.details["follows"] == first.details["run"]


def test_that_no_gear_follows_a_resumed_run_whose_image_is_not_open_is_said(
    open_polyps, open_person, polyps
):
    interrupted(open_polyps, polyps, gear="auto", minutes=2)
    again = open_person()
    assert "was interrupted. Resume, under 3 · Retrain, goes on with it." in again.message
    store = again.controller.session.store
    n_before = len(store.versions())
    again.dock.retrain_panel.unfinished.resume_button.click()
    again.wait_for_training()
    assert len(store.versions()) == n_before + 1
    assert "was to follow, but the masks that it learns from are not" in again.message


def test_the_gears_follow_a_resumed_run_whose_image_is_opened_meanwhile(
    open_polyps, open_person, polyps
):
    interrupted(open_polyps, polyps, gear="auto", minutes=5)
    again = open_person()
    again.dock.retrain_panel.unfinished.resume_button.click()
    image = again.viewer.add_image(polyps.frames, name="image", rgb=True)
    again.dock.layers_panel.image_box.value = image
    again.wait(lambda: len(again.controller.session.store.versions()) == 2)
    again.stop_training()


@pytest.mark.parametrize("its_own_is_open_too", [False, True])
def test_a_resumed_run_is_written_down_with_its_own_image_whatever_is_open(
    open_polyps, open_person, polyps, folder, its_own_is_open_too
):
    interrupted(open_polyps, polyps)
    (own,) = folder.glob("images/*")
    other = open_person(polyps.frames[4:], rgb=True)
    if its_own_is_open_too:
        other.viewer.add_image(polyps.frames, name="frames", rgb=True)
        other.dock.layers_panel.image_box.value = other.viewer.layers["frames"]
        other.wait_for_record()
        other.dock.layers_panel.image_box.value = other.viewer.layers["image"]
    other.predict()
    other.wait_for_record()
    version = resumed_and_stopped(other)
    other.dock.shutdown()
    (start, end) = deeds(own, "training", "trained")
    assert end.details == {
        "run": start.details["run"],
        "adapter": version.card.adapter_id,
        "version": version.number,
    }
    (elsewhere,) = set(folder.glob("images/*")) - {own}
    assert deeds(elsewhere, "training", "trained") == []


def test_a_run_whose_image_another_window_has_open_ends_well_and_its_card_names_it(
    open_polyps, open_person, polyps, folder
):
    run = interrupted(open_polyps, polyps)
    (own,) = folder.glob("images/*")
    other = open_person(polyps.frames[4:], rgb=True)
    has_it_open = ImageRecord(own, ImageIdentity.read(own))
    version = resumed_and_stopped(other)
    has_it_open.close()
    assert version.card.training["run"] == run.name
    assert deeds(own, "trained") == []


def test_an_interrupted_retraining_can_be_forgotten(open_polyps, polyps, folder):
    run = interrupted(open_polyps, polyps)
    again = open_polyps()
    again.dock.retrain_panel.unfinished.discard_button.click()
    assert not run.exists()
    assert again.dock.retrain_panel.unfinished.isHidden()
    assert again.tracker.state((0,)) is SliceState.CORRECTED


def test_a_retraining_that_goes_on_is_not_offered_to_another_window(
    open_person, open_polyps, polyps
):
    one = open_polyps()
    one.predict()
    one.wait_for_record()
    one.correct(0, polyps.masks[0].astype(np.uint8))
    one.begin_training()
    two = open_person(polyps.frames[:3], rgb=True)
    assert two.dock.retrain_panel.unfinished.isHidden()
    one.stop_training()


def corrected_and_retrained(person, truth):
    """Correct the first slice and retrain; return what the dock said."""
    person.predict()
    person.wait_for_record()
    person.correct(0, truth.astype(np.uint8))
    said = []
    person.controller.said.connect(lambda sentence, problem: said.append(sentence))
    person.retrain()
    person.wait_for_training()
    return said


def test_what_was_corrected_in_other_images_of_the_project_is_learned_from_too(
    open_person, open_polyps, polyps, folder
):
    first = open_polyps()
    first.predict()
    first.wait_for_record()
    for z in range(3):
        first.correct(z, polyps.masks[z].astype(np.uint8))
    first.dock.shutdown()
    second = open_person(polyps.frames[4:], rgb=True)
    said = corrected_and_retrained(second, polyps.masks[4])
    assert "Retraining on 1 slice here and 3 of another image of the project." in " ".join(said)
    card = second.controller.session.in_use.version.card
    assert len(card.training["trained_on"]) == 4
    # An image of another kind is of another task.
    grey = open_person(polyps.frames[..., 0])
    corrected_and_retrained(grey, polyps.masks[0])
    assert grey.controller.session.in_use.version.card.training["n_slices"] == 1
    # Not if it is not wanted.
    second.dock.retrain_panel.advanced.others_box.setChecked(False)
    second.retrain()
    second.wait_for_training()
    assert second.controller.session.in_use.version.card.training["n_slices"] == 1


def test_an_image_that_is_gone_is_named_and_the_rest_is_learned_from(
    open_person, open_polyps, polyps, folder, tmp_path
):
    first = open_polyps()
    first.predict()
    first.wait_for_record()
    first.correct(0, polyps.masks[0].astype(np.uint8))
    first.dock.shutdown()
    (copy,) = first.controller.session.project.folder.glob("images/*/image.tif")
    copy.unlink()
    second = open_person(polyps.frames[4:], rgb=True)
    said = corrected_and_retrained(second, polyps.masks[4])
    assert any("image is left out: " in sentence for sentence in said)
    assert second.controller.session.in_use.version.card.training["n_slices"] == 1


def open_series(open_person, path):
    person = open_person()
    person.controller.opening.open_file(path)
    person.wait(lambda: len(person.viewer.layers) == 1)
    person.predict()
    person.wait_for_record()
    person.paint(0)
    return person


def test_two_series_of_one_patient_are_one_group_and_nothing_written_says_who_it_is(
    open_person, write_dicom, folder
):
    slices = np.random.default_rng(0).integers(0, 500, (4, 64, 64), dtype=np.uint16)
    positions = [(0, 0, 3.0 * z) for z in range(4)]
    options = {"PatientID": "MRN-4711", "PatientName": "Doe^Jane"}
    one = write_dicom(slices[:2], positions[:2], folder="one", **options)
    two = write_dicom(slices[2:], positions[2:], folder="two", uid="1.2.4", **options)
    open_series(open_person, one).dock.shutdown()
    person = open_series(open_person, two)
    controller = person.controller
    settings = person.dock.retrain_panel.settings()
    parts = (person.controller.binding, controller.recording, controller.session)
    request = request_for(*parts, settings)
    plan, request, missed = with_other_images(
        controller.session.project, plan_for(*parts, request, "", settings), request
    )
    assert (len(plan.parts), missed) == (2, [])
    assert len({sample.group for sample in request.samples()}) == 1
    again = [marked_image(controller.session.project, part) for part in plan.parts]
    assert {image.patient for image in again} == {request.images[0].patient}
    person.dock.shutdown()
    for path in folder.rglob("*"):
        assert not path.is_file() or b"4711" not in path.read_bytes()


def rounds_of(person):
    """Strokes of each round, as the dock shows them."""
    return [one.effort.strokes for one in person.dock.effort_plot.rounds]


def rounds_in(project):
    """Strokes of each round of each image, as ``project show`` tells them."""
    images = provenance_of(Project(project))["images"]
    return [[one["strokes"] for one in image["rounds"]] for image in images]


def test_one_click_is_one_round_though_auto_makes_a_run_of_each_gear(open_polyps, polyps, folder):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.correct(0, polyps.masks[0].astype(np.uint8))
    runs = []

    def paint_meanwhile(running):
        if running:
            person.paint(2 + len(runs))
            runs.append(person)

    person.controller.retraining.changed.connect(paint_meanwhile)
    person.retrain(gear="auto")
    person.wait(lambda: len(runs) == 3)
    person.wait_for_training()
    (journal,) = folder.glob("images/*")
    started = [event.details for event in deeds(journal, "training")]
    assert [one.get("follows") for one in started] == [None, started[0]["run"], started[1]["run"]]
    person.go_to(0)
    assert rounds_of(person) == [1, 3]
    person.dock.shutdown()
    assert rounds_in(folder) == [[1, 3]]


def test_a_round_ends_in_every_image_that_is_learned_from_though_its_record_is_closed(
    open_person, open_polyps, polyps, folder
):
    first = open_polyps()
    first.predict()
    first.wait_for_record()
    first.correct(0, polyps.masks[0].astype(np.uint8))
    first.dock.shutdown()
    first.viewer.layers.clear()
    second = open_person(polyps.frames[4:], rgb=True)
    corrected_and_retrained(second, polyps.masks[4])
    second.dock.shutdown()
    again = open_polyps()
    again.paint(1)
    again.go_to(0)
    assert rounds_of(again) == [1, 1]
    again.dock.shutdown()
    assert sorted(rounds_in(folder)) == [[1], [1, 1]]


def test_a_round_ends_at_once_in_an_image_that_is_open_beside_the_one_retrained_on(
    open_polyps, polyps, folder
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.correct(0, polyps.masks[0].astype(np.uint8))
    own = person.viewer.layers["image"]
    person.viewer.add_image(polyps.frames[4:], name="other", rgb=True)
    person.dock.layers_panel.image_box.value = person.viewer.layers["other"]
    person.wait_for_record()
    corrected_and_retrained(person, polyps.masks[4])
    person.dock.layers_panel.image_box.value = own
    person.paint(1)
    person.go_to(0)
    assert rounds_of(person) == [1, 1]
    person.dock.shutdown()
    assert sorted(rounds_in(folder)) == [[1], [1, 1]]


def test_a_run_that_was_given_up_without_a_version_begins_no_round(open_polyps, polyps, folder):
    interrupted(open_polyps, polyps)
    again = open_polyps()
    again.dock.retrain_panel.unfinished.discard_button.click()
    again.paint(2)
    again.go_to(0)
    assert rounds_of(again) == [3]
    again.dock.shutdown()
    assert rounds_in(folder) == [[3]]
