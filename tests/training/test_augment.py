"""Views of a slice: image and mask move together, and only the image changes its values."""

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_adapter.sam.input_format import InputFormat
from napari_sam_adapter.training.augment import N_ORIENTATIONS, View, apply_view, draw_view


def blobs(height: int, width: int) -> Tensor:
    """Smooth values from 0 to 1, alike in no two orientations, (1, 1, height, width)."""
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    return (rows * (0.3 + 0.7 * columns**2))[None, None]


def rendered(view: View, picture: Tensor, size: int = 32):
    return apply_view(picture.expand(1, 3, -1, -1), picture, view, InputFormat(size))


def drawn_views(count: int) -> list[View]:
    rng = np.random.default_rng(1)
    return [draw_view(rng) for _ in range(count)]


@pytest.mark.parametrize("size_hw", [(32, 32), (40, 64), (90, 33)])
@pytest.mark.parametrize("view", drawn_views(8), ids=str)
def test_image_and_target_stay_aligned(size_hw, view):
    only_moved = View(orientation=view.orientation, crop=view.crop)
    image, target, _ = rendered(only_moved, blobs(*size_hw))
    torch.testing.assert_close(image, target.expand_as(image))
    assert target.std() > 0.01


def test_the_plain_view_changes_nothing():
    picture = blobs(32, 32)
    image, target, geometry = rendered(View(), picture)
    torch.testing.assert_close(target, picture)
    torch.testing.assert_close(image, picture.expand(1, 3, -1, -1))
    assert geometry.content_hw == (32, 32)


def test_the_orientations_are_the_eight_distinct_ones():
    picture = blobs(32, 32)
    found = [rendered(View(orientation=o), picture)[1][0, 0].numpy() for o in range(N_ORIENTATIONS)]
    plain = picture[0, 0].numpy()
    expected = [np.rot90(one, turns) for one in (plain, plain[:, ::-1]) for turns in range(4)]
    matches = [[np.allclose(f, e, atol=1e-6) for e in expected] for f in found]
    assert sorted(row.index(True) for row in matches) == list(range(8))
    assert all(sum(row) == 1 for row in matches)


def test_a_quarter_turn_of_an_oblong_slice_turns_its_geometry():
    _, target, geometry = rendered(View(orientation=1), blobs(16, 32))
    assert geometry.content_hw == (32, 16)
    assert target[..., 16:].abs().max() == 0
    assert target[..., :16].max() > 0.9


def test_a_crop_fills_the_input_with_the_part_it_keeps():
    picture = torch.zeros(1, 1, 40, 40)
    picture[..., 10:30, 20:40] = 1
    _, target, geometry = rendered(View(crop=(0.25, 0.5, 0.5)), picture)
    assert geometry.content_hw == (32, 32)
    assert target.min() > 0.999


def test_brightness_contrast_and_gamma_leave_the_target_alone():
    view = View(contrast=1.2, brightness=0.1, gamma=0.8)
    image, target, _ = rendered(view, blobs(32, 32))
    torch.testing.assert_close(target, blobs(32, 32))
    expected = ((blobs(32, 32) ** 0.8 - 0.5) * 1.2 + 0.6).clamp(0, 1)
    torch.testing.assert_close(image, expected.expand_as(image))


def test_brightness_does_not_reach_the_padding():
    image, _, geometry = rendered(View(brightness=0.1), blobs(16, 32))
    assert geometry.content_hw == (16, 32)
    assert image[..., 16:, :].abs().max() == 0


@pytest.mark.parametrize("size_hw", [(8, 8), (9, 200), (64, 48)])
def test_drawn_views_give_inputs_within_zero_to_one(size_hw):
    for view in drawn_views(40):
        image, target, _ = rendered(view, blobs(*size_hw))
        assert image.shape == (1, 3, 32, 32)
        assert target.shape == (1, 1, 32, 32)
        for x in (image, target):
            assert 0 <= float(x.min()) <= float(x.max()) <= 1 + 1e-6


def test_drawn_crops_lie_inside_the_slice_and_half_of_the_views_keep_all():
    views = drawn_views(400)
    for top, left, side in (view.crop for view in views):
        assert min(top, left) >= 0
        assert max(top, left) + side <= 1 + 1e-9
    assert np.mean([view.crop[2] == 1 for view in views]) == pytest.approx(0.5, abs=0.1)
    assert {view.orientation for view in views} == set(range(N_ORIENTATIONS))


def test_equal_seeds_draw_equal_views():
    assert drawn_views(5) == drawn_views(5)


def test_upright_views_are_cropped_and_brightened_but_never_turned():
    rng = np.random.default_rng(0)
    views = [draw_view(rng, "upright") for _ in range(40)]
    assert {view.orientation for view in views} == {0}
    assert len({view.crop for view in views}) > 5
    assert len({view.contrast for view in views}) == 40
