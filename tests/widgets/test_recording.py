"""What happens to masks is in the project within a second, and comes back."""

import json
import time

import numpy as np
import pytest
from PIL import Image

from napari_sam_adapter.annotations import SliceState
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.pixels import pixels_of
from napari_sam_adapter.project.project import Project


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "project"


def journals(folder):
    return sorted(folder.glob("images/*/journal.jsonl"))


def events_in(folder):
    """What is on the disk now; the first line may not be there yet."""
    return [event for path in journals(folder) for event in read_journal(path).events]


def close(person):
    person.dock.shutdown()
    person.viewer.layers.clear()


def opened(open_person, polyps, **options):
    person = open_person(polyps.frames, rgb=True, **options)
    person.wait_for_record()
    return person


def test_a_stroke_is_in_the_journal_within_a_second(open_person, polyps, folder):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    begun = time.monotonic()
    person.labels.paint((0, 40, 40), 3)
    person.wait(lambda: [event.do for event in events_in(folder)][-1:] == ["painted"])
    assert time.monotonic() - begun < 1
    assert events_in(folder)[-1].slice == (0,)


def test_closing_and_opening_again_brings_back_masks_states_and_who_predicted(
    open_person, polyps, folder
):
    person = opened(open_person, polyps)
    person.predict_all()
    person.paint(2)
    person.go_to(3)
    person.dock.correct_panel.accept_button.click()
    person.go_to(4)
    person.undo()
    wanted = person.labels.data.copy()
    states = [person.tracker.state((z,)) for z in range(8)]
    humans = [person.tracker.human_pixels((z,), wanted[z]) for z in range(8)]
    close(person)

    again = opened(open_person, polyps)
    assert np.array_equal(again.labels.data, wanted)
    assert [again.tracker.state((z,)) for z in range(8)] == states
    assert states[3] is SliceState.ACCEPTED
    for z in range(8):
        assert np.array_equal(again.tracker.human_pixels((z,), wanted[z]), humans[z])
    assert again.tracker.adapter_of((2,)) == ""
    assert "Restored 1 stroke on 8 slices." in again.message


def test_an_image_nothing_was_done_to_leaves_no_trace(open_person, polyps, folder):
    close(opened(open_person, polyps))
    assert not folder.exists()
    assert opened(open_person, polyps).controller.binding is None


def test_the_last_stroke_before_closing_is_kept(open_person, polyps):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    person.labels.paint((0, 40, 40), 3)
    person.dock.shutdown()
    person.viewer.layers.clear()
    assert opened(open_person, polyps).labels.data[0, 40, 40] == 3


def test_a_second_window_is_told_who_has_the_masks_and_harms_nothing(open_person, polyps, folder):
    one = opened(open_person, polyps)
    one.predict()
    one.wait_for_record()
    two = opened(open_person, polyps)
    assert "open in another window (process" in two.message
    two.predict()
    two.paint(0, 60, 60)
    one.paint(0, 30, 30)
    wanted = one.labels.data.copy()
    for person in (one, two):
        close(person)
    assert np.array_equal(opened(open_person, polyps).labels.data, wanted)


def test_two_images_in_two_windows_do_not_mix(open_person, polyps, folder):
    one = opened(open_person, polyps)
    two = open_person(polyps.frames[:3, ::-1], rgb=True)
    for person, column in ((one, 30), (two, 60)):
        person.predict()
        person.wait_for_record()
        person.paint(1, 50, column)
    wanted = [person.labels.data.copy() for person in (one, two)]
    for person in (one, two):
        close(person)
    assert len(journals(folder)) == 2
    assert np.array_equal(opened(open_person, polyps).labels.data, wanted[0])
    other = open_person(polyps.frames[:3, ::-1], rgb=True)
    other.wait_for_record()
    assert np.array_equal(other.labels.data, wanted[1])


def test_another_project_takes_the_masks_along_and_leaves_the_first_as_it_was(
    open_person, polyps, folder, tmp_path
):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    person.paint(0)
    before = journals(folder)[0].read_bytes()
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    person.wait_for_record()
    person.paint(0, 60, 60)
    wanted = person.labels.data.copy()
    close(person)
    assert journals(folder)[0].read_bytes() == before
    again = opened(open_person, polyps, project=tmp_path / "second")
    assert np.array_equal(again.labels.data, wanted)
    assert again.tracker.state((0,)) is SliceState.CORRECTED


def test_a_deleted_masks_layer_does_not_come_back_until_the_image_is_opened_again(
    open_person, polyps, folder
):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    person.paint(0)
    wanted = person.labels.data.copy()
    person.viewer.layers.remove(person.labels)
    person.qtbot.wait(100)
    person.wait_for_record()
    assert person.controller.binding is None
    close(person)
    assert np.array_equal(opened(open_person, polyps).labels.data, wanted)


def test_masks_opened_by_the_person_are_not_mixed_with_those_of_the_project(
    open_person, polyps, folder
):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    person.paint(0)
    close(person)
    again = opened(open_person, polyps)
    own = np.zeros(polyps.frames.shape[:3], np.uint8)
    own[5, 10:20, 10:20] = 1
    layer = again.viewer.add_labels(own.copy(), name="mine")
    again.dock.layers_panel.labels_box.value = layer
    again.wait_for_record()
    assert np.array_equal(layer.data, own)
    again.wait(lambda: len(journals(folder)) == 2)


def test_the_dock_closed_and_opened_again_goes_on_in_the_same_record(open_person, polyps, folder):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    person.paint(0)
    lines = len(read_journal(journals(folder)[0]).events)
    person.dock.shutdown()
    again = type(person)(person.viewer, type(person.dock)(person.viewer, _session(person)), None)
    again.qtbot = person.qtbot
    again.wait_for_record()
    again.paint(0, 60, 60)
    again.dock.shutdown()
    assert len(journals(folder)) == 1
    assert len(read_journal(journals(folder)[0]).events) == lines + 1


def test_the_project_says_what_it_is(open_person, polyps, folder):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    assert json.loads((folder / "project.json").read_text())["format"] == (
        "napari-sam-adapter project"
    )


def _session(person):
    from napari_sam_adapter.session import Session

    old = person.controller.session
    return Session(old.project, device="cpu", predictor=old.predictor)


def test_a_stroke_through_many_slices_is_written_down_at_once(open_person, folder):
    volume = np.random.default_rng(0).integers(0, 255, (400, 64, 64)).astype(np.uint8)
    person = open_person(volume)
    person.wait_for_record()
    labels = person.viewer.add_labels(np.zeros(volume.shape, np.uint8), name="mine")
    person.dock.layers_panel.labels_box.value = labels
    person.wait_for_record()
    labels.n_edit_dimensions, labels.brush_size = 3, 9
    labels.paint((300, 30, 30), 1)  # far from the slice in view
    person.settle()
    person.wait(lambda: len(events_in(folder)) >= 9)
    touched = {event.slice for event in events_in(folder)}
    assert touched == {(z,) for z in range(400) if labels.data[z].any()}


def test_a_retraining_is_written_down_with_its_slices_and_its_adapter(open_person, polyps, folder):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    person.retrain()
    person.wait_for_training()
    close(person)
    events = read_journal(journals(folder)[0]).events
    (start,) = [event for event in events if event.do == "training"]
    (end,) = [event for event in events if event.do == "trained"]
    (part,) = start.details["parts"]
    assert (part["slices"], part["line"]) == ([[0], [1]], start.n)
    assert start.details["run"] == end.details["run"]
    version = Project(folder).adapters.get(1)
    assert end.details["adapter"] == version.card.adapter_id


def test_an_image_without_a_file_is_kept_in_the_project(open_person, polyps, folder):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    ((record, identity),) = Project(folder).records()
    pixels = pixels_of(record, identity)
    assert pixels.is_colour
    assert np.array_equal(pixels.read((3,)), polyps.frames[3])


def test_an_image_of_the_project_opens_with_its_masks(open_person, polyps, folder, tmp_path):
    path = tmp_path / "frame.png"
    Image.fromarray(polyps.frames[0]).save(path)
    person = open_person()
    person.viewer.open(str(path))
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    person.labels.paint((20, 20), 2)
    wanted = person.labels.data.copy()
    close(person)

    again = open_person()
    menu = again.dock.project_panel.images_menu
    menu.aboutToShow.emit()
    (action,) = menu.actions()
    assert action.text() == "frame"
    action.trigger()
    again.wait(lambda: again.controller.binding is not None)
    assert np.array_equal(again.labels.data, wanted)
    assert len(journals(folder)) == 1


def test_an_image_that_is_gone_is_named(open_person, polyps, folder, tmp_path):
    path = tmp_path / "frame.png"
    Image.fromarray(polyps.frames[0]).save(path)
    person = open_person()
    person.viewer.open(str(path))
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    close(person)
    path.unlink()
    again = open_person()
    again.dock.project_panel.image_requested.emit(journals(folder)[0].parent)
    again.wait(lambda: "frame is not at" in again.message)


def test_the_dock_shows_what_each_round_cost(open_person, polyps):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    plot = person.dock.effort_plot
    assert not plot.rounds
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    person.go_to(0)
    assert [(count, effort.strokes) for count, effort in plot.rounds] == [(2, 2)]
    assert "1.0 strokes per slice" in plot.summary.text()
    person.retrain()
    person.wait_for_training()
    person.paint(3)
    person.go_to(4)
    assert [count for count, _ in plot.rounds] == [2, 1]
    assert "round 1" in plot.summary.text()


def interrupted(open_person, polyps):
    """A window that dies while it trains, after the first checkpoint."""
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    person.retrain(minutes=5)
    project = person.controller.session.project.folder
    person.wait(lambda: any(project.glob("runs/*/state.checkpoint")))
    (run,) = (path.parent for path in project.glob("runs/*/run.json"))
    person.dock.shutdown()
    person.wait(lambda: not person.controller.retraining.is_running)
    person.viewer.layers.clear()
    return run


def test_an_interrupted_retraining_can_be_resumed(open_person, polyps, folder):
    run = interrupted(open_person, polyps)
    again = opened(open_person, polyps)
    row = again.dock.retrain_panel.unfinished
    assert "A retraining on 2 slices was interrupted." in row.text.text()
    steps = []
    again.controller.retraining.reported.connect(
        lambda event: steps.append(getattr(event, "step", None))
    )
    row.resume_button.click()
    again.wait(lambda: any(steps))
    again.dock.retrain_panel.button.click()  # it is Stop now
    again.wait_for_training()
    first = next(step for step in steps if step is not None)
    assert first > 1  # it went on from the checkpoint
    version = again.controller.session.active
    assert version is not None
    assert len(version.card.training["trained_on"]) == 2
    assert not run.exists()
    assert row.isHidden()


def test_an_interrupted_retraining_can_be_forgotten(open_person, polyps, folder):
    run = interrupted(open_person, polyps)
    again = opened(open_person, polyps)
    again.dock.retrain_panel.unfinished.discard_button.click()
    assert not run.exists()
    assert again.dock.retrain_panel.unfinished.isHidden()
    assert again.tracker.state((0,)) is SliceState.CORRECTED


def test_a_retraining_that_goes_on_is_not_offered_to_another_window(open_person, polyps):
    one = opened(open_person, polyps)
    one.predict()
    one.wait_for_record()
    one.correct(0, polyps.masks[0].astype(np.uint8))
    one.retrain(minutes=0.2)
    two = open_person(polyps.frames[:3], rgb=True)
    assert two.dock.retrain_panel.unfinished.isHidden()
    one.wait_for_training()


def test_what_was_corrected_in_other_images_of_the_project_is_learned_from_too(
    open_person, polyps, folder
):
    first = opened(open_person, polyps)
    first.predict()
    first.wait_for_record()
    for z in range(3):
        first.correct(z, polyps.masks[z].astype(np.uint8))
    first.dock.shutdown()
    second = open_person(polyps.frames[4:], rgb=True)
    second.predict()
    second.wait_for_record()
    second.correct(0, polyps.masks[4].astype(np.uint8))
    said = []
    second.controller.said.connect(lambda sentence, problem: said.append(sentence))
    second.retrain(minutes=0.1)
    second.wait_for_training()
    assert "Retraining on 1 slice here and 3 of another image of the project." in " ".join(said)
    card = second.controller.session.active.card
    assert len(card.training["trained_on"]) == 4
    # An image of another kind is of another task.
    grey = open_person(polyps.frames[..., 0])
    grey.predict()
    grey.wait_for_record()
    grey.correct(0, polyps.masks[0].astype(np.uint8))
    grey.retrain(minutes=0.1)
    grey.wait_for_training()
    assert grey.controller.session.active.card.training["n_slices"] == 1
    # Not if it is not wanted.
    second.dock.retrain_panel.advanced.others_box.setChecked(False)
    second.retrain(minutes=0.1)
    second.wait_for_training()
    assert second.controller.session.active.card.training["n_slices"] == 1


def test_an_image_that_is_gone_is_named_and_the_rest_is_learned_from(
    open_person, polyps, folder, tmp_path
):
    first = opened(open_person, polyps)
    first.predict()
    first.wait_for_record()
    first.correct(0, polyps.masks[0].astype(np.uint8))
    first.dock.shutdown()
    (copy,) = first.controller.session.project.folder.glob("images/*/image.tif")
    copy.unlink()
    second = open_person(polyps.frames[4:], rgb=True)
    second.predict()
    second.wait_for_record()
    second.correct(0, polyps.masks[4].astype(np.uint8))
    said = []
    second.controller.said.connect(lambda sentence, problem: said.append(sentence))
    second.retrain(minutes=0.1)
    second.wait_for_training()
    assert any("image is left out: " in sentence for sentence in said)
    assert second.controller.session.active.card.training["n_slices"] == 1


def test_the_journal_says_from_which_box_a_slice_was_predicted(open_person, polyps, folder):
    person = opened(open_person, polyps)
    person.predict()
    person.wait_for_record()
    person.dock.prompts_panel.boxes_button.click()
    boxes = person.viewer.layers.selection.active
    boxes.add_rectangles(np.array([[0, 20, 10], [0, 20, 50], [0, 60, 50], [0, 60, 10]]))
    person.predict()
    person.dock.shutdown()
    (journal,) = folder.glob("images/*/journal.jsonl")
    last = [event for event in read_journal(journal).events if event.do == "predicted"][-1]
    assert last.details["boxes"] == [[10.0, 20.0, 50.0, 60.0]]
