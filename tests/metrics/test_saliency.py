"""Scores of probability maps against PySODMetrics and against values worked out by hand."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.metrics import saliency
from napari_sam_adapter.metrics.saliency import rescaled, saliency_scores

library = pytest.importorskip("py_sod_metrics", reason="needs the extra 'metrics'")

EMPTY = np.zeros((9, 11), bool)
FULL = np.ones((9, 11), bool)


def disc() -> tuple[np.ndarray, np.ndarray]:
    """Return a map that fades out around a point, and a disc beside it."""
    y, x = np.mgrid[:40, :50]
    probability = np.clip(0.9 - np.hypot(y - 19, x - 26) / 20, 0, 1)
    return probability, np.hypot(y - 17, x - 24) < 9


def by_the_library(probability: np.ndarray, truth: np.ndarray, beta: float = 1) -> list[float]:
    measures = [
        library.Smeasure(),
        library.Emeasure(),
        library.WeightedFmeasure(beta=beta),
        library.MAE(),
    ]
    for measure in measures:
        measure.step(probability, truth, normalize=False)
    s_measure, e_measure, weighted_f, error = (measure.get_results() for measure in measures)
    return [s_measure["sm"], e_measure["em"]["curve"].mean(), weighted_f["wfm"], error["mae"]]


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_scores_are_the_librarys(beta):
    probability, truth = disc()
    found = saliency_scores(probability, truth, weighted_f_beta=beta)
    assert list(asdict(found).values()) == by_the_library(probability, truth, beta)


def test_scores_are_those_that_version_1_6_2_of_the_library_gave():
    found = saliency_scores(*disc())
    expected = [0.7820841550324824, 0.5882696600538899, 0.4714910221781522, 0.13251357816338252]
    assert list(asdict(found).values()) == pytest.approx(expected, rel=1e-9)


def test_single_precision_changes_nothing_that_is_shown():
    probability, truth = disc()
    single = saliency_scores(probability.astype(np.float32), truth)
    double = saliency_scores(probability, truth)
    assert list(asdict(single).values()) == pytest.approx(list(asdict(double).values()), abs=1e-4)


def test_the_truth_itself_gets_full_marks():
    truth = disc()[1]
    found = saliency_scores(truth.astype(float), truth)
    assert (found.s_measure, found.mae) == (pytest.approx(1), 0)
    assert found.weighted_f == pytest.approx(1)
    # By its definition: right at 255 cuts of 256, where the lowest cut marks all and gets 1/4; and
    # divided by N - 1.
    assert found.e_measure == pytest.approx((255 + 0.25) / 256 * truth.size / (truth.size - 1))


def test_the_mean_absolute_error_is_the_mean_absolute_error():
    truth = np.eye(4, dtype=bool)
    assert saliency_scores(np.full((4, 4), 0.25), truth).mae == pytest.approx(
        (4 * 0.75 + 12 * 0.25) / 16
    )


def test_a_map_that_misses_the_whole_object_has_a_weighted_f_of_zero():
    truth = disc()[1]
    assert saliency_scores(np.zeros(truth.shape), truth).weighted_f == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_without_an_object_what_is_left_empty_counts(value):
    found = saliency_scores(np.full(EMPTY.shape, value), EMPTY)
    assert found.s_measure == pytest.approx(1 - value)
    assert found.mae == pytest.approx(value)
    assert math.isnan(found.weighted_f)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_without_background_what_is_filled_counts(value):
    found = saliency_scores(np.full(FULL.shape, value), FULL)
    assert found.s_measure == pytest.approx(value)
    assert found.mae == pytest.approx(1 - value)


def test_rescaling_is_the_librarys():
    probability, truth = disc()
    eight_bit = np.round(255 * probability)
    expected, _ = library.utils.prepare_data(eight_bit, 255 * truth)
    np.testing.assert_allclose(rescaled(eight_bit / 255), expected, atol=1e-12)


def test_rescaling_leaves_a_map_of_one_value_as_it_is():
    np.testing.assert_array_equal(rescaled(np.full((3, 4), 0.2)), np.full((3, 4), 0.2))


def test_without_the_library_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setattr(saliency, "is_installed", lambda: False)
    with pytest.raises(EvaluationError, match=r"pip install 'napari-sam-adapter\[metrics\]'"):
        saliency_scores(*disc())
