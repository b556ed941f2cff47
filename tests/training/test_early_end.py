"""Runs that end early: stopped by the person, or by a loss that is no number."""

import itertools
import math
import re
from importlib.metadata import EntryPoint

import pytest
import torch
from torch import Tensor

from napari_sam_adapter.adapter import conditions
from napari_sam_adapter.adapter.config import CONDITION_GROUP, AdapterConfig, Condition
from napari_sam_adapter.errors import ConditionError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.training import step
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import StepReport, TrainingFinished
from napari_sam_adapter.training.job import TrainingJob, run_job
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.run_options import RunOptions


def config(gear: str, steps: int, **values) -> TrainingConfig:
    """Return a configuration whose run ends even if no step succeeds."""
    # Prompted steps would ask for a second loss.
    settings = {"max_seconds": 60.0, "max_steps": steps, "prompted_share": 0.0, **values}
    return TrainingConfig(gear=gear, **settings)


def end_of_run(model: AdaptedSam, samples, settings: TrainingConfig, **kw) -> TrainingFinished:
    return list(train_adapter(model, samples, settings, RunOptions(**kw)))[-1]


def frozen_copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in state.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("n_samples", [3, 8])
def test_a_stopped_run_ends_with_a_state(small_sam, samples, n_samples):
    asked = itertools.count()
    finished = end_of_run(
        small_sam, samples[:n_samples], config("quick", 50), should_stop=lambda: next(asked) >= 2
    )
    assert (finished.reason, finished.steps) == ("stopped", 2)
    assert finished.state.keys() == small_sam.state_dict().keys()


def test_a_run_stopped_before_its_first_step_keeps_the_model(small_sam, samples):
    before = frozen_copy(small_sam.state_dict())
    finished = end_of_run(small_sam, samples, config("full", 5), should_stop=lambda: True)
    assert (finished.reason, finished.steps) == ("stopped", 0)
    assert same(finished.state, before)


def loss_that_breaks(monkeypatch, after: int, broken) -> list[int]:
    """Let the losses from the one numbered ``after`` on go through ``broken``.

    Returns the size of the object in each slice that a loss was asked for, as they come.
    """
    original, sizes = step.mask_loss, []

    def loss(logits: Tensor, target: Tensor, kind: str) -> Tensor:
        value = original(logits, target, kind)
        sizes.append(int(target.sum()))
        return broken(value) if len(sizes) > after else value

    monkeypatch.setattr(step, "mask_loss", loss)
    return sizes


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("n_samples", [3, 8])
def test_a_loss_that_is_no_number_ends_the_run(small_sam, samples, monkeypatch, value, n_samples):
    names = {int(sample.labels.sum()): sample.name for sample in samples[:n_samples]}
    assert len(names) == n_samples
    # Of two slices a step, the second of the fourth one.
    sizes = loss_that_breaks(monkeypatch, 7, lambda loss: loss * value)
    settings = config("quick", 9, batch_size=2, augmentation="none")
    finished = end_of_run(small_sam, samples[:n_samples], settings)
    assert (finished.reason, finished.steps) == ("diverged", 3)
    assert f"at step 4 ({names[sizes[7]]});" in finished.message
    assert all(torch.isfinite(tensor).all() for tensor in finished.state.values())
    assert math.isfinite(finished.last_loss)


def test_a_run_that_diverges_at_once_keeps_the_model(small_sam, samples, monkeypatch):
    before = frozen_copy(small_sam.state_dict())
    loss_that_breaks(monkeypatch, 0, lambda loss: loss * math.nan)
    finished = end_of_run(small_sam, samples, config("full", 9))
    assert finished.reason == "diverged"
    assert same(finished.state, before)


@pytest.mark.parametrize("gear", ["quick", "full"])
@pytest.mark.parametrize("n_samples", [3, 8])
@pytest.mark.parametrize("rate", [1e20, 1e38])  # the weights are no use, or no numbers
def test_weights_that_a_step_has_spoilt_are_not_kept(small_sam, samples, rate, n_samples, gear):
    before = frozen_copy(small_sam.state_dict())
    rates = {"decoder_learning_rate": rate, "adapter_learning_rate": rate, "warmup_share": 0.0}
    finished = end_of_run(small_sam, samples[:n_samples], config(gear, 9, **rates))
    assert (finished.reason, finished.steps) == ("diverged", 0)
    assert re.search(r"at step 2 \(slice \d\)\.$", finished.message)
    assert same(finished.state, before)
    assert same(small_sam.state_dict(), before)
    assert all(score.before == score.after for score in finished.held_out_scores)


@pytest.mark.parametrize("n_samples", [3, 8])
def test_nor_are_those_that_the_last_step_has_spoilt(small_sam, samples, n_samples):
    before = frozen_copy(small_sam.state_dict())
    rates = {"decoder_learning_rate": 1e38, "warmup_share": 0.0}
    finished = end_of_run(small_sam, samples[:n_samples], config("quick", 1, **rates))
    assert (finished.reason, finished.steps) == ("diverged", 0)
    assert same(finished.state, before)


@pytest.mark.parametrize("n_samples", [3, 8])
def test_a_gradient_that_is_no_number_does_not_reach_the_kept_state(
    small_sam, samples, monkeypatch, n_samples
):
    # sqrt has the value 0 and an infinite slope at 0: a finite loss whose gradient is NaN.
    loss_that_breaks(monkeypatch, 3, lambda loss: loss + (0 * loss).sqrt())
    finished = end_of_run(small_sam, samples[:n_samples], config("quick", 4))
    assert all(torch.isfinite(tensor).all() for tensor in finished.state.values())
    assert (finished.reason, finished.steps) == ("diverged", 3)
    assert re.search(r"gradient was no longer a number at step 4 \(slice \d\)", finished.message)


def test_only_the_slice_whose_gradient_is_no_number_is_named(small_sam, samples, monkeypatch):
    guilty, original = int(samples[1].labels.sum()), step.mask_loss
    assert len({int(sample.labels.sum()) for sample in samples[:3]}) == 3

    def loss(logits: Tensor, target: Tensor, kind: str) -> Tensor:
        value = original(logits, target, kind)
        return value + (0 * value).sqrt() if int(target.sum()) == guilty else value

    monkeypatch.setattr(step, "mask_loss", loss)
    settings = config("quick", 2, batch_size=3, augmentation="none")
    finished = end_of_run(small_sam, samples[:3], settings)
    assert "at step 1 (slice 1)" in finished.message


def test_a_slice_whose_gradient_is_too_large_to_be_measured_is_named(
    small_sam, samples, monkeypatch
):
    loss_that_breaks(monkeypatch, 1, lambda loss: loss * 1e30)
    finished = end_of_run(small_sam, samples[:3], config("quick", 4))
    assert re.search(r"at step 2 \(slice \d\);", finished.message)


class Fragile:
    """A condition that is no number where it is told to."""

    def __init__(self) -> None:
        self.breaks = lambda: False

    def __call__(self, images: Tensor) -> Tensor:
        return images * (math.nan if self.breaks() else 1.0)


OWN_TERMS = (Condition("patch_embedding"), Condition("own"))


@pytest.fixture
def fragile(monkeypatch, small_sam) -> tuple[Fragile, AdaptedSam]:
    condition = Fragile()

    class Point(EntryPoint):
        def load(self) -> Fragile:
            return condition

    point = Point("own", "somebody.conditions:own", CONDITION_GROUP)
    monkeypatch.setattr(conditions, "entry_points", lambda group: [point])
    settings = small_sam.settings.with_changes(adapter=AdapterConfig(conditions=OWN_TERMS))
    return condition, AdaptedSam(small_sam.base, settings)


NOT_FINITE = r"^slice \d: The condition 'own' returned values that are not finite"


@pytest.mark.parametrize(("n_samples", "gear"), [(3, "full"), (8, "full"), (3, "late")])
def test_a_condition_that_is_no_number_ends_the_run_with_the_best_state(
    fragile, samples, n_samples, gear
):
    condition, model = fragile
    for event in train_adapter(model, samples[:n_samples], config(gear, 9)):
        if isinstance(event, StepReport) and event.step == 3:
            condition.breaks = lambda: True
    assert isinstance(event, TrainingFinished)
    assert event.reason == "diverged"
    assert event.steps >= 3  # what is kept of slices can be trained on for some steps more
    assert re.search(NOT_FINITE, event.message)
    assert re.search(r"(at|after) step \d; the last good state before", event.message)
    assert all(torch.isfinite(tensor).all() for tensor in event.state.values())


def test_nor_does_one_that_breaks_on_a_held_out_slice_lose_the_run(fragile, samples):
    condition, model = fragile
    # As long as the adapter has no effect, conditions are not computed.
    condition.breaks = lambda: not torch.is_grad_enabled()
    finished = end_of_run(model, samples, config("full", 9))
    assert finished.reason == "diverged"
    assert finished.steps > 0
    assert re.search(NOT_FINITE, finished.message)
    assert finished.held_out_scores == ()
    assert same(finished.state, model.state_dict())


def test_what_was_trained_is_saved_without_the_slices_it_breaks_on(fragile, samples, tmp_path):
    condition, _ = fragile
    out, shape = tmp_path / "a.safetensors", AdapterConfig(conditions=OWN_TERMS)
    settings = config("full", 4)
    job = TrainingJob(samples, out, settings, "lite_medsam", adapter=shape, input_size=56)
    for event in run_job(job):
        if isinstance(event, StepReport) and event.step == 2:
            condition.breaks = lambda: not torch.is_grad_enabled()
    condition.breaks = lambda: False
    _, card = load_adapter(out)
    assert card.training["ended"] == "diverged"
    assert card.training["n_held_out"] > 0
    assert card.training["held_out_dice_classes"] == {}
    assert card.training["box_dice"] == {
        **dict.fromkeys(("adapter", "base", "median_gain")),
        "n_slices": 0,
    }


def test_one_that_breaks_before_the_first_step_names_the_slice(fragile, samples):
    condition, model = fragile
    with torch.no_grad():
        for parameter in model.adapter.parameters():
            parameter += 0.01
    condition.breaks = lambda: True
    with pytest.raises(ConditionError, match=NOT_FINITE):
        end_of_run(model, samples, config("full", 1))
