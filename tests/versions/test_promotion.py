"""A new version takes the old one's place only where held-out slices do not speak against it."""

import math

import pytest

from napari_sam_adapter.versions.promotion import judge, verdict_of


def scores(*pairs):
    return [(f"slice {number}", before, after) for number, (before, after) in enumerate(pairs)]


def test_a_better_version_is_promoted_with_how_much_and_how_sure():
    verdict = judge(scores(*[(0.70, 0.80), (0.60, 0.72), (0.80, 0.85), (0.75, 0.80)]))
    assert verdict.promoted
    assert verdict.difference == pytest.approx(0.08)
    assert 0.05 < verdict.low < 0.08 < verdict.high < 0.12
    assert verdict.reason.startswith("Dice +0.08 on 4 held-out slices (90 % interval +0.0")


def test_without_held_out_slices_it_is_taken_on_trust():
    verdict = judge([])
    assert verdict.promoted
    assert math.isnan(verdict.difference)
    assert "on trust" in verdict.reason


def test_few_slices_hold_back_only_what_falls_far():
    assert judge(scores((0.80, 0.70), (0.7, 0.69))).promoted
    verdict = judge(scores((0.80, 0.30), (0.7, 0.72)))
    assert not verdict.promoted
    assert math.isnan(verdict.low), "two slices tell nothing of how sure that is"
    assert "too few to be sure" in verdict.reason
    assert verdict.worse == (("slice 0", pytest.approx(-0.5)),)


def test_a_small_fall_that_many_slices_agree_on_holds_back():
    sure = [(0.80, 0.785), (0.7, 0.69), (0.6, 0.585), (0.9, 0.885), (0.5, 0.49)]
    assert not judge(scores(*sure)).promoted
    # The same fall, of slices that do not agree, may be chance.
    unsure = [(0.80, 0.70), (0.7, 0.76), (0.6, 0.63), (0.9, 0.86), (0.5, 0.49)]
    assert judge(scores(*unsure)).promoted


def test_pairing_finds_what_the_spread_of_slices_would_hide():
    easy_to_hard = [(0.95, 0.94), (0.30, 0.29), (0.75, 0.74), (0.10, 0.09), (0.60, 0.59)]
    assert not judge(scores(*easy_to_hard)).promoted


def test_the_slices_it_is_worse_on_are_named_the_worst_first():
    fallen = [(0.9, 0.5), (0.9, 0.8), (0.9, 0.85), (0.9, 0.6), (0.5, 0.9), (0.5, 0.9)]
    verdict = judge(scores(*fallen))
    assert [name for name, _ in verdict.worse] == ["slice 0", "slice 3", "slice 1", "slice 2"]
    assert verdict.reason.endswith(
        'Worse on "slice 0" (−0.40), "slice 3" (−0.30), "slice 1" (−0.10) and 1 more.'
    )
    assert verdict.in_short.startswith("Dice ")
    assert verdict.in_short.endswith(' on 6 held-out slices, most on "slice 0" (−0.40)')


def test_a_version_that_knows_more_classes_is_judged_like_any_other():
    gained = {"held_out_scores": scores((0.5, 0.8)), "new_classes": ["kidney"]}
    verdict = verdict_of(gained)
    assert verdict.promoted
    assert verdict.reason.startswith("It knows kidney, which the one before does not. Dice +0.30")
    fallen = {
        "held_out_scores": scores(*[(0.9, 0.1)] * 6),
        "earlier_scores": scores(*[(0.9, 0.1)] * 6),
        "new_classes": ["kidney"],
    }
    assert not verdict_of(fallen).promoted


def test_a_version_with_new_classes_that_has_forgotten_what_both_know_is_held_back():
    training = {"earlier_scores": scores((0.9, 0.6)), "new_classes": ["kidney"]}
    verdict = verdict_of(training)
    assert not verdict.promoted
    assert verdict.in_short == (
        'It has forgotten: Dice fell by 0.300 on 1 slice that it knew, most on "slice 0" (−0.30)'
    )


def test_scores_of_slices_of_a_volume_that_was_learned_from_are_said_to_be_too_kind():
    training = {"held_out_scores": scores((0.6, 0.8)), "held_out_leaks": True}
    *_, last = verdict_of(training).lines
    assert last.startswith("These scores are too kind: the held-out slices are of the same volume")
    assert "too kind" not in verdict_of({"held_out_leaks": True}).reason


def test_a_version_that_has_forgotten_earlier_slices_is_held_back_though_held_out_ones_gained():
    training = {
        "held_out_scores": scores((0.60, 0.80)),
        "earlier_scores": scores((0.95, 0.90), (0.90, 0.91), (0.92, 0.92)),
    }
    verdict = verdict_of(training)
    assert not verdict.promoted
    assert verdict.n_earlier == 3
    assert verdict.earlier == pytest.approx(-0.04 / 3)
    assert verdict.reason == (
        "It has forgotten: Dice −0.013 on 3 slices that it knew, +0.20 on what is held out. "
        'Worse on "slice 0" (−0.05).'
    )


def test_earlier_slices_may_fall_by_a_hundredth():
    verdict = judge([], scores((0.95, 0.941), (0.90, 0.895)))
    assert verdict.promoted
    assert "on trust" in verdict.reason
