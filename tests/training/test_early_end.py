"""Runs that end early: stopped by the person, or by a loss that is no number."""

import itertools
import math
import re

import pytest
import torch
from torch import Tensor

from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.training import step
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.loop import RunOptions, train_adapter


def config(gear: str, steps: int) -> TrainingConfig:
    """Return a configuration whose run ends even if no step succeeds."""
    # Prompted steps would ask for a second loss.
    return TrainingConfig(gear=gear, max_seconds=60.0, max_steps=steps, prompted_share=0.0)


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


def loss_that_breaks(monkeypatch, after: int, broken) -> None:
    """Let the loss of each step from ``after`` on go through ``broken``."""
    original, count = step.mask_loss, itertools.count()

    def loss(logits: Tensor, target: Tensor, kind: str) -> Tensor:
        value = original(logits, target, kind)
        return broken(value) if next(count) >= after else value

    monkeypatch.setattr(step, "mask_loss", loss)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("n_samples", [3, 8])
def test_a_loss_that_is_no_number_ends_the_run(small_sam, samples, monkeypatch, value, n_samples):
    loss_that_breaks(monkeypatch, 3, lambda loss: loss * value)
    finished = end_of_run(small_sam, samples[:n_samples], config("quick", 9))
    assert (finished.reason, finished.steps) == ("diverged", 3)
    assert re.search(r"step 4 \(slice \d\)", finished.message), "the image is named"
    assert all(torch.isfinite(tensor).all() for tensor in finished.state.values())
    assert math.isfinite(finished.last_loss)


def test_a_run_that_diverges_at_once_keeps_the_model(small_sam, samples, monkeypatch):
    before = frozen_copy(small_sam.state_dict())
    loss_that_breaks(monkeypatch, 0, lambda loss: loss * math.nan)
    finished = end_of_run(small_sam, samples, config("full", 9))
    assert finished.reason == "diverged"
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
