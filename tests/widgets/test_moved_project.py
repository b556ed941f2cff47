"""A project folder that is moved while its window is open: nothing that is painted is lost."""

import numpy as np
import pytest

from napari_sam_adapter.project import journal
from napari_sam_adapter.project.journal import read_journal


@pytest.fixture(autouse=True)
def _tried_at_once(monkeypatch):
    monkeypatch.setattr(journal, "SECONDS_BETWEEN_TRIES", 0.01)


@pytest.fixture
def person_of_a_moved_project(open_polyps, folder):
    """Somebody who paints after the folder went elsewhere, and has been told."""
    person = open_polyps()
    person.predict()
    person.wait_for_record()
    record = person.controller.recording.record_of(person.controller.binding)
    assert record.journal.flush(60)
    folder.rename(folder.with_name("moved"))
    person.paint(0, 40, 40, 3)
    person.wait(lambda: "moved or renamed" in person.message)
    return person


def closed_and_opened_again(person, open_polyps, project):
    wanted = person.labels.data.copy()
    person.dock.shutdown()
    person.viewer.layers.clear()
    again = open_polyps(project=project)
    assert np.array_equal(again.labels.data, wanted)
    assert again.labels.data[0, 40, 40] == 3


def test_once_it_is_back_everything_is_written_down(person_of_a_moved_project, open_polyps, folder):
    person = person_of_a_moved_project
    assert not folder.exists()
    folder.with_name("moved").rename(folder)
    person.wait(lambda: "nothing was lost" in person.message)
    closed_and_opened_again(person, open_polyps, folder)


def test_once_it_is_chosen_at_its_new_place_everything_is_written_down(
    person_of_a_moved_project, open_polyps, folder
):
    person = person_of_a_moved_project
    person.controller.session.open_project(folder.with_name("moved"))
    person.wait_for_record()
    (path,) = folder.with_name("moved").glob("images/*/journal.jsonl")
    assert not read_journal(path).damaged
    closed_and_opened_again(person, open_polyps, folder.with_name("moved"))
    assert not folder.exists()
