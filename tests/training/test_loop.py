"""The training loop: what it changes, what it leaves alone, and what it repeats."""

import itertools
import math
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.metrics import dice, mean_class_dice
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.training import kept_state, loop, scoring, step
from napari_sam_adapter.training.config import GEARS, TrainingConfig
from napari_sam_adapter.training.events import (
    StepReport,
    TrainingFinished,
    TrainingStarted,
    ValidationReport,
)
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.run_options import RunOptions
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.split import History
from napari_sam_adapter.training.starting_model import with_classes
from napari_sam_adapter.training.step import learning_rate_share

by_gear = pytest.mark.parametrize("gear", GEARS)


def config(gear: str, steps: int, **values) -> TrainingConfig:
    return TrainingConfig(gear=gear, max_seconds=math.inf, max_steps=steps, **values)


def run(model: AdaptedSam, samples, settings: TrainingConfig, **keywords) -> list:
    return list(train_adapter(model, samples, settings, RunOptions(**keywords)))


def frozen_copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in state.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor], part: str = "") -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one if key.startswith(part))


@pytest.fixture
def forked(small_sam) -> AdaptedSam:
    """Return an independent twin of `small_sam`."""
    twin = AdaptedSam(small_sam.base, small_sam.settings)
    twin.load_state_dict(small_sam.state_dict())
    return twin


@by_gear
def test_the_base_stays_bit_identical(small_sam, samples, gear):
    before = frozen_copy(small_sam.base.state_dict())
    run(small_sam, samples[:2], config(gear, 3))
    assert same(small_sam.base.state_dict(), before)


@by_gear
def test_no_parameter_of_the_base_gets_a_gradient(small_sam, samples, gear):
    run(small_sam, samples[:2], config(gear, 2))
    assert all(p.grad is None for p in small_sam.base.parameters())
    assert all(p.grad is not None for p in small_sam.mask_decoder.transformer.parameters())


def test_the_full_gear_trains_every_part_of_the_adapter_and_the_decoder(small_sam, samples):
    before = frozen_copy(small_sam.state_dict())
    run(small_sam, samples[:2], config("full", 3))
    after = small_sam.state_dict()
    parts = {key.rpartition(".")[0] for key in before if key.startswith("adapter")}
    for part in (*parts, "mask_decoder.transformer", "mask_decoder.output_hypernetworks_mlps.0"):
        assert not same(before, after, part), part


def test_the_quick_gear_leaves_the_adapter_unchanged(small_sam, samples):
    before = frozen_copy(small_sam.state_dict())
    run(small_sam, samples[:2], config("quick", 3))
    assert same(before, small_sam.state_dict(), "adapter")
    assert not same(before, small_sam.state_dict(), "mask_decoder")


@by_gear
def test_the_loss_falls_on_one_repeated_slice(small_sam, samples, gear):
    settings = config(gear, 24, decoder_learning_rate=1e-3, prompted_share=0.0)
    events = run(small_sam, samples[:1], settings)
    losses = [event.loss for event in events if isinstance(event, StepReport)]
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])


def test_no_slice_at_all_is_refused(small_sam):
    with pytest.raises(TrainingError, match="correct or accept at least one slice first"):
        run(small_sam, [], config("quick", 1))


def test_empty_masks_alone_are_refused(small_sam, samples):
    empty = [replace(sample, labels=np.zeros_like(sample.labels)) for sample in samples]
    with pytest.raises(TrainingError, match=r"Every mask to train on is empty: .*\.$"):
        run(small_sam, empty, config("quick", 1))


def test_an_empty_mask_beside_others_is_trained_on(small_sam, samples):
    empty = replace(samples[1], labels=np.zeros_like(samples[1].labels))
    events = run(small_sam, [samples[0], empty], config("quick", 2))
    assert events[0].n_training == 2
    assert events[-1].reason == "completed"


@by_gear
def test_events_come_in_order(small_sam, samples, gear):
    started, first_score, *between, finished = run(small_sam, samples, config(gear, 4))
    assert isinstance(started, TrainingStarted)
    assert isinstance(first_score, ValidationReport)
    assert isinstance(finished, TrainingFinished)
    assert (started.n_training, started.n_held_out) == (9, 1)
    reports = [event for event in between if isinstance(event, StepReport)]
    assert [report.step for report in reports] == [1, 2, 3, 4]
    assert [report.progress for report in reports] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert reports[-1].seconds_left == 0
    assert any(isinstance(event, ValidationReport) for event in between)


def test_a_run_ends_when_its_time_is_over(small_sam, samples, monkeypatch):
    """Each look at the clock finds it a second later."""
    clock = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    *events, finished = run(small_sam, samples[:2], TrainingConfig(gear="quick", max_seconds=5))
    assert finished.reason == "completed"
    steps = [event.seconds for event in events if isinstance(event, StepReport)]
    assert len(steps) == finished.steps >= 1
    assert steps[-1] >= 4, "none is left out"
    assert finished.seconds <= 7, "and none follows"


def step_without_training(stepper: step.Stepper, progress: float) -> float:
    stepper.step += 1
    return 0.5


@pytest.fixture
def taking(monkeypatch):
    """Return a function that lets another one take so many seconds of the loop's clock."""
    now = 0.0

    def taking(seconds, function):
        def timed(*arguments, **named):
            nonlocal now
            now += seconds
            return function(*arguments, **named)

        return timed

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(loop.Stepper, "take", taking(0.5, step_without_training))
    return taking


@pytest.mark.parametrize(("scoring_seconds", "expected"), [(0.1, 9), (2.0, 3), (30.0, 2)])
def test_slow_scoring_is_done_less_often(
    small_sam, samples, monkeypatch, taking, scoring_seconds, expected
):
    monkeypatch.setattr(scoring, "decode_masks", taking(scoring_seconds, scoring.decode_masks))
    events = run(small_sam, samples, TrainingConfig(gear="quick", max_seconds=40))
    at = [event for event in events if isinstance(event, ValidationReport)]
    assert len(at) == expected, "the first, with what it starts from, is always there"


def test_time_to_train_begins_when_what_it_starts_from_is_scored(
    small_sam, samples, monkeypatch, taking
):
    monkeypatch.setattr(scoring, "decode_masks", taking(60.0, scoring.decode_masks))
    finished = run(small_sam, samples, TrainingConfig(gear="quick", max_seconds=2))[-1]
    assert finished.steps > 0


@by_gear
def test_the_model_ends_with_the_state_that_is_kept(small_sam, forked, samples, gear):
    finished = run(small_sam, samples, config(gear, 3))[-1]
    assert same(finished.state, small_sam.state_dict())
    forked.load_state_dict(finished.state)
    masks = [predict_masks(model, samples[0].image).mask for model in (small_sam, forked)]
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.5, 0.80, 0.79], 0.79),  # as good: the later state has learned longer
        ([0.5, 0.90, 0.70], 0.90),  # worse by far: the run broke down
        ([0.9, 0.70, 0.60], 0.70),  # never as good as what it started from: that is not training's
        ([0.5, 0.81, 0.80, 0.79, 0.78, 0.77], 0.79),  # a slow decline ends at the tolerance
    ],
)
def test_the_latest_state_is_kept_that_is_about_as_good_as_the_best(
    small_sam, samples, monkeypatch, scores, kept
):
    states, script = {}, iter(scores)

    def scripted_score(a_run, learned=True):
        score = next(script, scores[-1])
        states.setdefault(score, {k: v.clone() for k, v in small_sam.state_dict().items()})
        return (score,)

    monkeypatch.setattr(kept_state.KeptState, "_score_held_out", scripted_score)
    *events, finished = run(small_sam, samples, config("quick", 16, prompted_share=0.0))
    assert finished.held_out_before == scores[0]
    assert finished.held_out_after == kept
    last_kept = [e for e in events if isinstance(e, ValidationReport) and e.is_kept][-1]
    assert last_kept.dice == kept
    if scores.count(kept) == 1 and kept != scores[-1]:
        assert same(finished.state, states[kept])


def test_without_held_out_slices_there_are_no_scores(small_sam, samples):
    events = run(small_sam, samples[:3], config("quick", 2))
    assert not any(isinstance(event, ValidationReport) for event in events)
    assert events[-1].held_out_before is None
    assert events[-1].held_out_after is None


@by_gear
def test_slices_that_its_parent_knew_are_scored_before_and_after_as_they_are_predicted(
    small_sam, forked, samples, gear
):
    known = History(frozenset(sample.digest for sample in samples[:3]))
    finished = run(small_sam, samples[:5], config(gear, 6), history=known)[-1]
    names = [score.name for score in finished.earlier_scores]
    assert names == [sample.name for sample in samples[:3]]
    for sample, score in zip(samples, finished.earlier_scores, strict=False):
        for model, score_of_it in ((forked, score.before), (small_sam, score.after)):
            labels = predict_masks(model, sample.image, views=small_sam.spec.views).labels
            assert score_of_it == pytest.approx(mean_class_dice(labels, sample.labels, 1), abs=1e-6)
    assert any(score.before != score.after for score in finished.earlier_scores)


def test_earlier_slices_are_scored_by_the_classes_that_the_parent_knew(small_sam, samples):
    both = []
    for sample in samples[:3]:
        labels = sample.labels.astype(np.uint8)
        labels[:, ::2] *= 2  # a second class in every other column
        both.append(replace(sample, labels=labels))
    model = with_classes(small_sam, ("object", "kidney"), "")
    known = History(frozenset(sample.digest for sample in both), n_classes=1)
    finished = run(model, both, config("quick", 6), history=known)[-1]
    for sample, score in zip(both, finished.earlier_scores, strict=True):
        labels = predict_masks(model, sample.image, views=model.spec.views).labels
        assert score.after == pytest.approx(dice(labels == 1, sample.labels == 1), abs=1e-6)


def test_the_first_run_has_no_earlier_slices(small_sam, samples):
    assert run(small_sam, samples[:3], config("quick", 2))[-1].earlier_scores == ()


def test_whoever_stops_a_run_waits_for_few_earlier_slices(small_sam, samples):
    known = History(frozenset(sample.digest for sample in samples))
    looks = itertools.count()
    events = run(
        small_sam,
        samples,
        config("quick", 9),
        history=known,
        should_stop=lambda: next(looks) > 1,
    )
    assert events[-1].reason == "stopped"
    assert len(events[-1].earlier_scores) == 4


@by_gear
def test_equal_seeds_and_steps_give_equal_weights(small_sam, forked, samples, gear):
    results = [run(model, samples, config(gear, 4, seed=5)) for model in (small_sam, forked)]
    losses = [[e.loss for e in events if isinstance(e, StepReport)] for events in results]
    assert losses[0] == losses[1]
    assert same(results[0][-1].state, results[1][-1].state)


def test_another_seed_takes_other_steps(small_sam, forked, samples):
    runs = (run(m, samples, config("full", 2, seed=s)) for m, s in ((small_sam, 1), (forked, 2)))
    losses = [[e.loss for e in events if isinstance(e, StepReport)] for events in runs]
    assert losses[0] != losses[1]


def test_the_speed_of_the_machine_does_not_change_a_run_of_steps(
    small_sam, forked, samples, monkeypatch
):
    results = []
    for model, seconds_to_encode in ((small_sam, 0.0), (forked, 100.0)):
        clock, encode = itertools.count(), model.encode
        extra = []

        def slow_encode(images, encode=encode, extra=extra, seconds=seconds_to_encode):
            extra.append(seconds)
            return encode(images)

        monkeypatch.setattr(model, "encode", slow_encode)
        monkeypatch.setattr(time, "monotonic", lambda c=clock, e=extra: next(c) + sum(e))
        events = run(model, samples[:2], config("quick", 12))
        results.append([event.loss for event in events if isinstance(event, StepReport)])
    assert results[0] == results[1]


@by_gear
@pytest.mark.parametrize("size_hw", [(40, 72), (72, 40)])
def test_images_need_not_be_square_or_of_one_size(small_sam, samples, gear, size_hw):
    image = np.random.default_rng(0).integers(0, 65535, size_hw, dtype=np.uint16)
    mask = np.zeros(size_hw, bool)
    mask[10:25, 20:35] = True
    finished = run(small_sam, [TrainingSample(image, mask, "oblong"), *samples], config(gear, 3))[
        -1
    ]
    assert finished.reason == "completed"


def test_a_batch_takes_several_slices_per_step(small_sam, samples, monkeypatch):
    original, seen = step.mask_loss, []

    def counted(logits: Tensor, target: Tensor, kind: str) -> Tensor:
        seen.append(1)
        return original(logits, target, kind)

    monkeypatch.setattr(step, "mask_loss", counted)
    run(small_sam, samples[:3], config("quick", 2, batch_size=3, prompted_share=0.0))
    assert len(seen) == 6


def test_the_learning_rate_rises_then_falls_to_zero():
    shares = [learning_rate_share(progress, 0.1) for progress in np.linspace(0, 1, 101)]
    peak = int(np.argmax(shares))
    assert peak == 10
    assert shares[peak] == pytest.approx(1.0)
    assert all(a <= b for a, b in itertools.pairwise(shares[: peak + 1]))
    assert all(a >= b for a, b in itertools.pairwise(shares[peak:]))
    assert shares[0] > 0
    assert shares[-1] == pytest.approx(0.0, abs=1e-12)
    assert learning_rate_share(0.55, 0.1) == pytest.approx(0.5)


def test_the_learning_rate_stays_at_zero_after_the_end():
    assert learning_rate_share(1.7, 0.1) == pytest.approx(0.0, abs=1e-12)
