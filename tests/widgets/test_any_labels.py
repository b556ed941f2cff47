"""Whatever labels a masks layer holds, they come back, or it is said why they cannot be kept."""

import numpy as np
import pytest

IMAGE = np.random.default_rng(0).integers(0, 255, (5, 48, 48)).astype(np.uint8)


@pytest.fixture
def open_masks(open_person):
    """Return a function that opens the image, with masks of the person's own if they are given."""

    def open_one(masks=None):
        person = open_person(IMAGE)
        person.wait_for_record()
        if masks is not None:
            layer = person.viewer.add_labels(masks, name="mine")
            person.dock.layers_panel.labels_box.value = layer
            person.wait_for_record()
        return person

    return open_one


def write(person, z, label):
    masks = person.labels.data
    masks[z, 5:9, 5:9] = np.array(label, masks.dtype)
    person.controller.binding.check_all()


@pytest.mark.parametrize(
    ("dtype", "labels"),
    [("int32", (-1, 3)), ("int64", (2**40, 1)), ("int64", (-(2**40), 2**62)), ("uint64", (2**62,))],
)
def test_negative_and_very_large_labels_come_back(open_masks, dtype, labels):
    person = open_masks(np.zeros(IMAGE.shape, dtype))
    for z, label in enumerate(labels):
        write(person, z, label)
    wanted = person.labels.data.copy()
    person.close()
    again = open_masks()
    assert np.array_equal(again.labels.data, wanted)
    again.close()
    third = open_masks(wanted.copy())  # the layer's own type holds them as well
    assert third.labels.data.dtype == dtype
    assert not third.controller.recording.problem


def test_a_dock_opened_again_on_the_same_layer_goes_on_recording_it(open_masks, tmp_path):
    person = open_masks(np.zeros(IMAGE.shape, np.int64))
    write(person, 2, 2**40)
    first = person.controller.session.project.folder
    for folder in (tmp_path / "second", first):
        person.dock.project_panel.folder_requested.emit(folder)
        person.wait_for_record()
    assert not person.controller.recording.problem


def test_labels_that_no_journal_holds_are_refused_when_the_layer_is_chosen(open_masks):
    masks = np.zeros(IMAGE.shape, np.uint64)
    masks[2, 5, 5] = 2**63 + 5
    person = open_masks(masks)
    assert person.controller.binding is None
    assert "holds the label 9223372036854775813" in person.message


def test_labels_that_no_journal_holds_are_told_when_they_appear_and_the_rest_is_kept(open_masks):
    person = open_masks(np.zeros(IMAGE.shape, np.uint64))
    write(person, 1, 2**63 + 5)
    assert "holds the label 9223372036854775813" in person.message
    write(person, 2, 7)
    person.close()
    again = open_masks()
    assert [int(again.labels.data[z].max()) for z in range(5)] == [0, 0, 7, 0, 0]


def test_labels_below_0_are_no_object_which_is_said_at_once_and_where_it_would_count(open_masks):
    masks = np.zeros(IMAGE.shape, np.int32)
    masks[[0, 3], :9], masks[[0, 3], 20:30] = -1, 1
    person = open_masks(masks)
    assert "'mine' holds labels below 0, such as -1. They are kept, but are no object" in (
        person.message
    )
    no_object = "slice 0 holds the label -1. 0 is the background"
    for ask in (person.retrain, person.dock.correct_panel.fill_button.click):
        person.dock.message.say("")
        ask()
        assert no_object in person.message
    assert not person.controller.retraining.is_running
    person.labels.n_edit_dimensions, person.labels.contiguous = 3, False
    person.labels.fill((0, 5, 5), 0)  # as the dock says
    person.settle()
    person.dock.correct_panel.fill_button.click()
    person.wait(lambda: not person.controller.prediction.is_running)
    assert "Filled 2 slices" in person.message


def test_slices_with_labels_below_0_are_not_called_ready_and_are_left_out(open_masks):
    masks = np.zeros(IMAGE.shape, np.int32)
    masks[[0, 3, 4], 20:30] = 1
    masks[3, :9] = -1
    person = open_masks(masks)
    ready = person.dock.retrain_panel.ready
    assert ready.text() == (
        "<b>2 slices</b> are ready to train on; 1 slice holds labels below 0 and is left out"
    )
    person.retrain()
    assert "Retraining on 2 slices." in person.message
    person.wait_for_training()
    assert person.controller.session.in_use.version.card.training["slices"] == [
        "image, slice 0",
        "image, slice 4",
    ]
    person.paint(4, label=-2)
    assert ready.text().endswith("2 slices hold labels below 0 and are left out")
    person.undo()
    assert ready.text().endswith("1 slice holds labels below 0 and is left out")
    person.viewer.dims.set_current_step(0, 3)
    person.labels.fill((3, 5, 5), 0)
    person.settle()
    assert ready.text() == "<b>3 slices</b> are ready to train on"
