"""How sure a model is: the Dice to expect, calibrated."""

import json
import pickle

import numpy as np
import pytest
import torch

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.confidence import (
    ONE_VIEW,
    SEVERAL_VIEWS,
    Calibration,
    calibration_of,
    confidence,
    expected_dice,
    fit_calibration,
)
from napari_sam_adapter.metrics import dice

RNG = np.random.default_rng(0)


def card_with(training):
    return AdapterCard(
        "a", "b", "c", "full", 128, "min-max", "none", ("o",), AdapterConfig(), training
    )


def test_certain_probabilities_expect_a_perfect_mask():
    mask = RNG.random((1, 40, 40)) < 0.3
    assert expected_dice(mask.astype(float)) == 1.0
    assert expected_dice(np.zeros((2, 8, 8))) == 1.0


def test_it_is_the_mean_dice_of_truths_drawn_from_the_probabilities():
    distance = np.hypot(*(np.indices((64, 64)) - 32))
    p = 1 / (1 + np.exp((distance - 18) / 4))
    drawn = [dice(p > 0.5, RNG.random(p.shape) < p) for _ in range(50)]
    assert expected_dice(p[None]) == pytest.approx(np.mean(drawn), abs=0.005)


def test_an_empty_mask_is_as_sure_as_nothing_stands_out():
    p = np.full((1, 8, 8), 0.01)
    p[0, 3, 3] = 0.4
    assert expected_dice(p) == pytest.approx(0.6)


def test_the_calibration_is_about_outlines_and_leaves_an_empty_mask_its_own_score():
    empty, marked = np.full((1, 8, 8), 0.3), np.full((1, 8, 8), 0.7)
    assert ONE_VIEW(expected_dice(empty)) == pytest.approx(0.7)
    assert ONE_VIEW(expected_dice(marked)) < expected_dice(marked) - 0.2
    sent = pickle.loads(pickle.dumps(expected_dice(empty)))
    assert ONE_VIEW(sent) == pytest.approx(0.7)
    assert json.dumps(ONE_VIEW(sent)) == "0.7"


def test_held_out_slices_that_are_predicted_empty_say_nothing_of_outlines(small_sam, samples):
    from napari_sam_adapter.training.held_out import report_held_out

    with torch.no_grad():
        small_sam.mask_decoder.output_hypernetworks_mlps[0].layers[-1].weight.zero_()
        small_sam.mask_decoder.output_hypernetworks_mlps[0].layers[-1].bias.zero_()
    report = report_held_out(small_sam, samples[:2], 1)
    assert report["confidence_pairs"] == {"1": []}
    assert report["held_out_dice_classes"] == {"object": 0.0}


def test_classes_count_alike_and_absent_ones_do_not():
    sure, unsure = np.zeros((2, 20, 20)), np.zeros((2, 20, 20))
    sure[0, :10] = unsure[0, :10] = 1.0
    unsure[1, 15:] = 0.6
    assert expected_dice(sure) == 1.0
    assert expected_dice(unsure) == pytest.approx((1.0 + 2 * 0.6 / 1.6) / 2)


def test_fitting_recovers_how_far_scores_are_off():
    truth = Calibration(-1.0, 0.5)
    raw = RNG.uniform(0.4, 0.99, 400)
    noisy = [truth(r) + RNG.normal(0, 0.02) for r in raw]
    found = fit_calibration(list(zip(raw, noisy, strict=True)))
    assert max(abs(found(r) - truth(r)) for r in raw) < 0.02


def test_a_few_slices_move_the_calibration_and_many_decide_it():
    prior, low = Calibration(0.0, 1.0), 0.5
    none, few, many = (fit_calibration([(0.9, low)] * count, prior)(0.9) for count in (0, 3, 300))
    assert none == pytest.approx(0.9, abs=0.01)
    assert many == pytest.approx(low, abs=0.05)
    assert low + 0.1 < few < none - 0.03


def test_a_higher_score_never_means_less_confidence():
    contrary = [(0.5, 0.9), (0.7, 0.6), (0.95, 0.2)] * 50
    found = fit_calibration(contrary, ONE_VIEW)
    values = [found(r) for r in np.linspace(0, 1, 20)]
    assert all(np.diff(values) >= 0)
    assert all(0 <= value <= 1 for value in values)


def test_an_adapters_own_held_out_slices_count_for_their_number_of_views():
    pairs = [[0.9, 0.3]] * 40
    training = {"confidence_pairs": {"2": pairs}}
    assert calibration_of(training, 1) == ONE_VIEW
    assert calibration_of(training, 2)(0.9) < SEVERAL_VIEWS(0.9) - 0.3


@pytest.mark.parametrize("pairs", [None, 7, [[1]], {"1": 3}, {"1": [["a", "b"]]}, {"1": [[1]]}])
def test_a_damaged_card_leaves_the_usual_calibration(pairs):
    assert calibration_of({"confidence_pairs": pairs}, 1) == ONE_VIEW


def test_a_base_model_has_no_confidence():
    assert confidence(None, 0.9, 1) is None
    assert confidence(card_with({}), 0.9, 1) == ONE_VIEW(0.9)


def test_the_pairs_on_a_card_are_plain_data(small_sam, samples):
    from napari_sam_adapter.training.held_out import report_held_out

    report = report_held_out(small_sam, samples[:3], 2)
    assert json.loads(json.dumps(report)) == report
    assert set(report["confidence_pairs"]) == {"1", "2"}
    assert all(len(pairs) == 3 for pairs in report["confidence_pairs"].values())
    one, two = report["confidence_pairs"].values()
    assert one != two
    mean = np.mean([d for _, d in one])
    assert report["held_out_dice_classes"]["object"] == pytest.approx(mean, abs=1e-3)
