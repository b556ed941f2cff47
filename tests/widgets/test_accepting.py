"""A row of good slices is accepted one after the other."""

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState


def accepted(person):
    source = person.controller.binding.source
    states = [person.tracker.state(index) for index in source.indices()]
    return [source.index_of(at) for at, one in enumerate(states) if one is SliceState.ACCEPTED]


def in_view(person):
    return person.controller.binding.index_in_view()


def test_accepting_and_going_on_leads_to_the_next_slice_that_is_not_accepted(person):
    person.predict_all()
    button = person.dock.correct_panel.go_on_button
    person.controller.binding.toggle_accepted((2,))
    person.go_to(1)
    button.click()
    assert (accepted(person), in_view(person)) == ([(1,), (2,)], (3,))
    assert person.message == "Slice 1 is accepted; slice 3 is the next."
    # An accepted slice stays so, unlike with Accept.
    person.go_to(2)
    button.click()
    assert (accepted(person), in_view(person)) == ([(1,), (2,)], (3,))


def test_after_the_last_slice_it_goes_on_with_the_first_and_ends_when_all_are_accepted(person):
    person.predict_all()
    person.go_to(6)
    for _ in range(8):
        person.dock.correct_panel.go_on_button.click()
    assert len(accepted(person)) == 8
    assert person.message.endswith("is accepted, and so are all along this slider.")


def test_the_key_does_the_same(person, qtbot):
    person.predict()
    key = person.labels.class_keymap | person.labels.keymap
    assert any(str(one) == "Shift+D" for one in key)
    person.dock.keys._handler("accept_and_go_on")(None)
    assert (accepted(person), in_view(person)) == ([(0,)], (1,))


@pytest.mark.parametrize("axis", [0, 1])
def test_with_several_sliders_it_goes_along_the_one_in_use(open_person, axis):
    person = open_person(np.zeros((3, 4, 32, 32), np.uint8))
    person.dock.correct_panel.accept_button.click()
    person.dock.correct_panel.accept_button.click()
    person.viewer.dims.last_used = axis
    person.dock.correct_panel.go_on_button.click()
    assert in_view(person) == ((1, 0), (0, 1))[axis]
