"""What is not recorded is tried again until it is, or until nobody works on it any more."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam_adapter.widgets.record import not_recorded
from napari_sam_adapter.widgets.record.not_recorded import NotRecorded
from napari_sam_adapter.widgets.record.open_records import OpenRecords


class Masks:
    """Stands for a binding."""

    is_alive = True

    def __init__(self, name):
        self.labels = Labels(np.zeros((4, 4), np.uint8), name=name)


@pytest.fixture
def lacking(qtbot, monkeypatch):
    monkeypatch.setattr(not_recorded, "RETRY_MS", 10)
    found = NotRecorded(SimpleNamespace(viewer=ViewerModel(), bindings=list), OpenRecords())
    yield found
    found.close()


def test_of_several_masks_layers_each_is_tried_until_all_are_recorded(lacking, qtbot):
    lacking.due.connect(lambda: lacking.is_recorded(lacking.next_to_try()))
    for name in ("first", "second", "third"):
        lacking.refuse(Masks(name), "It is open in another window.")
    qtbot.waitUntil(lambda: lacking.problem == "")


def test_it_is_tried_again_also_where_another_record_was_being_opened_just_then(lacking, qtbot):
    tried = []
    lacking.due.connect(lambda: tried.append(lacking.next_to_try()))  # and nothing comes of it
    lacking.refuse(Masks("masks"), "It is open in another window.")
    qtbot.waitUntil(lambda: len(tried) > 2)


def test_nothing_is_said_any_more_of_masks_that_are_gone(lacking, qtbot):
    masks = Masks("masks")
    lacking.refuse(masks, "It is open in another window.")
    with qtbot.waitSignal(lacking.changed):
        lacking.let_go(masks)
    assert lacking.problem == ""
    with qtbot.assertNotEmitted(lacking.changed):
        lacking.let_go(masks)


def test_closing_emits_nothing(lacking, qtbot):
    masks = Masks("masks")
    lacking.refuse(masks, "It is open in another window.")
    with qtbot.assertNotEmitted(lacking.changed):
        lacking.close()
        lacking.let_go(masks)


def test_masks_that_can_be_looked_at_alone_are_not_tried(lacking):
    lacking.show(Masks("shown"), None, "The project cannot be written to.")
    assert lacking.next_to_try() is None
    refused = Masks("refused")
    lacking.refuse(refused, "It is open in another window.")
    assert lacking.next_to_try() is refused
