"""Masks come at the slice's own size and depend on the picture, not on its number format."""

import numpy as np
import pytest

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.encode import encode_image
from napari_sam_adapter.sam.predict import decode_masks, predict_masks
from napari_sam_adapter.sam.prompts import Prompts


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


def test_a_tuned_model_predicts_something_else(tuned_sam, frame):
    expected = predict_masks(AdaptedSam(tuned_sam.base, tuned_sam.settings), frame)
    found = predict_masks(tuned_sam, frame)
    assert np.abs(found.low_res_masks - expected.low_res_masks).max() > 0.1


def test_a_slice_without_contrast_is_refused(lite_medsam):
    with pytest.raises(ImageError, match="nothing to segment"):
        predict_masks(lite_medsam, np.zeros((32, 32)))


@pytest.mark.parametrize("shape", [(50, 80), (64, 64)])
def test_views_are_mirror_images_whose_masks_are_mirrored_back(tuned_sam, shape):
    """A picture and its mirror image are the same views in another order."""
    frame = synthetic_polyps(1, shape, seed=2).frames[0]
    found = predict_masks(tuned_sam, frame, views=4)
    mirrored = predict_masks(tuned_sam, np.ascontiguousarray(frame[:, ::-1]), views=4)
    np.testing.assert_allclose(
        found.probabilities(), mirrored.probabilities()[..., ::-1], atol=1e-4
    )
    alone = predict_masks(tuned_sam, frame)
    assert np.abs(found.probabilities() - alone.probabilities()).max() > 0.01


def test_the_mask_of_several_views_has_the_mean_of_their_probabilities(tuned_sam, frame):
    found = predict_masks(tuned_sam, frame, views=2)
    turned = np.ascontiguousarray(frame[::-1, ::-1])
    parts = [predict_masks(tuned_sam, one).probabilities() for one in (frame, turned)]
    expected = (parts[0] + parts[1][:, ::-1, ::-1]) / 2
    # The mean is taken at the input's size and scaled as logits, hence the tolerance.
    assert np.abs(found.probabilities() - expected).mean() < 0.01


@pytest.mark.parametrize("shape", [(50, 80), (64, 64)])
def test_prompts_are_mirrored_with_the_views(tuned_sam, shape):
    frame = synthetic_polyps(1, shape, seed=2).frames[0]
    tuned_sam.settings = tuned_sam.settings.with_changes(box_answers="adapter")
    prompts = (
        Prompts(np.array([[10, 10, 40, 30]], np.float32)),
        Prompts(points=np.array([[20, 12]], np.float32), is_object=np.array([True])),
    )
    for prompt in prompts:
        found = predict_masks(tuned_sam, frame, prompt, views=4)
        other = np.ascontiguousarray(frame[:, ::-1])
        mirrored = predict_masks(tuned_sam, other, prompt.mirrored((-1,), shape), views=4)
        difference = np.abs(found.probabilities() - mirrored.probabilities()[..., ::-1])
        # Pixel centres lie half a pixel beside the corners that SAM scales by.
        assert difference.mean() < 0.02
        alone = predict_masks(tuned_sam, frame, prompt)
        assert np.abs(found.probabilities() - alone.probabilities()).max() > 0.01
