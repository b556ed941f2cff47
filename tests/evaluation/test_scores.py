"""Scores of images and volumes with one class or several."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.evaluation.scores import (
    ImageScores,
    Scoring,
    score_image,
    score_volume,
    summarise,
)
from napari_sam_adapter.metrics import balanced_error_rate, dice, iou, saliency, surface
from napari_sam_adapter.metrics.protocol import PAPER
from napari_sam_adapter.metrics.saliency import rescaled, saliency_scores
from napari_sam_adapter.metrics.surface import SurfaceSettings, surface_scores

needs_library = pytest.mark.skipif(
    not (saliency.is_installed() and surface.is_installed()), reason="needs the extra 'metrics'"
)
MASKS_ONLY = Scoring(saliency=False)
TWO_CLASSES = Scoring(("polyp", "tool"), saliency=False)


def example(seed: int, n_classes: int = 1, shape=(20, 24)) -> tuple[np.ndarray, ...]:
    """Return probabilities of noisy blobs, the labels they give, and a truth much like them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    centres = rng.uniform(5, 15, (n_classes, 2))
    distances = np.array([np.hypot(y - cy, x - cx) for cy, cx in centres])
    probabilities = np.clip(1.1 - distances / 10 + rng.normal(0, 0.1, distances.shape), 0, 1)
    labels = np.where(probabilities.max(0) > 0.5, probabilities.argmax(0) + 1, 0).astype(np.uint8)
    truth = np.where(distances.min(0) < 6, distances.argmin(0) + 1, 0)
    return labels, probabilities, truth


def flat(labels: np.ndarray, n_classes: int) -> np.ndarray:
    return np.zeros((n_classes, *labels.shape))


@needs_library
def test_an_image_gets_the_scores_of_each_measure():
    labels, probabilities, truth = example(0)
    settings = SurfaceSettings((1.0, 0.5), 1.0)
    found = score_image(labels, probabilities, truth, Scoring(surface=settings))
    mask, wanted = labels > 0, truth > 0
    assert found.overall == {
        "dice": dice(mask, wanted),
        "iou": iou(mask, wanted),
        "balanced_error_rate": balanced_error_rate(mask, wanted),
        **asdict(saliency_scores(probabilities[0], wanted)),
        **asdict(surface_scores(mask, wanted, settings)),
    }
    assert found.classes == {"object": found.overall}


@needs_library
def test_each_class_is_scored_for_itself_and_overall_is_the_mean():
    labels, probabilities, truth = example(1, n_classes=2)
    found = score_image(labels, probabilities, truth, Scoring(("polyp", "tool")))
    for k, name in enumerate(["polyp", "tool"]):
        mask, wanted = labels == k + 1, truth == k + 1
        assert found.classes[name]["dice"] == dice(mask, wanted)
        assert found.classes[name]["mae"] == saliency_scores(probabilities[k], wanted).mae
    for measure, value in found.overall.items():
        each = [one[measure] for one in found.classes.values()]
        assert value == pytest.approx(np.mean(each))


def test_a_class_that_is_neither_there_nor_predicted_does_not_count():
    truth = np.zeros((4, 5), np.uint8)
    truth[:2] = 1
    labels = truth.copy()
    labels[1] = 0
    found = score_image(labels, flat(labels, 2), truth, TWO_CLASSES)
    assert list(found.classes) == ["polyp"]
    assert found.overall["dice"] == found.classes["polyp"]["dice"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("is_predicted", [True, False])
def test_a_class_that_is_missed_or_invented_counts_as_nothing_right(is_predicted):
    some, more = np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint8)
    some[:2] = more[:2] = 1
    more[3] = 2
    labels, truth = (more, some) if is_predicted else (some, more)
    found = score_image(labels, flat(labels, 2), truth, TWO_CLASSES)
    assert found.classes["tool"]["dice"] == 0.0
    assert found.overall["dice"] == 0.5


def test_an_empty_prediction_of_an_empty_image_is_right_in_every_class():
    nothing = np.zeros((4, 5), np.uint8)
    found = score_image(nothing, flat(nothing, 2), nothing, TWO_CLASSES)
    assert [found.classes[name]["dice"] for name in ("polyp", "tool")] == [1.0, 1.0]
    assert found.overall["iou"] == 1.0
    assert math.isnan(found.overall["balanced_error_rate"])


def test_overall_is_the_mean_over_the_classes_where_a_measure_is_defined():
    truth = np.ones((4, 5), np.uint8)
    labels = truth.copy()
    labels[0] = 2
    found = score_image(labels, flat(labels, 2), truth, TWO_CLASSES)
    assert all(math.isnan(one["balanced_error_rate"]) for one in found.classes.values())
    assert math.isnan(found.overall["balanced_error_rate"])
    truth[3] = 0
    found = score_image(labels, flat(labels, 2), truth, TWO_CLASSES)
    only = found.classes["polyp"]["balanced_error_rate"]
    assert found.overall["balanced_error_rate"] == only == 50 * (1 + 5 / 15)


def test_measures_that_were_not_asked_for_are_absent():
    labels, probabilities, truth = example(2)
    found = score_image(labels, probabilities, truth, MASKS_ONLY)
    assert set(found.overall) == {"dice", "iou", "balanced_error_rate"}


@needs_library
def test_the_papers_protocol_stretches_maps_and_weighs_precision_more_but_leaves_masks():
    labels, probabilities, truth = example(3)
    probabilities = 0.2 + 0.5 * probabilities
    ours = score_image(labels, probabilities, truth)
    papers = score_image(labels, probabilities, truth, Scoring(protocol=PAPER))
    expected = saliency_scores(rescaled(probabilities[0]), truth > 0, weighted_f_beta=0.3)
    for measure, value in asdict(expected).items():
        assert papers.overall[measure] == value
        assert ours.overall[measure] != value
    for measure in ("dice", "iou", "balanced_error_rate"):
        assert papers.overall[measure] == ours.overall[measure]


def test_distances_at_the_networks_size_are_refused():
    with pytest.raises(EvaluationError, match="distances mean nothing"):
        Scoring(protocol=PAPER, surface=SurfaceSettings())


@needs_library
def test_a_volume_is_one_object_to_masks_and_slices_to_maps():
    slices = [example(seed) for seed in range(4)]
    settings = SurfaceSettings((2.0, 1.0, 1.0))
    found = score_volume(iter(slices), Scoring(surface=settings)).overall
    mask, truth = (np.stack([one[i] for one in slices]) > 0 for i in (0, 2))
    assert found["dice"] == dice(mask, truth)
    assert found["dice"] != pytest.approx(np.mean([dice(one[0], one[2]) for one in slices]))
    assert found["balanced_error_rate"] == balanced_error_rate(mask, truth)
    assert found["hausdorff95"] == surface_scores(mask, truth, settings).hausdorff95
    maps = [saliency_scores(one[1][0], one[2] > 0) for one in slices]
    assert found["s_measure"] == pytest.approx(np.mean([one.s_measure for one in maps]))


@needs_library
def test_slices_without_an_object_have_no_weighted_f_to_average():
    labels, probabilities, truth = example(5)
    slices = [(labels, probabilities, truth), (0 * labels, 0 * probabilities, 0 * truth)]
    found = score_volume(slices).overall
    assert found["weighted_f"] == saliency_scores(probabilities[0], truth > 0).weighted_f
    assert found["dice"] == dice(labels > 0, truth > 0)


@pytest.mark.parametrize(
    ("labels", "probabilities", "truth"),
    [
        ((4, 5), (1, 4, 5), (5, 4)),
        ((4, 5), (4, 5), (4, 5)),
        ((4, 5), (2, 4, 5), (4, 5)),
        ((3, 4, 5), (1, 3, 4, 5), (3, 4, 5)),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(labels, probabilities, truth):
    arrays = (np.zeros(shape) for shape in (labels, probabilities, truth))
    with pytest.raises(EvaluationError, match="do not go together"):
        score_image(*arrays, MASKS_ONLY)


@pytest.mark.parametrize("where", [0, 2])
def test_a_label_without_a_class_is_refused(where):
    arrays = list(example(6))
    arrays[where] = arrays[where] * 3
    with pytest.raises(EvaluationError, match=r"Label 3 has no class: there are 1 \(object\)"):
        score_image(*arrays, MASKS_ONLY)


def test_means_of_a_class_are_taken_over_the_images_that_have_it():
    images = [
        ImageScores({"dice": 0.5}, {"polyp": {"dice": 0.5}}),
        ImageScores({"dice": 0.7}, {"polyp": {"dice": 0.8}, "tool": {"dice": 0.6}}),
    ]
    found = summarise(images, ["polyp", "tool", "never seen"])
    assert found.overall["dice"].mean == pytest.approx(0.6)
    assert (found.classes["polyp"]["dice"].mean, found.classes["polyp"]["dice"].n) == (0.65, 2)
    assert (found.classes["tool"]["dice"].mean, found.classes["tool"]["dice"].n) == (0.6, 1)
    assert found.classes["never seen"] == {}
