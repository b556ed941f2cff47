"""What the sample data promises: repeatable frames, exact masks, no colour shortcut."""

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_adapter.data.synthetic import SyntheticStack, synthetic_polyps


@pytest.fixture(scope="module")
def stack() -> SyntheticStack:
    return synthetic_polyps(40, (128, 128), seed=7)


def best_threshold_dice(feature: np.ndarray, mask: np.ndarray) -> float:
    """Dice of the best threshold of a feature, in either direction, chosen knowing the mask."""
    best = 0.0
    for threshold in np.quantile(feature, np.linspace(0, 1, 40)):
        for found in (feature > threshold, feature <= threshold):
            overlap = np.count_nonzero(found & mask)
            best = max(best, 2 * overlap / (np.count_nonzero(found) + np.count_nonzero(mask)))
    return best


def colour_features(frame: np.ndarray) -> dict[str, np.ndarray]:
    # Smoothed, so that the noise of single pixels does not make the colours look less telling.
    red, green, blue = np.moveaxis(ndimage.gaussian_filter(frame.astype(float), (1, 1, 0)), -1, 0)
    return {
        "red": red,
        "green": green,
        "blue": blue,
        "grey": (red + green + blue) / 3,
        "red / green": red / (green + 1),
        "red / blue": red / (blue + 1),
    }


@pytest.mark.parametrize("size_hw", [(32, 32), (96, 160), (160, 96), (65, 77)])
def test_shapes_and_dtypes_are_as_promised(size_hw):
    stack = synthetic_polyps(3, size_hw)
    assert stack.frames.shape == (3, *size_hw, 3)
    assert stack.masks.shape == (3, *size_hw)
    assert stack.frames.dtype == stack.masks.dtype == np.uint8


def test_by_default_there_are_24_frames_of_256_by_256():
    stack = synthetic_polyps()
    assert stack.frames.shape == (24, 256, 256, 3)
    assert stack.masks.any(axis=(1, 2)).all()


def test_the_same_seed_gives_the_same_frames():
    first, second = (synthetic_polyps(3, (64, 64), seed=5, empty_share=0.4) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.masks, second.masks)


def test_another_seed_gives_other_frames():
    first, second = (synthetic_polyps(3, (64, 64), seed=seed) for seed in (0, 1))
    assert (first.frames != second.frames).any(axis=(1, 2, 3)).all()
    assert (first.masks != second.masks).any(axis=(1, 2)).all()


def test_the_global_random_state_is_left_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    synthetic_polyps(1, (32, 32))
    assert np.random.random() == expected


@pytest.mark.parametrize("empty_share", [0.0, 0.3, 1.0])
def test_asking_for_more_frames_keeps_the_first_ones(empty_share):
    few = synthetic_polyps(4, (48, 48), seed=2, empty_share=empty_share)
    many = synthetic_polyps(9, (48, 48), seed=2, empty_share=empty_share)
    np.testing.assert_array_equal(few.frames, many.frames[:4])
    np.testing.assert_array_equal(few.masks, many.masks[:4])


def test_masks_are_binary_and_never_empty_unless_asked(stack):
    assert set(np.unique(stack.masks)) == {0, 1}
    assert stack.masks.any(axis=(1, 2)).all()


def test_lesions_vary_in_size_and_never_fill_the_frame(stack):
    area = stack.masks.mean(axis=(1, 2))
    assert area.min() > 0.005
    assert area.max() < 0.4
    assert area.max() > 3 * area.min()


def test_most_frames_hold_one_lesion_and_some_hold_two():
    masks = synthetic_polyps(120, (48, 48), seed=1).masks
    counts = [ndimage.label(mask)[1] for mask in masks]
    assert set(counts) == {1, 2}
    assert 0.05 < np.mean(np.equal(counts, 2)) < 0.3


@pytest.mark.parametrize(
    ("empty_share", "n_frames", "counts"),
    [(0.25, 12, {3}), (0.1, 20, {2}), (0.5, 7, {3, 4}), (0.9, 10, {9}), (1.0, 5, {5})],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_empty_share_sets_the_count_of_frames_without_lesion(empty_share, n_frames, counts, seed):
    masks = synthetic_polyps(n_frames, (32, 32), seed=seed, empty_share=empty_share).masks
    assert np.count_nonzero(~masks.any(axis=(1, 2))) in counts


def test_the_seed_places_the_empty_frames():
    def empty_frames(seed: int) -> tuple[bool, ...]:
        masks = synthetic_polyps(8, (32, 32), seed=seed, empty_share=0.25).masks
        return tuple(~masks.any(axis=(1, 2)))

    assert len({empty_frames(seed) for seed in range(6)}) > 1


def test_a_lesion_changes_the_frame_where_its_mask_is():
    with_lesion = synthetic_polyps(6, (96, 96), seed=4)
    without = synthetic_polyps(6, (96, 96), seed=4, empty_share=1.0)
    change = np.abs(with_lesion.frames.astype(int) - without.frames).mean(axis=-1)
    inside = with_lesion.masks.astype(bool)
    assert change[inside].mean() > 4 * change[~inside].mean()


def test_frames_are_reddish_lit_and_neither_black_nor_burnt_out(stack):
    red, green, blue = stack.frames.reshape(-1, 3).mean(axis=0)
    assert red > 1.3 * green > 1.3 * blue
    assert (np.median(stack.frames[..., 0], axis=(1, 2)) > 60).all()
    assert ((stack.frames.min(axis=-1) > 250).mean(axis=(1, 2)) < 0.1).all()


def test_highlights_lie_off_the_lesion_too(stack):
    bright = stack.frames.min(axis=-1) > 200
    off_lesion = (bright & (stack.masks == 0)).any(axis=(1, 2))
    assert off_lesion.mean() > 0.8


def test_a_colour_threshold_does_not_find_the_lesion(stack):
    dice = {name: [] for name in colour_features(stack.frames[0])}
    for frame, mask in zip(stack.frames, stack.masks.astype(bool), strict=True):
        for name, feature in colour_features(frame).items():
            dice[name].append(best_threshold_dice(feature, mask))
    assert {name: np.mean(values) for name, values in dice.items() if np.mean(values) > 0.5} == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_frames": 0}, r"n_frames must be at least 1, got 0"),
        ({"size_hw": (31, 64)}, r"at least 32 pixels, got \(31, 64\)"),
        ({"size_hw": (64, 64, 3)}, r"two sides of at least 32 pixels, got \(64, 64, 3\)"),
        ({"seed": -1}, r"seed must be at least 0, got -1"),
        ({"empty_share": 1.5}, r"empty_share must be within \[0, 1\], got 1\.5"),
        ({"empty_share": float("nan")}, r"empty_share must be within \[0, 1\], got nan"),
    ],
)
def test_a_bad_argument_is_refused_with_what_was_expected_and_given(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic_polyps(**arguments)
