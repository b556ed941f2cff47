"""What a retraining changed, pixel by pixel."""

import numpy as np
import pytest

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.versions.comparison import Change, change_map

BEFORE = np.array([[0, 0, 1, 1], [0, 2, 1, 0]])
AFTER = np.array([[0, 1, 1, 0], [0, 1, 2, 0]])


def test_against_a_persons_mask_it_tells_what_was_fixed_and_what_was_broken():
    truth = np.array([[0, 1, 1, 1], [0, 1, 0, 0]])
    found = change_map(BEFORE, AFTER, truth)
    fixed, broken, wrong = Change.FIXED, Change.BROKEN, Change.STILL_WRONG
    assert found.labels.tolist() == [[0, fixed, 0, broken], [0, fixed, wrong, 0]]
    assert found.sentence == (
        "2 pixels fixed (green), 1 pixel broken (red), 1 pixel still wrong (yellow)"
    )


def test_without_one_it_tells_where_the_two_differ():
    found = change_map(BEFORE, AFTER)
    added, removed, renamed = Change.ADDED, Change.REMOVED, Change.RENAMED
    assert found.labels.tolist() == [[0, added, 0, removed], [0, renamed, renamed, 0]]
    assert "fixed" not in found.sentence


def test_where_nothing_changed_it_says_so():
    assert change_map(AFTER, AFTER).sentence == "no pixel differs"
    assert change_map(AFTER, AFTER, AFTER).sentence == "both are right everywhere"
    assert change_map(BEFORE, BEFORE, AFTER).count(Change.STILL_WRONG) == 4


def test_a_single_class_counts_any_label_as_the_object():
    truth = np.array([[0, 5, 5, 5], [0, 5, 0, 0]])
    found = change_map(BEFORE != 0, AFTER != 0, truth != 0)
    assert found.count(Change.BROKEN) == 1


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ImageError, match="alike in shape"):
        change_map(BEFORE, AFTER[:1])
