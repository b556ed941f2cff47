"""Slices of any size and type in, masks at the slice's own size out."""

import numpy as np
import pytest
import torch

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.sam.input_format import InputFormat, InputGeometry
from napari_sam_adapter.sam.preprocess import (
    encoder_input,
    logits_at_original_size,
)
from napari_sam_adapter.volumes.slice_source import check_slice

RAMP = np.arange(16 * 16).reshape(16, 16) / 255


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def rectangle(shape_hw: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(shape_hw, bool)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize("size_hw", [(32, 32), (20, 50), (50, 20), (300, 9)])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_the_input_is_square_and_spans_zero_to_one(size_hw, channels):
    x, geometry = encoder_input(noise(*size_hw, *channels), InputFormat(64))
    assert x.shape == (1, 3, 64, 64)
    assert x.dtype == torch.float32
    assert 0 <= float(x.min()) < float(x.max()) <= 1
    assert max(geometry.content_hw) == 64
    assert geometry.original_hw == size_hw


def test_the_long_side_fills_the_input_and_the_rest_is_zero():
    x, geometry = encoder_input(noise(40, 100) + 1, InputFormat(64))
    assert geometry.content_hw == (26, 64)
    assert x[..., 26:, :].abs().max() == 0
    assert x[..., :26, :].mean() > 0.3


@pytest.mark.parametrize(
    "image",
    [
        RAMP,
        RAMP.astype(np.float32),
        RAMP.astype(np.float16),
        (RAMP * 255).astype(np.uint8),
        (RAMP * 255 + 40_000).astype(np.uint16),
        (RAMP * 255 - 1000).astype(np.int16),
        (RAMP * 255).astype(np.int64),
        1000 * RAMP - 5,
    ],
    ids=lambda image: f"{image.dtype} from {image.min():.0f}",
)
def test_values_are_stretched_between_the_slices_own_extremes(image):
    x, _ = encoder_input(image, InputFormat(16))
    expected = torch.from_numpy(RAMP).float().expand(1, 3, -1, -1)
    torch.testing.assert_close(x, expected, atol=2e-3, rtol=0)


def test_a_small_range_on_a_large_offset_keeps_its_contrast():
    image = (RAMP * 255).astype(np.int64) + 2**30
    x, _ = encoder_input(image, InputFormat(16))
    torch.testing.assert_close(x[0, 0], torch.from_numpy(RAMP).float(), atol=2e-3, rtol=0)


def test_a_boolean_image_becomes_zeros_and_ones():
    image = rectangle((16, 16), slice(2, 9), slice(3, 12))
    x, _ = encoder_input(image, InputFormat(16))
    np.testing.assert_array_equal(x[0, 1].numpy(), image.astype(np.float32))


def test_grey_equals_three_equal_channels():
    image = noise(20, 30)
    grey, _ = encoder_input(image, InputFormat(32))
    colour, _ = encoder_input(np.repeat(image[..., None], 3, axis=-1), InputFormat(32))
    torch.testing.assert_close(grey, colour)


def test_nan_and_infinite_pixels_count_as_the_smallest_finite_value():
    image = RAMP + 3
    broken, mended = image.copy(), image.copy()
    broken[4, 4:7] = np.nan, np.inf, -np.inf
    mended[4, 4:7] = image.min()
    torch.testing.assert_close(
        encoder_input(broken, InputFormat(16))[0], encoder_input(mended, InputFormat(16))[0]
    )


@pytest.mark.parametrize("extreme", [1e300, np.finfo(np.float32).max])
def test_extreme_but_finite_pixels_give_a_finite_input(extreme):
    image = noise(16, 16)
    image[0, 0], image[0, 1] = -extreme, extreme
    x, _ = encoder_input(image, InputFormat(16))
    assert torch.isfinite(x).all()


def test_alpha_is_ignored():
    colour = (noise(16, 20, 3) * 200).astype(np.uint8)
    alpha = (noise(16, 20, 1) * 255).astype(np.uint8)
    with_alpha = np.concatenate([colour, alpha], axis=-1)
    torch.testing.assert_close(
        encoder_input(with_alpha, InputFormat(32))[0], encoder_input(colour, InputFormat(32))[0]
    )


@pytest.mark.parametrize(
    "image",
    [
        np.full((16, 16), 7, np.uint8),
        np.zeros((16, 16, 3)),
        np.full((16, 16), np.nan),
        np.where(RAMP > 0.5, np.nan, 1.0),
        np.ones((16, 16), bool),
    ],
    ids=["grey", "colour", "all NaN", "one value and NaN", "bool"],
)
def test_a_slice_without_contrast_is_refused(image):
    with pytest.raises(ImageError, match="nothing to segment"):
        encoder_input(image, InputFormat(16))


@pytest.mark.parametrize("alpha", [255, np.arange(256).reshape(16, 16)], ids=["opaque", "varying"])
def test_a_colour_without_contrast_is_refused_whatever_its_alpha(alpha):
    image = np.full((16, 16, 4), 90, np.uint8)
    image[..., 3] = alpha
    with pytest.raises(ImageError, match="nothing to segment"):
        encoder_input(image, InputFormat(16))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1), "1 x 1 pixels; at least 8 x 8"),
        ((0, 0), "0 x 0 pixels"),
        ((0, 20), "0 x 20 pixels"),
        ((7, 300), "7 x 300 pixels"),
        ((20,), r"must be \(Y, X\) grey or \(Y, X, 3\) colour"),
        ((20, 20, 2), r"has shape \(20, 20, 2\)"),
        ((5, 20, 20, 3), r"has shape \(5, 20, 20, 3\)"),
    ],
)
def test_a_slice_of_an_impossible_shape_is_refused(shape, message):
    with pytest.raises(ImageError, match=message):
        check_slice(noise(*shape))


@pytest.mark.parametrize("dtype", [np.complex64, object, "U1"])
def test_pixels_that_are_no_real_numbers_are_refused(dtype):
    with pytest.raises(ImageError, match="integers or real numbers"):
        check_slice(np.zeros((16, 16), dtype))


@pytest.mark.parametrize("size_hw", [(90, 150), (150, 90), (64, 64), (333, 517), (40, 30)])
@pytest.mark.parametrize("low_res", [64, 128])
def test_a_rectangle_in_the_logits_lands_in_the_right_place(size_hw, low_res):
    geometry = InputGeometry.fit(size_hw, 128)
    height, width = size_hw
    rows, columns = slice(height // 4, height // 2), slice(width // 3, width // 6 * 5)
    scale = low_res / max(size_hw)
    painted = rectangle(
        (low_res, low_res),
        slice(round(rows.start * scale), round(rows.stop * scale)),
        slice(round(columns.start * scale), round(columns.stop * scale)),
    )
    logits = torch.from_numpy(np.where(painted, 10.0, -10.0))[None, None]
    found = logits_at_original_size(logits, geometry)[0, 0].numpy() > 0
    assert found.shape == size_hw
    where = np.argwhere(found)
    edges = [*where.min(axis=0), *(where.max(axis=0) + 1)]
    expected = [rows.start, columns.start, rows.stop, columns.stop]
    np.testing.assert_allclose(edges, expected, atol=1 + 0.6 / scale)


def test_padding_does_not_bleed_into_the_slice():
    geometry = InputGeometry.fit((32, 128), 128)
    logits = torch.full((1, 1, 128, 128), 10.0)
    logits[..., 32:, :] = -1000.0
    assert logits_at_original_size(logits, geometry).min() > 0


def test_imagenet_normalisation_is_sams():
    """SAM: (value - pixel_mean) / pixel_std on 0..255, then zeros as padding."""
    image = (noise(24, 32, 3) * 255).astype(np.uint8)
    x, _ = encoder_input(image, InputFormat(32, "imagenet"))
    mean, deviation = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    expected = (image.astype(np.float64) - mean) / deviation
    np.testing.assert_allclose(x[0, :, :24].permute(1, 2, 0), expected, atol=1e-5)
    assert not x[0, :, 24:].any()


def test_imagenet_normalisation_scales_other_types_by_their_range():
    image = noise(32, 32)
    full_range = np.round(255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    seen, expected = (
        encoder_input(one, InputFormat(32, "imagenet"))[0] for one in (image, full_range)
    )
    torch.testing.assert_close(seen, expected, atol=0.02, rtol=0)


def test_a_squashed_slice_fills_the_input_and_comes_back_at_its_size():
    x, geometry = encoder_input(noise(20, 60), InputFormat(32, fit="squash"))
    assert x.shape == (1, 3, 32, 32)
    assert geometry.content_hw == (32, 32)
    assert x[0, 0, -1].any()
    assert logits_at_original_size(torch.zeros(1, 2, 8, 8), geometry).shape == (1, 2, 20, 60)


@pytest.mark.parametrize("values", [{"normalisation": "z-score"}, {"fit": "stretch"}])
def test_an_unknown_input_format_is_refused(values):
    with pytest.raises(ValueError, match="unknown"):
        InputFormat(32, **values)
