"""Volumes predicted along three axes."""

import numpy as np
import pytest

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.three_axes import predict_three_axes
from napari_sam_adapter.volumes.tiling import EMPTY_LOGIT


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(10, 12, 14)).astype(np.float32)


def by_voxel(image: np.ndarray) -> np.ndarray:
    grey = image if image.ndim == 2 else image.mean(axis=-1)
    return np.stack([3 * grey, -grey]).astype(np.float32)


def test_slices_that_agree_give_what_they_agree_on(volume):
    found = predict_three_axes(volume, by_voxel, 2)
    assert found.dtype == np.float16
    assert found.shape == (2, *volume.shape)
    np.testing.assert_allclose(found, [3 * volume, -volume], rtol=5e-3, atol=5e-3)


def test_every_voxel_gets_the_mean_of_the_three_slices_through_it(volume):
    def mean_of_slice(image: np.ndarray) -> np.ndarray:
        return np.full((1, *image.shape), image.mean(), np.float32)

    means = [volume.mean(axis=axes, keepdims=True) for axes in ((1, 2), (0, 2), (0, 1))]
    found = predict_three_axes(volume, mean_of_slice, 1)[0]
    np.testing.assert_allclose(found, sum(means) / 3, atol=2e-3)
    weighted = predict_three_axes(volume, mean_of_slice, 1, weights=(2, 1, 1))[0]
    np.testing.assert_allclose(weighted, (2 * means[0] + means[1] + means[2]) / 4, atol=2e-3)


def test_a_direction_of_weight_zero_is_not_predicted(volume):
    seen = []

    def predict(image: np.ndarray) -> np.ndarray:
        seen.append(image)
        return by_voxel(image)

    predict_three_axes(volume, predict, 2, weights=(1, 0, 0))
    np.testing.assert_array_equal(seen, volume)


def test_the_model_sees_square_pixels_whatever_the_spacing(volume):
    shapes = []

    def predict(image: np.ndarray) -> np.ndarray:
        shapes.append(image.shape)
        return by_voxel(image)

    predict_three_axes(volume, predict, 2, spacing=(5.0, 1.0, 2.0))
    assert set(shapes) == {(12, 28), (25, 14), (50, 12)}
    assert len(shapes) == sum(volume.shape)


def test_logits_of_stretched_slices_lie_where_their_voxels_are():
    z, y, x = np.indices((16, 14, 18)).astype(np.float32)
    volume = 0.3 * z - 0.2 * y + 0.1 * x
    found = predict_three_axes(volume, by_voxel, 2, spacing=(4.0, 1.0, 2.0))
    inside = (slice(None), *[slice(1, -1)] * 3)  # sampling holds the outermost values
    np.testing.assert_allclose(found[inside], np.stack([3 * volume, -volume])[inside], atol=2e-2)


def test_colour_volumes_are_predicted_slice_by_slice_in_colour(volume):
    colour = np.stack([volume, volume + 1, volume - 1], axis=-1)
    found = predict_three_axes(colour, by_voxel, 2, spacing=(2, 1, 1))
    assert found.shape == (2, *volume.shape)


def test_a_slice_without_contrast_has_no_say():
    volume = np.random.default_rng(1).normal(size=(9, 9, 9)).astype(np.float32)
    volume[4] = 0
    found = predict_three_axes(volume, by_voxel, 2)
    np.testing.assert_allclose(found[0], 3 * volume, rtol=5e-3, atol=5e-3)


def test_nothing_is_found_in_a_volume_without_contrast():
    found = predict_three_axes(np.ones((9, 9, 9), np.uint8), by_voxel, 2)
    assert (found == EMPTY_LOGIT).all()


def test_half_precision_and_integer_volumes_are_stretched_too(volume):
    for dtype in (np.float16, np.int16, ">i2"):
        scaled = (100 * volume).astype(dtype)
        found = predict_three_axes(scaled, by_voxel, 2, spacing=(3, 1, 1))
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("shape", "spacing", "weights", "message"),
    [
        ((9, 9), (1, 1, 1), (1, 1, 1), "axes"),
        ((9, 9, 9, 5), (1, 1, 1), (1, 1, 1), "axes"),
        ((9, 9, 9), (0, 1, 1), (1, 1, 1), "positive"),
        ((9, 9, 9), (1, 1, 1e-3), (1, 1, 1), "same unit"),
        ((9, 9, 9), (1, 1, 1), (0, 0, 0), "Weights"),
        ((9, 9, 9), (1, 1, 1), (1, -1, 1), "Weights"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(shape, spacing, weights, message):
    with pytest.raises(ImageError, match=message):
        predict_three_axes(np.zeros(shape), by_voxel, 1, spacing, weights)


def test_a_thin_volume_is_refused_unless_its_slices_lie_far_apart():
    thin = np.random.default_rng(2).normal(size=(3, 12, 12)).astype(np.float32)
    with pytest.raises(ImageError, match="across Y have 3 x 12 pixels, and at least 8 x 8"):
        predict_three_axes(thin, by_voxel, 2)
    assert predict_three_axes(thin, by_voxel, 2, spacing=(3, 1, 1)).shape == (2, *thin.shape)
