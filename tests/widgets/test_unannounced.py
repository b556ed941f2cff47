"""Edits that napari does not announce, or only as a layer goes, are in the project all the same."""

import numpy as np
import pytest

from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.widgets.layers import walk

VOLUME = np.random.default_rng(0).integers(0, 255, (200, 32, 32)).astype(np.uint8)


@pytest.fixture
def open_volume(open_person):
    """Return a function that opens the volume with what the project has of it."""

    def open_one(**options):
        person = open_person(VOLUME, **options)
        person.wait_for_record()
        return person

    return open_one


@pytest.fixture
def recorded(open_volume):
    """A person whose masks layer is recorded."""
    person = open_volume()
    person.controller.layers.need()
    person.wait_for_record()
    return person


@pytest.fixture
def painter(recorded):
    """A person whose masks layer is recorded, with one stroke on it."""
    recorded.paint(3)
    return recorded


@pytest.fixture
def recorded_without_walk(monkeypatch, request):
    """A person whose masks layer is recorded, while the slow walk over all slices rests."""
    monkeypatch.setattr(walk, "INTERVAL_MS", 3_600_000)
    return request.getfixturevalue("recorded")


def filled_everywhere(person):
    masks = person.labels.data.copy()
    masks[:, 20:25, 20:25] = 1
    return masks


def test_masks_that_another_plugin_replaced_are_kept_though_the_dock_closes_at_once(
    painter, open_volume
):
    wanted = filled_everywhere(painter)
    painter.labels.data = wanted.copy()
    painter.close()
    assert np.array_equal(open_volume().labels.data, wanted)


def test_masks_that_the_console_wrote_are_kept_though_the_dock_closes_at_once(painter, open_volume):
    wanted = filled_everywhere(painter)
    painter.labels.data[:] = wanted
    painter.close()
    assert np.array_equal(open_volume().labels.data, wanted)


def test_replaced_masks_are_in_the_journal_without_waiting_for_the_slow_walk(
    recorded_without_walk,
    folder,
):
    person = recorded_without_walk
    person.labels.data = filled_everywhere(person)
    (path,) = folder.glob("images/*/")

    def slices_told():
        return {event.slice for event in read_journal(path / "journal.jsonl").events}

    person.wait(lambda: len(slices_told()) == len(VOLUME))


def test_strokes_and_undos_that_a_busy_window_looks_at_late_do_not_wait_for_the_slow_walk(
    recorded_without_walk,
):
    person = recorded_without_walk
    journal = person.controller.recording.record_of(person.controller.binding).journal

    def told():
        person.settle()
        journal.flush()
        return [(event.do, event.slice) for event in read_journal(journal.path).events]

    for z in (3, 90, 150):  # Qt handles the moves and clicks that wait before its timers
        person.go_to(z)
        person.labels.paint((z, 10, 10), 2)
    strokes = told()
    assert sorted(strokes) == [("painted", (z,)) for z in (3, 90, 150)]
    person.go_to(5)
    person.labels.undo()
    person.labels.undo()
    assert sorted(told()[3:]) == [("undone", (z,)) for z in (90, 150)]
    person.labels.redo()
    person.labels.redo()
    assert sorted(slice for _, slice in told()[5:]) == [(90,), (150,)]


@pytest.mark.parametrize("going", ["masks", "image", "all layers", "project"])
def test_a_stroke_is_kept_though_its_layers_or_project_go_in_the_same_moment(
    painter, open_volume, tmp_path, folder, going
):
    layers = painter.viewer.layers
    painter.labels.paint((150, 10, 10), 2)
    wanted = painter.labels.data.copy()
    if going == "masks":
        layers.remove(painter.labels)
    elif going == "image":
        layers.remove("image")
    elif going == "all layers":
        layers.clear()
    else:
        painter.dock.project_panel.folder_requested.emit(tmp_path / "second")
    painter.wait_for_record()
    painter.close()
    assert np.array_equal(open_volume(project=folder).labels.data, wanted)


def test_masks_that_are_not_recorded_are_asked_about_also_where_the_console_wrote_them(
    open_volume,
):
    one = open_volume()
    one.controller.layers.need()
    one.wait_for_record()
    two = open_volume()  # the record is open in the first window
    two.controller.layers.need()
    two.wait_for_record()
    assert not two.controller.recording.is_at_risk
    two.labels.data[100, 5:9, 5:9] = 1
    assert two.controller.recording.is_at_risk
