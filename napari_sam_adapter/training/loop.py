"""The training loop: a generator of events that any caller may stop between two steps."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property

import numpy as np
import torch

from napari_sam_adapter.errors import CheckpointError, StorageError, TrainingError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.devices import precision_on
from napari_sam_adapter.sam.encode import Encoder
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import (
    StepReport,
    TrainingEvent,
    TrainingFinished,
    TrainingStarted,
    ValidationReport,
)
from napari_sam_adapter.training.feeds import feed_for
from napari_sam_adapter.training.kept_state import KeptState, state_of
from napari_sam_adapter.training.resume import identity_of, read_run, write_run
from napari_sam_adapter.training.run_checkpoint import SECONDS_BETWEEN
from napari_sam_adapter.training.run_options import RunOptions
from napari_sam_adapter.training.samples import TrainingSample, check_labels
from napari_sam_adapter.training.scoring import SliceScorer
from napari_sam_adapter.training.split import earlier_samples, split_samples
from napari_sam_adapter.training.step import Stepper
from napari_sam_adapter.training.threads import FreeThreads

_log = logging.getLogger(__name__)

N_VALIDATIONS = 8
FIRST_VALIDATION = 0.3
# Of the time between two validations, how much the first of them may have cost: fewer are made
# where the held-out slices are many or the model is slow.
VALIDATION_SHARE = 0.1
# Whoever presses Stop wants the version: only so many earlier slices are scored again then.
EARLIER_WHEN_STOPPED = 4
# What a checkpoint holds besides the weights, the optimizer and what is kept.
_PLAIN = ("last_loss", "next_validation")


def train_adapter(
    model: AdaptedSam,
    samples: Sequence[TrainingSample],
    config: TrainingConfig,
    options: RunOptions | None = None,
) -> Iterator[TrainingEvent]:
    """Train an adapted model on slices a person stands behind.

    Parameters
    ----------
    model : AdaptedSam
        Changed in place; at the end it holds the state that was kept. Its base never changes.
    samples : sequence of TrainingSample
    config : TrainingConfig
    options : RunOptions, optional

    Yields
    ------
    TrainingEvent
        `TrainingStarted`, then `StepReport` and `ValidationReport`, last `TrainingFinished`.

    Raises
    ------
    TrainingError
        If there is nothing to learn from.
    CheckpointError
        If a run is to be continued that is another one.
    ConditionError
        If a condition cannot be computed of a slice that is scored before the first step. Once
        there were steps, the run ends with the best state instead.
    """
    if not samples:
        raise TrainingError(
            "There is no slice to train on: correct or accept at least one slice first."
        )
    check_labels(samples, model.settings.class_names)
    if not any(sample.shows_object for sample in samples):
        raise TrainingError(
            "Every mask to train on is empty: the model cannot learn what the object looks like. "
            "Correct at least one slice that shows it."
        )
    yield from _Run(model, samples, config, options or RunOptions()).events()


class _Run:
    """The state of one run, so that `train_adapter` stays a plain function to its callers."""

    def __init__(
        self,
        model: AdaptedSam,
        samples: Sequence[TrainingSample],
        config: TrainingConfig,
        options: RunOptions,
    ) -> None:
        self._model, self._config, self._options = model, config, options
        self._workers = options.workers
        rng = np.random.default_rng(config.seed)
        torch.manual_seed(config.seed)
        split = split_samples(samples, rng, history=options.history)
        self._training, self._held_out, self._leaks = split.training, split.held_out, split.leaks
        feed = feed_for(model, self._training, config, options.cache)
        self._stepper = Stepper(model, feed, config, self._workers)
        # What enters the late part is the same before late, after it, and before full.
        encoder = Encoder(model, options.cache, keeps_prefixes=True)
        held_out = SliceScorer(model, split.scored, config.gear, encoder, self._workers)
        # As they are predicted: what a person sees of them is not to get worse.
        known, views = earlier_samples(samples, options.history), config.views(model.spec.views)
        # What it learns besides must not hide that: only the classes that were known count.
        counted = options.history.n_classes
        earlier = SliceScorer(model, known, config.gear, encoder, self._workers, views, counted)
        self._start = self._checkpoint_time = time.monotonic()
        n_batches = self._workers.n_batches
        self._total_steps = config.total_steps(len(self._training), n_batches)
        # Runs that end by steps are to be alike; those that end by time depend on it anyway.
        self._computing = FreeThreads().used if self._total_steps is None else nullcontext
        average, workers = self._stepper.average, self._workers
        self._kept = KeptState(model, average, held_out, earlier, workers, self._computing)
        self._seconds = self._progress = 0.0
        self._next_validation = FIRST_VALIDATION
        self._scoring_seconds = 0.0
        self._last_loss: float | None = None

    def events(self) -> Iterator[TrainingEvent]:
        """Run to the end, yielding events."""
        device = self._model.device
        parts = len(self._training), len(self._held_out)
        yield TrainingStarted(*parts, str(device), precision_on(device))
        if not self._resumed():
            report = self._kept.start()
            if report is not None:
                yield report
            # Large models on many slices are scored for longer than a short run is to take.
            self._start = self._checkpoint_time = time.monotonic()
        reason = "completed"
        while True:
            stop = self._look_at_the_clock()
            if self._held_out and self._next_validation <= self._progress < 1.0:
                report = self._validate()
                if report is None:
                    reason = "diverged"
                    break
                yield report
                cost = self._scoring_seconds / self._config.max_seconds
                usual = (1.0 - FIRST_VALIDATION) / N_VALIDATIONS
                self._next_validation += max(usual, cost / VALIDATION_SHARE)
            self._write_checkpoint()
            if self._progress >= 1.0 or stop:
                reason = "stopped" if stop else reason
                break
            with self._computing():
                loss = self._stepper.take(self._progress)
            if not math.isfinite(loss):
                reason = "diverged"
                break
            self._last_loss = loss
            yield self._report(loss)
        yield self._finish(reason)

    def _look_at_the_clock(self) -> bool:
        """Agree with all workers on how far the run is, and on whether somebody wants to stop."""
        elapsed = time.monotonic() - self._start
        wish, seconds = self._workers.sums(float(self._options.should_stop()), elapsed)
        self._seconds = seconds / self._workers.count
        self._progress = self._share_done(self._seconds)
        return wish > 0

    def _share_done(self, seconds: float) -> float:
        by_steps = self._stepper.step / self._total_steps if self._total_steps else 0.0
        return max(seconds / self._config.max_seconds, by_steps)

    def _report(self, loss: float) -> StepReport:
        seconds = time.monotonic() - self._start
        progress = min(1.0, self._share_done(seconds))
        left = seconds * (1.0 - progress) / max(progress, 1e-6)
        return StepReport(self._stepper.step, loss, progress, seconds, left)

    def _validate(self) -> ValidationReport | None:
        start = time.monotonic()
        report = self._kept.validate(self._stepper.step)
        (seconds,) = self._workers.sums(time.monotonic() - start)
        self._scoring_seconds = seconds / self._workers.count
        return report

    def _finish(self, reason: str) -> TrainingFinished:
        kept, stepper = self._kept, self._stepper
        # What broke down is a slice, or the weights themselves: these are not kept.
        is_good = stepper.gives_numbers() if reason == "diverged" else stepper.average.is_finite
        reason = reason if is_good else "diverged"
        if stepper.step and is_good:
            if not self._held_out:
                kept.keep()
            elif reason != "diverged" or kept.is_empty:
                reason = "diverged" if self._validate() is None else reason
        state = kept.put_back()
        step = 0 if kept.is_empty else stepper.step
        n_earlier = EARLIER_WHEN_STOPPED if reason == "stopped" else None
        if step and not kept.score_earlier(n_earlier):
            reason = "diverged"
        return TrainingFinished(
            reason=reason,
            state=state,
            steps=step,
            seconds=time.monotonic() - self._start,
            last_loss=self._last_loss,
            trained_on=tuple(sample.digest for sample in self._training),
            held_out=tuple(sample.digest for sample in self._held_out),
            held_out_scores=kept.held_out_scores(),
            earlier_scores=kept.earlier_scores(),
            held_out_leaks=self._leaks,
            message=self._breakdown() if reason == "diverged" else "",
        )

    def _breakdown(self) -> str:
        """Say what broke down; all processes ask together."""
        if refusal := self._kept.refusal():
            step = self._stepper.step
            return (
                f"{refusal} Training ended after step {step}; the last good state before that is "
                "kept."
            )
        return self._stepper.breakdown(is_kept=not self._kept.is_empty)

    @cached_property
    def _identity(self) -> str:
        """What tells this run from others; it reads every image, so it is worked out once."""
        slices = [*self._training, *self._held_out]
        start, n_batches = self._options.started_from, self._workers.n_batches
        return identity_of(self._config, slices, start, n_batches)

    def _write_checkpoint(self) -> None:
        checkpoint, step = self._options.checkpoint, self._stepper.step
        if checkpoint is None or not self._workers.is_main or not step or checkpoint.is_homeless:
            return
        waited = time.monotonic() - self._checkpoint_time
        if step % checkpoint.every and waited < SECONDS_BETWEEN:
            return
        state = {
            "step": step,
            "seconds": self._seconds,
            "model": state_of(self._model),
            "optimizer": self._stepper.optimizer.state_dict(),
            "average": self._stepper.average.state(),
            **self._kept.state(),
            **{name: getattr(self, f"_{name}") for name in _PLAIN},
        }
        try:
            write_run(checkpoint, self._identity, state)
        except StorageError as error:  # what it learns counts for more than that it can be resumed
            _log.warning("The run goes on without a new checkpoint. %s", error)
        self._checkpoint_time = time.monotonic()

    def _resumed(self) -> bool:
        """Take up an earlier run's state, if there is one; tell whether there was."""
        checkpoint = self._options.checkpoint
        if checkpoint is None or not checkpoint.resume:
            return False
        state, error = None, ""
        if self._workers.is_main:  # it wrote the file, and others may not see its disk
            try:
                state = read_run(checkpoint, self._identity)
            except CheckpointError as refusal:
                error = str(refusal)
        state, error = self._workers.shared((state, error))
        if error:
            raise CheckpointError(error)
        if state is None:
            return False
        self._model.load_state_dict(state["model"])
        self._stepper.optimizer.load_state_dict(state["optimizer"])
        self._stepper.average.load(state["average"])
        self._stepper.step = state["step"]
        self._start = time.monotonic() - state["seconds"]
        self._kept.load(state)
        for name in _PLAIN:
            setattr(self, f"_{name}", state[name])
        return True
