"""A record that a thread has opened is taken over, or closed: never left open by nobody."""

import numpy as np
import pytest

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.record_opening import Opened, RecordOpening
from napari_sam_adapter.volumes.slice_source import SliceSource


@pytest.fixture
def opening(tmp_path):
    """What opens the record of an image that has masks."""
    return RecordOpening(
        project=Project(tmp_path / "project"),
        source=SliceSource(np.arange(512, dtype=np.uint16).reshape(2, 16, 16), is_colour=False),
        name="image",
        path=None,
        patient=None,
        besides=(),
        wanted=None,
        preferred=(),
        labels_dtype=np.uint8,
        told=lambda sentence: None,
    )


def open_elsewhere(opening):
    ((_, identity),) = opening.project.records()
    opening.project.open_record(identity).close()


def test_a_record_that_nobody_will_take_is_not_opened(opening):
    events = opening.events()
    next(events)
    opening.handover.abandon()
    assert list(events) == []
    assert opening.project.records() == []


def test_a_record_that_was_opened_and_not_taken_is_closed(opening):
    *_, opened = opening.events()
    assert isinstance(opened, Opened)
    with pytest.raises(StorageError, match="open in another window"):
        open_elsewhere(opening)
    opening.handover.abandon()
    assert not opening.handover.take()
    open_elsewhere(opening)


def test_a_record_whose_dock_closes_while_it_is_being_opened_is_closed(opening, monkeypatch):
    open_record = Project.open_record

    def open_meanwhile(*asked, **options):
        opening.handover.abandon()
        return open_record(*asked, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Project, "open_record", open_meanwhile)
        assert not any(isinstance(found, Opened) for found in opening.events())
    open_elsewhere(opening)


def test_a_record_that_was_taken_stays_open(opening):
    *_, opened = opening.events()
    assert opening.handover.take()
    opening.handover.abandon()
    with pytest.raises(StorageError, match="open in another window"):
        open_elsewhere(opening)
    opened.record.close()
