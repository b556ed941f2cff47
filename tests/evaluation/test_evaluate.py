"""Scores of image and mask files."""

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.data.pairs import read_pair
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.errors import EvaluationError, ImageError
from napari_sam_adapter.evaluation.evaluate import (
    Evaluation,
    ImageScore,
    evaluate_image,
    evaluate_pairs,
    evaluate_stack,
    predict_for_scoring,
)
from napari_sam_adapter.evaluation.scores import ImageScores, Scoring
from napari_sam_adapter.metrics import dice, saliency, surface
from napari_sam_adapter.metrics.protocol import ORIGINAL, PAPER, resize_nearest
from napari_sam_adapter.metrics.saliency import rescaled, saliency_scores
from napari_sam_adapter.metrics.surface import SurfaceSettings, surface_scores
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.samples import TrainingSample

MASKS_ONLY = Scoring(saliency=False)
needs_library = pytest.mark.skipif(
    not (saliency.is_installed() and surface.is_installed()), reason="needs the extra 'metrics'"
)
POLYPS = Path(__file__).parents[2] / ".." / "shared" / "data" / "kvasir_seg_352"

NO_TRUTH = np.zeros((0, 0), bool)  # only prompts need it


def saved(path: Path, picture: np.ndarray) -> Path:
    Image.fromarray(picture).save(path)
    return path


def real_pairs(part: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    images = sorted((POLYPS / part / "images").iterdir())[:count]
    masks = sorted((POLYPS / part / "masks").iterdir())[:count]
    pairs = [read_pair(image, mask) for image, mask in zip(images, masks, strict=True)]
    return [(pair.image, pair.labels) for pair in pairs]


def test_files_are_scored_as_the_arrays_they_hold(lite_medsam, stack, tmp_path):
    pairs = [
        (saved(tmp_path / f"{i}.png", stack.frames[i]), saved(tmp_path / f"m{i}.png", mask))
        for i, mask in enumerate(stack.masks[:2])
    ]
    scores = list(evaluate_pairs(lite_medsam, pairs, MASKS_ONLY))
    assert [score.name for score in scores] == ["0.png", "1.png"]
    for score, frame, mask in zip(scores, stack.frames, stack.masks, strict=False):
        expected = dice(predict_masks(lite_medsam, frame).mask, mask.astype(bool))
        assert score.dice == pytest.approx(expected)
        assert score.iou == pytest.approx(expected / (2 - expected))
        assert score.seconds > 0


def test_a_prediction_scores_perfectly_against_itself(lite_medsam, stack):
    mask = predict_masks(lite_medsam, stack.frames[0]).mask
    score = evaluate_image(lite_medsam, stack.frames[0], mask, "itself", MASKS_ONLY)
    assert (score.dice, score.iou) == (1.0, 1.0)


def test_the_mean_is_taken_over_images_and_the_median_over_times():
    values = [(0.2, 0.1, 9.0), (0.4, 0.3, 1.0), (0.9, 0.8, 2.0)]
    scores = [ImageScores({"dice": one[0], "iou": one[1]}, {}) for one in values]
    per_image = (ImageScore("a", one, value[2]) for one, value in zip(scores, values, strict=True))
    result = Evaluation(tuple(per_image))
    assert result.n == 3
    overall = result.summary().overall
    assert overall["dice"].mean == pytest.approx(0.5)
    assert overall["iou"].mean == pytest.approx(0.4)
    assert result.seconds_per_image == 2.0


def predicted_maps(model, frame, scoring):
    found = predict_for_scoring(model, frame, NO_TRUTH, scoring)
    return found.labels, found.probabilities()


@pytest.mark.parametrize("protocol", [ORIGINAL, PAPER])
def test_masks_are_what_is_more_likely_than_not_at_the_size_of_the_protocol(lite_medsam, protocol):
    frame = synthetic_polyps(1, (60, 80), seed=6).frames[0]
    labels, probabilities = predicted_maps(lite_medsam, frame, Scoring(protocol=protocol))
    expected = (128, 128) if protocol is PAPER else (60, 80)
    assert labels.shape == expected
    assert probabilities.shape == (1, *expected)
    assert 0 <= probabilities.min() < 0.5 < probabilities.max() <= 1
    np.testing.assert_array_equal(labels == 1, probabilities[0] > 0.5)


def test_at_original_size_the_mask_is_the_one_that_is_predicted(lite_medsam, stack):
    labels, _ = predicted_maps(lite_medsam, stack.frames[0], Scoring(protocol=ORIGINAL))
    np.testing.assert_array_equal(labels, predict_masks(lite_medsam, stack.frames[0]).mask)


def test_at_the_networks_size_the_square_holds_the_whole_image_and_no_padding(lite_medsam):
    frame = synthetic_polyps(1, (40, 80), seed=6).frames[0]
    _, ours = predicted_maps(lite_medsam, frame, Scoring(protocol=ORIGINAL))
    _, papers = predicted_maps(lite_medsam, frame, Scoring(protocol=PAPER))
    # The same picture: made smaller again, it is the prediction at the image's own size.
    small = np.asarray(Image.fromarray(papers[0]).resize((80, 40), Image.Resampling.BOX))
    assert np.abs(small - ours[0]).mean() < 0.01


@needs_library
def test_the_papers_protocol_scores_at_the_networks_size(lite_medsam):
    scene = synthetic_polyps(1, (60, 80), seed=6)
    frame, truth = scene.frames[0], scene.masks[0].astype(bool)
    labels, probabilities = predicted_maps(lite_medsam, frame, Scoring(protocol=PAPER))
    resized = resize_nearest(truth, (128, 128))
    papers = evaluate_image(lite_medsam, frame, truth, "", Scoring(protocol=PAPER)).scores.overall
    assert papers["dice"] == dice(labels == 1, resized)
    expected = saliency_scores(rescaled(probabilities[0]), resized, weighted_f_beta=0.3)
    assert papers["weighted_f"] == expected.weighted_f
    ours = evaluate_image(lite_medsam, frame, truth, "").scores.overall
    assert all(ours[measure] != papers[measure] for measure in ours)
    assert ours["dice"] == pytest.approx(papers["dice"], abs=0.02)


@needs_library
def test_a_stack_is_scored_as_one_volume(lite_medsam, stack, tmp_path):
    frames, masks = stack.frames[:3, ..., 0], stack.masks[:3]
    tifffile.imwrite(tmp_path / "ct.tif", frames)
    tifffile.imwrite(tmp_path / "ct_mask.tif", 255 * masks)
    settings = SurfaceSettings((3.0, 0.5, 0.5))
    pairs = [(tmp_path / "ct.tif", tmp_path / "ct_mask.tif")]
    (score,) = evaluate_pairs(lite_medsam, pairs, Scoring(surface=settings))
    predicted = np.stack([predict_masks(lite_medsam, frame).mask for frame in frames])
    assert score.dice == dice(predicted, masks > 0)
    expected = surface_scores(predicted, masks > 0, settings)
    assert score.scores.overall["hausdorff95"] == expected.hausdorff95
    assert score.name == "ct.tif"


@pytest.mark.parametrize("protocol", [ORIGINAL, PAPER])
def test_a_slice_without_contrast_is_predicted_empty(lite_medsam, stack, protocol):
    frames, masks = stack.frames[:2].copy(), stack.masks[:2].astype(bool)
    frames[1] = 7
    scoring = Scoring(protocol=protocol, saliency=False)
    found = evaluate_stack(lite_medsam, frames, masks, "", scoring)
    labels, _ = predicted_maps(lite_medsam, frames[0], Scoring(protocol=protocol))
    truth = np.stack([resize_nearest(mask, labels.shape) for mask in masks])
    assert found.dice == dice(np.stack([labels == 1, 0 * labels]), truth)


def test_a_spacing_for_volumes_is_refused_for_pictures_before_anything_is_predicted(tmp_path):
    image = saved(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    scoring = Scoring(saliency=False, surface=SurfaceSettings((3.0, 1.0, 1.0)))
    no_model = None
    with pytest.raises(EvaluationError, match=r"a\.png: The spacing 3,1,1 has 3 values"):
        list(evaluate_pairs(no_model, [(image, image)], scoring))


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        ((4, 20, 30), (5, 20, 30), r"4 x 20 x 30 voxels but .* 5 x 20 x 30 voxels"),
        ((4, 20, 30), (20, 30), r"4 x 20 x 30 voxels but .* 20 x 30 pixels"),
        ((2, 4, 20, 30), (2, 4, 20, 30), r"expected a picture or a stack"),
    ],
)
def test_volumes_that_do_not_fit_are_refused(tmp_path, image, mask, message):
    for name, shape in (("a.tif", image), ("m.tif", mask)):
        tifffile.imwrite(tmp_path / name, np.zeros(shape, np.uint8), photometric="minisblack")
    with pytest.raises(ImageError, match=message):
        read_pair(tmp_path / "a.tif", tmp_path / "m.tif")


def test_a_mask_of_another_size_is_refused_with_both_names(tmp_path):
    image = saved(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    mask = saved(tmp_path / "a_mask.png", np.zeros((30, 20), np.uint8))
    with pytest.raises(ImageError, match=r"a\.png is 20 x 30 .* a_mask\.png is 30 x 20"):
        read_pair(image, mask)


def test_an_image_without_contrast_is_named(lite_medsam, tmp_path):
    image = saved(tmp_path / "black.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(ImageError, match=r"black\.png"):
        list(evaluate_pairs(lite_medsam, [(image, image)], MASKS_ONLY))


@pytest.mark.skipif(not POLYPS.is_dir(), reason="the real polyp images are not on this machine")
def test_training_on_real_polyps_finds_others_better(fresh_sam):
    held_out = real_pairs("val", 4)

    def mean_dice() -> float:
        scores = [
            evaluate_image(fresh_sam, image, mask, "", MASKS_ONLY).dice for image, mask in held_out
        ]
        return float(np.mean(scores))

    before = mean_dice()
    samples = [TrainingSample(*pair, "polyp") for pair in real_pairs("train", 8)]
    settings = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=40)
    for _ in train_adapter(fresh_sam, samples, settings):
        pass
    assert mean_dice() > before + 0.05
