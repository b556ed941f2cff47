"""Labels between slices that are known."""

import numpy as np
import pytest

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.metrics import dice
from napari_sam_adapter.volumes.fill_between import fill_between, signed_distance

ROWS, COLUMNS = np.mgrid[:64, :72]


def disc(radius: float, row: float = 32, column: float = 36) -> np.ndarray:
    return ((ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2).astype(np.uint8)


def every(step: int, volume: np.ndarray) -> dict[int, np.ndarray]:
    return {z: volume[z] for z in range(0, len(volume), step)}


def filled_volume(step: int, volume: np.ndarray) -> np.ndarray:
    filled = fill_between(every(step, volume), range(len(volume)))
    return np.stack([filled[z] for z in range(len(volume))])


def test_known_slices_come_back_as_copies():
    known = {2: disc(9), 6: disc(4) * 3}
    filled = fill_between(known, [2, 6])
    for place, labels in known.items():
        np.testing.assert_array_equal(filled[place], labels)
        assert filled[place] is not labels


def test_a_cone_sampled_every_fourth_slice_is_recovered():
    cone = np.stack([disc(24 - 0.5 * z) for z in range(33)])
    assert dice(filled_volume(4, cone) != 0, cone != 0) > 0.98


def test_a_sphere_sampled_every_fourth_slice_is_recovered_with_both_ends():
    radius = 22
    sphere = np.stack([disc(np.sqrt(max(0, radius**2 - (z - 24) ** 2))) for z in range(49)])
    found = filled_volume(4, sphere)
    assert dice(found != 0, sphere != 0) > 0.95
    assert not found[0].any()


def test_an_oblique_tube_keeps_its_width_while_it_moves():
    tube = np.stack([disc(8, column=16 + 2.5 * z) for z in range(13)])
    found = filled_volume(4, tube)
    assert dice(found != 0, tube != 0) > 0.95
    sizes = found.reshape(len(found), -1).sum(axis=1) / tube[0].sum()
    assert 0.85 < sizes.min() <= sizes.max() < 1.15


def test_nothing_is_extrapolated():
    filled = fill_between({3: disc(9), 6: disc(9)}, range(10))
    assert sorted(filled) == [3, 4, 5, 6]
    assert fill_between({3: disc(9)}, range(10)).keys() == {3}
    assert fill_between({}, range(10)) == {}


def test_only_the_nearest_known_slices_count():
    near = {4: disc(10), 8: disc(6)}
    far = {0: disc(30, 10, 10), **near, 12: disc(2, 50, 60)}
    np.testing.assert_array_equal(fill_between(far, [6])[6], fill_between(near, [6])[6])


def test_an_object_that_vanishes_is_last_seen_halfway_and_shrinks_until_then():
    filled = fill_between({0: disc(12), 8: np.zeros_like(disc(1))}, range(9))
    sizes = [int(filled[z].sum()) for z in range(9)]
    assert sizes[:5] == sorted(sizes[:5], reverse=True)
    assert 0 < sizes[4] <= 4
    assert sizes[5:] == [0, 0, 0, 0]


def test_an_object_that_appears_mirrors_one_that_vanishes():
    nothing = np.zeros_like(disc(1))
    going, coming = (
        fill_between(known, range(9))
        for known in ({0: disc(12), 8: nothing}, {0: nothing, 8: disc(12)})
    )
    for z in range(9):
        np.testing.assert_array_equal(going[z], coming[8 - z])


def test_an_object_that_ends_leaves_others_of_its_class_alone():
    lasting, ending = disc(8, 20, 20), disc(8, 20, 52)
    both = fill_between({0: lasting | ending, 8: lasting}, [2, 6])
    np.testing.assert_array_equal(both[2][:, :36], lasting[:, :36])
    assert both[2][20, 52] == 1
    assert not both[6][:, 36:].any()


def test_an_object_may_split_in_two():
    filled = fill_between({0: disc(16), 4: disc(7, 32, 24) | disc(7, 32, 48)}, [1, 2, 3])
    assert filled[1][32, 36]
    assert filled[3][32, 24]
    assert filled[3][32, 48]


def test_labels_stay_classes_and_classes_that_touch_leave_no_gap():
    def halves(border: int) -> np.ndarray:
        return np.where(disc(20), np.where(border > COLUMNS, 2, 5), 0).astype(np.int16)

    filled = fill_between({0: halves(30), 4: halves(40)}, [1, 2, 3])
    for labels in filled.values():
        assert labels.dtype == np.int16
        assert set(np.unique(labels)) == {0, 2, 5}
        np.testing.assert_array_equal(labels != 0, disc(20) != 0)
    middle = filled[2][32]
    assert abs(int((middle == 2).sum()) - int((halves(35)[32] == 2).sum())) <= 1


def test_the_spacing_decides_which_border_is_nearer():
    # A bar from which a block ends: with tall pixels the rows above it are far away.
    first, last = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    first[16:24, 4:36] = last[16:24, 4:12] = 1
    square = fill_between({0: first, 2: last}, [1])[1]
    tall = fill_between({0: first, 2: last}, [1], spacing_yx=(4.0, 1.0))[1]
    assert tall.sum() > square.sum()


def test_masks_of_bool_stay_bool():
    filled = fill_between({0: disc(9) != 0, 4: disc(5) != 0}, [2])
    assert filled[2].dtype == bool
    assert disc(5).sum() < filled[2].sum() < disc(9).sum()


def test_an_object_at_the_edge_is_taken_to_go_on_beyond_it():
    first, last = (np.broadcast_to(border <= COLUMNS, COLUMNS.shape) for border in (20, 40))
    middle = fill_between({0: first, 2: last}, [1])[1]
    np.testing.assert_array_equal(middle, COLUMNS >= 30)


@pytest.mark.parametrize(
    ("known", "spacing", "message"),
    [
        ({0: np.zeros((8, 8), int), 1: np.zeros((8, 9), int)}, (1, 1), "alike"),
        ({0: np.zeros((8, 8, 8), int)}, (1, 1), "alike"),
        ({0: np.zeros((8, 8))}, (1, 1), "whole numbers"),
        ({0: np.zeros((8, 8), int)}, (0, 1), "positive"),
    ],
)
def test_what_cannot_be_filled_is_said_in_a_sentence(known, spacing, message):
    with pytest.raises(ImageError, match=message):
        fill_between(known, [0], spacing)


def test_signed_distances_are_measured_from_the_border_in_units_of_the_spacing():
    mask = np.zeros((9, 9), bool)
    mask[:, 3:6] = True
    distance = signed_distance(mask, (1.0, 2.0))
    np.testing.assert_allclose(distance[4], [-5.5, -3.5, -1.5, 1.5, 3.5, 1.5, -1.5, -3.5, -5.5])
    assert np.isneginf(signed_distance(np.zeros((3, 3), bool))).all()
    np.testing.assert_allclose(signed_distance(np.ones((3, 3), bool))[1, 1], 1.5)
