"""What happens to masks is in the project within a second, and comes back."""

import json

import numpy as np

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.pixels import image_of
from napari_sam_adapter.project.project import Project


def journals(folder):
    return sorted(folder.glob("images/*/journal.jsonl"))


def events_in(folder):
    """What is on the disk now; the first line may not be there yet."""
    return [event for path in journals(folder) for event in read_journal(path).events]


def test_a_stroke_is_in_the_journal_within_a_second(open_polyps, polyps, folder):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.labels.paint((0, 40, 40), 3)
    person.settle()  # 30 ms; what follows waits for the disk alone
    person.controller.recording.record_of(person.controller.binding).journal.flush()
    assert events_in(folder)[-1].do == "painted"
    assert events_in(folder)[-1].slice == (0,)


def test_closing_and_opening_again_brings_back_masks_states_and_who_predicted(
    open_polyps, polyps, folder
):
    person = open_polyps()
    person.predict_all()
    person.paint(2)
    person.go_to(3)
    person.dock.correct_panel.accept_button.click()
    person.go_to(4)
    person.undo()
    wanted = person.labels.data.copy()
    states = [person.tracker.state((z,)) for z in range(8)]
    humans = [person.tracker.human_pixels((z,), wanted[z]) for z in range(8)]
    person.close()

    again = open_polyps()
    assert np.array_equal(again.labels.data, wanted)
    assert [again.tracker.state((z,)) for z in range(8)] == states
    assert states[3] is SliceState.ACCEPTED
    for z in range(8):
        assert np.array_equal(again.tracker.human_pixels((z,), wanted[z]), humans[z])
    assert again.tracker.adapter_of((2,)) == ""
    assert "Restored 1 stroke on 8 slices." in again.message


def test_an_image_nothing_was_done_to_leaves_no_trace(open_polyps, polyps, folder):
    open_polyps().close()
    assert not folder.exists()
    assert open_polyps().controller.binding is None


def test_the_last_stroke_before_closing_is_kept(open_polyps, polyps):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.labels.paint((0, 40, 40), 3)
    person.dock.shutdown()
    person.viewer.layers.clear()
    assert open_polyps().labels.data[0, 40, 40] == 3


def test_a_second_window_is_told_who_has_the_masks_and_harms_nothing(open_polyps, polyps, folder):
    one = open_polyps()
    one.predict()
    one.wait_for_record()
    two = open_polyps(show=True)
    assert "open in another window (process" in two.message
    two.dock.sections[0].heading.click()  # what it says at length is out of sight
    two.predict()
    assert two.dock.not_recorded.isVisible()
    assert two.dock.not_recorded.text().startswith("Not all that is done here is recorded")
    assert not one.dock.not_recorded.isVisibleTo(one.dock)
    two.paint(0, 60, 60)
    one.paint(0, 30, 30)
    wanted = one.labels.data.copy()
    for person in (one, two):
        person.close()
    assert np.array_equal(open_polyps().labels.data, wanted)


def test_masks_of_a_newer_program_are_named_and_left_alone(open_polyps, polyps, folder):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.close()
    (path,) = folder.glob("images/*/image.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    before = journals(folder)[0].read_bytes()
    again = open_polyps()
    assert "schema version 99" in again.message
    again.predict()
    again.wait_for_record()
    again.paint(0)
    again.close()
    assert [one.read_bytes() for one in journals(folder)] == [before]


def test_two_images_in_two_windows_do_not_mix(open_person, open_polyps, polyps, folder):
    one = open_polyps()
    two = open_person(polyps.frames[:3, ::-1], rgb=True)
    for person, column in ((one, 30), (two, 60)):
        person.predict()
        person.wait_for_record()
        person.paint(1, 50, column)
    wanted = [person.labels.data.copy() for person in (one, two)]
    for person in (one, two):
        person.close()
    assert len(journals(folder)) == 2
    assert np.array_equal(open_polyps().labels.data, wanted[0])
    other = open_person(polyps.frames[:3, ::-1], rgb=True)
    other.wait_for_record()
    assert np.array_equal(other.labels.data, wanted[1])


def test_another_project_takes_the_masks_along_and_leaves_the_first_as_it_was(
    open_polyps, polyps, folder, tmp_path
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(0)
    before = journals(folder)[0].read_bytes()
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    person.wait_for_record()
    person.paint(0, 60, 60)
    wanted = person.labels.data.copy()
    person.close()
    assert journals(folder)[0].read_bytes() == before
    again = open_polyps(project=tmp_path / "second")
    assert np.array_equal(again.labels.data, wanted)
    assert again.tracker.state((0,)) is SliceState.CORRECTED


def test_what_undo_takes_back_and_redo_brings_again_in_another_project_stays_a_prediction(
    open_polyps, polyps, folder, tmp_path
):
    person = open_polyps()
    person.predict()
    predicted = person.labels.data.copy()
    assert predicted[0].any()
    person.wait_for_record()
    person.undo()
    person.settle()
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    person.wait_for_record()
    person.redo()
    person.close()
    again = open_polyps(project=tmp_path / "second")
    assert np.array_equal(again.labels.data, predicted)
    assert again.tracker.state((0,)) is SliceState.PREDICTED
    assert not again.tracker.human_pixels((0,), again.labels.data[0]).any()


def test_a_deleted_masks_layer_does_not_come_back_until_the_image_is_opened_again(
    open_polyps, polyps, folder
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(0)
    wanted = person.labels.data.copy()
    person.viewer.layers.remove(person.labels)
    person.qtbot.wait(100)
    person.wait_for_record()
    assert person.controller.binding is None
    person.close()
    assert np.array_equal(open_polyps().labels.data, wanted)


def test_masks_opened_by_the_person_are_not_mixed_with_those_of_the_project(
    open_polyps, polyps, folder
):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    person.paint(0)
    person.close()
    again = open_polyps()
    own = np.zeros(polyps.frames.shape[:3], np.uint8)
    own[5, 10:20, 10:20] = 1
    layer = again.viewer.add_labels(own.copy(), name="mine")
    again.dock.layers_panel.labels_box.value = layer
    again.wait_for_record()
    assert np.array_equal(layer.data, own)
    again.wait(lambda: len(journals(folder)) == 2)


def test_the_dock_closed_and_opened_again_goes_on_in_the_same_record(open_polyps, polyps, folder):
    person = open_polyps()
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


def test_the_project_says_what_it_is(open_polyps, polyps, folder):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    assert json.loads((folder / "project.json").read_text())["format"] == (
        "napari-sam-adapter project"
    )


def _session(person):
    from napari_sam_adapter.session.session import Session

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


def test_an_image_without_a_file_is_kept_in_the_project(open_polyps, polyps, folder):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    ((record, identity),) = Project(folder).records()
    image = image_of(record, identity)
    assert image.is_colour
    assert np.array_equal(image.data[3], polyps.frames[3])


def test_the_dock_shows_what_each_round_cost(open_polyps, polyps):
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    plot = person.dock.effort_plot
    assert not plot.rounds
    for z in range(2):
        person.correct(z, polyps.masks[z].astype(np.uint8))
    person.go_to(0)
    assert [(len(one.slices), one.effort.strokes) for one in plot.rounds] == [(2, 2)]
    assert "1.0 strokes per slice" in plot.summary.text()
    person.retrain()
    person.wait_for_training()
    person.paint(3)
    person.go_to(4)
    assert [len(one.slices) for one in plot.rounds] == [2, 1]
    assert "round 1" in plot.summary.text()


def test_the_journal_says_from_which_box_a_slice_was_predicted(open_polyps, polyps, folder):
    person = open_polyps()
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
