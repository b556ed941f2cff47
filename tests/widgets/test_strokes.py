"""A stroke counts once, as in napari's undo, however long it takes and however far it reaches."""

import numpy as np
import pytest

from napari_sam_adapter.project.effort import Ledger
from napari_sam_adapter.project.journal import read_journal


@pytest.fixture
def painter(open_polyps):
    """A person whose masks layer is recorded."""
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    return person


def journal_of(person):
    record = person.controller.recording.record_of(person.controller.binding)
    record.journal.flush()
    return read_journal(record.folder / "journal.jsonl").events


def strokes_of(person):
    """Strokes in all: as the dock counts them, and by the journal alone."""
    record = person.controller.recording.record_of(person.controller.binding)
    counted = {ledger.n_strokes for ledger in (record.ledger, Ledger(journal_of(person)))}
    (strokes,) = counted
    return strokes


def dab(person, row, column, z=0):
    person.labels.brush_size = 5
    person.labels.paint((z, row, column), 2)
    person.settle()


def slow_stroke(person, row):
    """Draw with the mouse button down while the dock looks again and again."""
    with person.labels.block_history():
        for column in range(20, 60, 10):
            dab(person, row, column)
        painted = [event for event in journal_of(person) if event.do == "painted"]
    person.settle()
    return painted


def test_a_slow_stroke_is_written_down_while_it_is_drawn_and_counts_once(painter):
    written_meanwhile = slow_stroke(painter, 20)
    assert len(written_meanwhile) == 4
    assert len(painter.labels._undo_history) == 2  # napari's: the prediction and the stroke
    assert strokes_of(painter) == 1
    dab(painter, 50, 50)
    slow_stroke(painter, 70)
    dab(painter, 80, 50)
    assert strokes_of(painter) == 4


def test_the_end_of_a_stroke_that_was_not_looked_at_belongs_to_it(painter):
    with painter.labels.block_history():
        dab(painter, 20, 20)
        painter.labels.paint((0, 20, 40), 2)
    with painter.labels.block_history():
        painter.labels.paint((0, 60, 20), 2)
        painter.settle()
    painter.settle()
    assert strokes_of(painter) == 2


def test_a_stroke_through_several_slices_counts_in_each_of_them_and_once_in_all(painter):
    painter.labels.n_edit_dimensions = 3
    dab(painter, 40, 40, z=4)
    assert strokes_of(painter) == 1
    record = painter.controller.recording.record_of(painter.controller.binding)
    reached = [one for one in record.ledger.stories if one.effort.pixels]
    assert [one.index for one in reached] == [(z,) for z in range(2, 7)]
    assert [one.effort.strokes for one in reached] == [1] * 5


def test_undo_and_redo_are_no_strokes_and_end_the_one_before(painter):
    dab(painter, 20, 20)
    painter.undo()
    painter.redo()
    assert strokes_of(painter) == 1
    dab(painter, 60, 60)
    assert strokes_of(painter) == 2


def test_what_is_written_from_the_console_is_not_taken_for_a_part_of_the_last_stroke(painter):
    dab(painter, 20, 20)
    for row in (50, 60):
        painter.labels.data[0, row] = 3
        painter.labels.refresh()
        painter.settle()
    assert strokes_of(painter) == 3


def test_a_prediction_between_two_strokes_is_none_and_parts_them(painter):
    dab(painter, 20, 20)
    painter.predict()
    dab(painter, 60, 60)
    assert strokes_of(painter) == 2


def test_the_strokes_of_another_day_are_counted_by_themselves(painter, open_polyps):
    slow_stroke(painter, 20)
    painter.dock.shutdown()
    painter.viewer.layers.clear()
    again = open_polyps()
    assert "Restored 1 stroke on" in again.message
    slow_stroke(again, 60)
    assert strokes_of(again) == 2
    assert np.count_nonzero(again.labels.data[0] == 2)
