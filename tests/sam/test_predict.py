"""Masks come at the slice's own size and depend on the picture, not on its number format."""

import numpy as np
import pytest

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.sam.predict import decode_masks, encode_image, predict_masks


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return synthetic_polyps(1, (70, 110), seed=2).frames[0]


@pytest.fixture(scope="module")
def expected(lite_medsam, frame):
    return predict_masks(lite_medsam, frame)


def test_the_mask_is_boolean_and_of_the_slices_size(expected):
    assert expected.mask.dtype == np.bool_
    assert expected.mask.shape == (70, 110)


def test_the_low_resolution_logits_cover_the_padded_input(expected):
    assert expected.low_res_masks.shape == (1, 128, 128)
    assert expected.low_res_masks.dtype == np.float32


def test_encoding_once_and_decoding_twice_gives_the_same_mask(lite_medsam, frame, expected):
    embedding = encode_image(lite_medsam, frame)
    for _ in range(2):
        found = decode_masks(lite_medsam, embedding)
        np.testing.assert_array_equal(found.mask, expected.mask)


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame.astype(np.uint16) * 200,
        lambda frame: frame.astype(np.float64) / 7 - 3,
        lambda frame: np.dstack([frame, np.full(frame.shape[:2], 128, np.uint8)]),
    ],
    ids=["uint16", "float", "alpha"],
)
def test_the_number_format_of_a_picture_does_not_matter(lite_medsam, frame, expected, convert):
    found = predict_masks(lite_medsam, convert(frame))
    np.testing.assert_allclose(found.low_res_masks, expected.low_res_masks, atol=1e-2)


def test_a_tuned_model_predicts_something_else(tuned_sam, frame, expected):
    found = predict_masks(tuned_sam, frame)
    assert np.abs(found.low_res_masks - expected.low_res_masks).max() > 0.1


def test_a_slice_without_contrast_is_refused(lite_medsam):
    with pytest.raises(ImageError, match="nothing to segment"):
        predict_masks(lite_medsam, np.zeros((32, 32)))
