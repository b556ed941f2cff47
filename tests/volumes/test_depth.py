"""Which slider axis is the depth of an image."""

import pytest

from napari_sam_adapter.volumes.depth import Depth


@pytest.mark.parametrize(
    ("names", "axis"),
    [
        ("z", 0),
        ("t", 0),
        ("c", None),
        ("", None),
        ("tz", 1),
        ("zc", 0),
        ("tzc", 1),
        ("tcz", 2),
        ("tc", 0),
        ("ct", 1),
        ("zt", 0),
        ("ty", 1),
        ("x", 0),
        ("??", 1),
        ("?c", 0),
        ("p?c", 1),
    ],
)
def test_space_comes_before_time_and_both_before_what_nobody_knows_but_never_channels(names, axis):
    assert Depth.of(names, [5] * len(names)).axis == axis
    assert bool(Depth.of(names, [5] * len(names))) is (axis is not None)


@pytest.mark.parametrize("words", [("Time", "Channels"), ("frames", "Ch"), ("TIME", "channel")])
def test_words_name_axes_as_well_as_letters(words):
    assert Depth.of(words, (3, 3)).axis == 0


def test_an_axis_of_a_single_slice_is_not_the_depth_where_another_has_more():
    assert Depth.of("tz", (9, 1)).axis == 0
    assert Depth.of(("-4", "-3"), (9, 1)).axis == 0
    assert Depth.of("z", (1,)).axis == 0


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_a_slice_is_a_place_on_a_line(axis):
    depth, index = Depth(axis), (4, 5, 6)
    assert depth.at(depth.line(index), depth.place(index)) == index
    assert len(depth.line(index)) == (3 if axis is None else 2)


def test_it_is_known_where_the_depth_is_time():
    assert Depth.of("tc", (4, 3)).is_time
    assert Depth.of(("z", "frames"), (1, 3)).is_time
    assert not Depth.of("tz", (4, 3)).is_time
    assert not Depth.of("?", (3,)).is_time
