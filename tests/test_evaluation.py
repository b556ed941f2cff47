"""Scores of image and mask files."""

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.evaluation import (
    Evaluation,
    ImageScore,
    evaluate_image,
    evaluate_pairs,
    read_pair,
)
from napari_sam_adapter.metrics import dice
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.samples import TrainingSample

POLYPS = Path(__file__).parents[1] / ".." / "shared" / "data" / "kvasir_seg_352"


def saved(path: Path, picture: np.ndarray) -> Path:
    Image.fromarray(picture).save(path)
    return path


def real_pairs(part: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    images = sorted((POLYPS / part / "images").iterdir())[:count]
    masks = sorted((POLYPS / part / "masks").iterdir())[:count]
    return [read_pair(image, mask) for image, mask in zip(images, masks, strict=True)]


def test_files_are_scored_as_the_arrays_they_hold(lite_medsam, stack, tmp_path):
    pairs = [
        (saved(tmp_path / f"{i}.png", stack.frames[i]), saved(tmp_path / f"m{i}.png", mask))
        for i, mask in enumerate(stack.masks[:2])
    ]
    scores = list(evaluate_pairs(lite_medsam, pairs))
    assert [score.name for score in scores] == ["0.png", "1.png"]
    for score, frame, mask in zip(scores, stack.frames, stack.masks, strict=False):
        expected = dice(predict_masks(lite_medsam, frame).mask, mask.astype(bool))
        assert score.dice == pytest.approx(expected)
        assert score.iou == pytest.approx(expected / (2 - expected))
        assert score.seconds > 0


def test_a_prediction_scores_perfectly_against_itself(lite_medsam, stack):
    mask = predict_masks(lite_medsam, stack.frames[0]).mask
    score = evaluate_image(lite_medsam, stack.frames[0], mask, "itself")
    assert (score.dice, score.iou) == (1.0, 1.0)


def test_the_mean_is_taken_over_images_and_the_median_over_times():
    values = [(0.2, 0.1, 9.0), (0.4, 0.3, 1.0), (0.9, 0.8, 2.0)]
    result = Evaluation(tuple(ImageScore("a", *value) for value in values))
    assert result.n == 3
    assert result.dice == pytest.approx(0.5)
    assert result.iou == pytest.approx(0.4)
    assert result.seconds_per_image == 2.0


def test_a_mask_of_another_size_is_refused_with_both_names(tmp_path):
    image = saved(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    mask = saved(tmp_path / "a_mask.png", np.zeros((30, 20), np.uint8))
    with pytest.raises(ImageError, match=r"a\.png is 20 x 30 .* a_mask\.png is 30 x 20"):
        read_pair(image, mask)


def test_a_stack_is_refused_where_one_picture_is_expected(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 20, 30), np.uint8))
    mask = saved(tmp_path / "m.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(ImageError, match=r"a\.tif holds a stack"):
        read_pair(tmp_path / "a.tif", mask)


def test_an_image_without_contrast_is_named(lite_medsam, tmp_path):
    image = saved(tmp_path / "black.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(ImageError, match=r"black\.png"):
        list(evaluate_pairs(lite_medsam, [(image, image)]))


@pytest.mark.skipif(not POLYPS.is_dir(), reason="the real polyp images are not on this machine")
def test_training_on_real_polyps_finds_others_better(fresh_sam):
    held_out = real_pairs("val", 4)

    def mean_dice() -> float:
        scores = [evaluate_image(fresh_sam, image, mask, "").dice for image, mask in held_out]
        return float(np.mean(scores))

    before = mean_dice()
    samples = [TrainingSample(*pair, "polyp") for pair in real_pairs("train", 8)]
    settings = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=40)
    for _ in train_adapter(fresh_sam, samples, settings):
        pass
    assert mean_dice() > before + 0.05
