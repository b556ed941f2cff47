"""Which pixels are the person's: strokes, undo, redo and predictions in any order."""

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_history import FILLED
from napari_sam_adapter.annotations.slice_tracker import SliceState, SliceTracker

SHAPE = (12, 12)
HERE = (3,)


class Slice:
    """A labels slice with an undo stack like napari's, and a tracker that watches it."""

    def __init__(self):
        self.labels = np.zeros(SHAPE, np.uint8)
        self.tracker = SliceTracker(SHAPE)
        self._undo, self._redo = [], []

    @property
    def state(self):
        return self.tracker.state(HERE)

    def human(self):
        return self.tracker.human_pixels(HERE, self.labels)

    def _set(self, labels):
        self._undo.append(self.labels.copy())
        self._redo.clear()
        self.labels = labels

    def paint(self, rows, columns, label=1):
        labels = self.labels.copy()
        labels[rows, columns] = label
        self._set(labels)
        self.look()

    def predict(self, mask, adapter="a"):
        change = self.tracker.plan_prediction(HERE, self.labels, mask)
        if change.positions.size:
            labels = self.labels.copy()
            labels[change.where((), SHAPE)] = change.new
            self._set(labels)
        self.tracker.prediction_written(HERE, self.labels, change, adapter)

    def undo(self):
        self._redo.append(self.labels)
        self.labels = self._undo.pop()
        self.look()

    def redo(self):
        self._undo.append(self.labels)
        self.labels = self._redo.pop()
        self.look()

    def look(self):
        """Look as the dock does: napari's redo history tells an undo from an edit."""
        self.tracker.observe(HERE, self.labels, painted=not self._redo)


@pytest.fixture
def one():
    return Slice()


def blob(top, left, size=4):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_a_slice_nobody_touched_is_untouched(one):
    one.look()
    assert one.state is SliceState.UNTOUCHED
    assert one.tracker.ready() == []


def test_a_prediction_belongs_to_nobody_but_the_model(one):
    one.predict(blob(2, 2))
    one.look()
    assert one.state is SliceState.PREDICTED
    assert not one.human().any()
    assert one.tracker.adapter_of(HERE) == "a"


def test_only_the_painted_pixels_become_the_persons(one):
    one.predict(blob(2, 2))
    one.paint(slice(8, 10), slice(8, 10))
    assert one.state is SliceState.CORRECTED
    assert one.human().sum() == 4


def test_the_next_prediction_writes_around_them(one):
    one.predict(blob(2, 2))
    one.paint(slice(2, 4), slice(2, 6), label=0)
    one.predict(blob(0, 0, 12), "b")
    assert (one.labels[2:4, 2:6] == 0).all()
    assert one.labels.sum() == 144 - 8


def test_what_is_predicted_around_a_correction_is_not_learned_from_until_it_is_painted_in(one):
    one.predict(blob(2, 2))
    one.paint(slice(2, 4), slice(2, 6), label=0)
    one.predict(blob(0, 0, 12), "b")
    assert one.state is SliceState.PREDICTED
    assert one.tracker.ready() == []
    assert one.human().sum() == 8
    one.paint(slice(9, 10), slice(9, 10), label=0)
    assert one.state is SliceState.CORRECTED
    one.undo()
    assert one.state is SliceState.PREDICTED
    one.undo()
    assert one.state is SliceState.CORRECTED
    one.redo()
    assert one.state is SliceState.PREDICTED


def test_what_is_predicted_around_a_correction_is_learned_from_once_it_is_accepted(one):
    one.paint(slice(2, 4), slice(2, 6))
    one.predict(blob(0, 0, 12))
    one.tracker.set_accepted(HERE, one.labels, True)
    assert one.tracker.ready() == [HERE]
    one.tracker.set_accepted(HERE, one.labels, False)
    assert one.state is SliceState.PREDICTED


def test_a_pixel_stays_the_persons_when_a_prediction_agrees_with_it_once(one):
    one.predict(blob(2, 2))
    one.paint(slice(2, 6), slice(2, 6), label=0)
    one.predict(np.zeros(SHAPE, bool), "b")
    one.predict(blob(2, 2), "c")
    assert not one.labels.any()


def test_undo_of_a_prediction_restores_what_was_known_before_it(one):
    one.paint(slice(0, 2), slice(0, 2))
    one.predict(blob(4, 4))
    one.undo()
    assert one.state is SliceState.CORRECTED
    assert one.human().sum() == 4
    assert one.tracker.adapter_of(HERE) is None
    one.undo()
    assert one.state is SliceState.UNTOUCHED
    one.redo()
    one.redo()
    assert one.tracker.adapter_of(HERE) == "a"
    assert one.human().sum() == 4


@pytest.mark.parametrize("meanwhile", ["predicted alike", "accepted and not"])
def test_what_changes_no_pixel_leaves_redo_as_it_is(one, meanwhile):
    one.predict(blob(1, 1), "a")
    one.predict(blob(4, 4), "b")
    one.undo()
    if meanwhile == "predicted alike":
        one.predict(blob(1, 1), "a")
    else:
        for accepted in (True, False):
            one.tracker.set_accepted(HERE, one.labels, accepted)
    one.redo()
    assert one.state is SliceState.PREDICTED
    assert one.tracker.adapter_of(HERE) == "b"
    assert not one.tracker.ready()


def test_undo_of_everything_leaves_an_untouched_slice(one):
    one.predict(blob(1, 1))
    one.paint(slice(6, 8), slice(6, 8))
    one.predict(blob(3, 3), "b")
    one.paint(slice(9, 11), slice(0, 2))
    for _ in range(4):
        one.undo()
    assert one.state is SliceState.UNTOUCHED
    assert not one.human().any()


def test_erasing_a_prediction_by_hand_is_not_an_undo(one):
    one.predict(blob(2, 2))
    one.paint(slice(2, 6), slice(2, 6), label=0)
    one.look()
    one.look()
    assert one.state is SliceState.CORRECTED
    one.undo()
    assert one.state is SliceState.PREDICTED
    one.undo()
    assert one.state is SliceState.UNTOUCHED


def test_an_accepted_slice_is_wholly_the_persons_and_never_changes(one):
    one.predict(blob(2, 2))
    one.tracker.set_accepted(HERE, one.labels, True)
    one.predict(blob(6, 6), "b")
    np.testing.assert_array_equal(one.labels > 0, blob(2, 2))
    assert one.state is SliceState.ACCEPTED
    one.tracker.set_accepted(HERE, one.labels, False)
    assert one.state is SliceState.PREDICTED


def test_what_a_model_predicted_and_a_person_accepted_unchanged_is_told_from_corrections(one):
    def is_as_predicted():
        return one.tracker.history_of(HERE).is_as_predicted

    one.predict(blob(2, 2))
    assert not is_as_predicted(), "nobody has accepted it"
    one.tracker.set_accepted(HERE, one.labels, True)
    assert is_as_predicted()
    one.tracker.set_accepted(HERE, one.labels, False)
    one.paint(slice(0, 1), slice(0, 1))
    one.tracker.set_accepted(HERE, one.labels, True)
    assert not is_as_predicted()
    one.tracker.set_accepted(HERE, one.labels, False)
    one.predict(blob(6, 6), "b")
    one.tracker.set_accepted(HERE, one.labels, True)
    assert not is_as_predicted(), "the stroke stays the person's"


@pytest.mark.parametrize("who", [FILLED, None])
def test_what_no_model_predicted_is_nobodys_prediction(one, who):
    if who is None:
        one.paint(slice(2, 4), slice(2, 4))
    else:
        one.predict(blob(2, 2), who)
    one.tracker.set_accepted(HERE, one.labels, True)
    assert not one.tracker.history_of(HERE).is_as_predicted


def test_undo_of_an_accepted_prediction_takes_the_acceptance_back(one):
    one.predict(blob(2, 2))
    one.tracker.set_accepted(HERE, one.labels, True)
    one.undo()
    assert one.state is SliceState.UNTOUCHED
    assert one.tracker.ready() == []


def test_an_acceptance_that_undo_took_away_comes_back_with_redo(one):
    one.predict(blob(2, 2))
    one.paint(slice(8, 10), slice(8, 10))
    one.tracker.set_accepted(HERE, one.labels, True)
    for n_steps in (1, 2):
        for _ in range(n_steps):
            one.undo()
        assert one.state is not SliceState.ACCEPTED
        for _ in range(n_steps):
            one.redo()
        assert one.state is SliceState.ACCEPTED
    one.undo()
    one.paint(slice(8, 10), slice(8, 9))
    one.paint(slice(8, 10), slice(8, 10))
    assert one.state is SliceState.CORRECTED


def test_an_acceptance_that_was_taken_back_does_not_come_with_redo(one):
    one.predict(blob(2, 2))
    one.tracker.set_accepted(HERE, one.labels, True)
    one.undo()
    one.redo()
    one.tracker.set_accepted(HERE, one.labels, False)
    one.undo()
    one.redo()
    assert one.state is SliceState.PREDICTED


def test_painting_on_an_accepted_slice_keeps_it_accepted(one):
    one.predict(blob(2, 2))
    one.tracker.set_accepted(HERE, one.labels, True)
    one.paint(slice(8, 10), slice(8, 10))
    assert one.state is SliceState.ACCEPTED


def test_a_slow_eraser_that_is_looked_at_in_between_stays_a_correction(one):
    one.predict(blob(2, 2))
    one.paint(slice(2, 4), slice(2, 6), label=0)
    one.look()
    one.paint(slice(4, 6), slice(2, 6), label=0)
    one.look()
    one.look()
    assert one.state is SliceState.CORRECTED
    one.predict(blob(2, 2), "b")
    assert not one.labels.any()


def test_pixels_erased_from_a_mask_of_yesterday_stay_erased():
    one = Slice()
    one.labels[2:6, 2:6] = 1
    one.tracker.adopt(HERE, one.labels)
    assert one.state is SliceState.CORRECTED
    one.paint(slice(2, 4), slice(2, 6), label=0)
    one.predict(blob(2, 2))
    assert not one.labels[2:4].any()


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_of_actions_no_prediction_changes_a_pixel_of_the_person(seed):
    rng = np.random.default_rng(seed)
    one = Slice()
    for _ in range(40):
        action = rng.choice(["paint", "predict", "undo", "redo", "look"])
        if action == "paint":
            row, column = rng.integers(0, 9, 2)
            label = int(rng.integers(0, 3))
            if (one.labels[row : row + 3, column : column + 3] != label).any():
                one.paint(slice(row, row + 3), slice(column, column + 3), label)
        elif action == "predict":
            before, human = one.labels.copy(), one.human()
            one.predict(rng.random(SHAPE) < 0.5, str(rng.integers(9)))
            np.testing.assert_array_equal(one.labels[human], before[human])
        elif action == "undo" and one._undo:
            one.undo()
        elif action == "redo" and one._redo:
            one.redo()
        else:
            one.look()
    while one._undo:
        one.undo()
    assert one.state is SliceState.UNTOUCHED
