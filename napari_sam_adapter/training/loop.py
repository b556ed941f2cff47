"""The training loop: a generator of events that any caller may stop between two steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.devices import autocast, uses_bfloat16
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.predict import ImageEmbedding, decode_masks, encode_image
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import (
    StepReport,
    TrainingEvent,
    TrainingFinished,
    TrainingStarted,
    ValidationReport,
)
from napari_sam_adapter.training.feeds import EmbeddingFeed, ImageFeed
from napari_sam_adapter.training.loss import at_size_of, mask_loss
from napari_sam_adapter.training.samples import (
    NO_HISTORY,
    History,
    TrainingSample,
    check_labels,
    split_samples,
)
from napari_sam_adapter.training.simulated_prompts import simulate_prompts
from napari_sam_adapter.training.weights_average import WeightsAverage

N_VALIDATIONS = 8
FIRST_VALIDATION = 0.3
# A few held-out slices tell a broken state from a good one, but not which of two good ones is
# better: choosing the best by one or two slices cost up to 0.02 Dice on a hundred others
# (docs/results.md). So the latest state is kept unless an earlier one was better by more than this.
DICE_TOLERANCE = 0.02


def train_adapter(
    model: AdaptedSam,
    samples: Sequence[TrainingSample],
    config: TrainingConfig,
    *,
    history: History = NO_HISTORY,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingEvent]:
    """Train an adapted model on slices a person stands behind.

    Parameters
    ----------
    model : AdaptedSam
        Changed in place; at the end it holds the state that was kept. Its base never changes.
    samples : sequence of TrainingSample
    config : TrainingConfig
    history : History
        What the model was trained on before; it decides what can be held out.
    should_stop : callable
        Asked before each step; once true, the run ends with the best state so far.

    Yields
    ------
    TrainingEvent
        `TrainingStarted`, then `StepReport` and `ValidationReport`, last `TrainingFinished`.

    Raises
    ------
    TrainingError
        If there is nothing to learn from.
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
    yield from _Run(model, samples, config, history, should_stop).events()


class _Run:
    """The state of one run, so that `train_adapter` stays a plain function to its callers."""

    def __init__(
        self,
        model: AdaptedSam,
        samples: Sequence[TrainingSample],
        config: TrainingConfig,
        history: History,
        should_stop: Callable[[], bool],
    ) -> None:
        self._model = model
        self._config = config
        self._should_stop = should_stop
        self._rng = np.random.default_rng(config.seed)
        torch.manual_seed(config.seed)
        self._training, self._held_out = split_samples(samples, self._rng, history=history)
        self._optimizer = _optimizer(model, config)
        self._average = WeightsAverage(_trainable(model, config), config.ema_decay)
        self._held_out_embeddings: list[ImageEmbedding] = []
        self._start = time.monotonic()
        takes_prompts = not model.settings.own_prompt_embedding
        self._prompted_share = config.prompted_share if takes_prompts else 0.0
        self._total_steps = config.total_steps(len(self._training))
        self._step = 0
        self._last_loss: float | None = None
        self._dice_before: float | None = None
        self._kept: tuple[float, dict[str, Tensor]] | None = None
        self._highest = -math.inf

    def events(self) -> Iterator[TrainingEvent]:
        """Run to the end, yielding events."""
        device = self._model.device
        precision = "bf16" if uses_bfloat16(device) else "fp32"
        yield TrainingStarted(len(self._training), len(self._held_out), str(device), precision)
        feed = self._feed()
        if self._held_out:
            self._dice_before = self._score_held_out()
            self._kept = (self._dice_before, self._model_state())
            self._highest = self._dice_before
            yield ValidationReport(0, self._dice_before, is_kept=True)
        reason, next_validation = "completed", FIRST_VALIDATION
        while (progress := self._progress()) < 1.0:
            if self._should_stop():
                reason = "stopped"
                break
            loss = self._take_step(feed, progress)
            if not math.isfinite(loss):
                reason = "diverged"
                break
            yield self._report(loss)
            if self._held_out and self._progress() >= next_validation:
                next_validation += (1.0 - FIRST_VALIDATION) / N_VALIDATIONS
                yield self._validate()
        yield self._finish(reason)

    def _feed(self) -> EmbeddingFeed | ImageFeed:
        if self._config.gear == "quick":
            return EmbeddingFeed(self._model, self._training, self._rng)
        return ImageFeed(self._model, self._training, self._rng, self._config.augmentation)

    def _progress(self) -> float:
        by_time = (time.monotonic() - self._start) / self._config.max_seconds
        by_steps = self._step / self._total_steps if self._total_steps else 0.0
        return max(by_time, by_steps)

    def _take_step(self, feed: EmbeddingFeed | ImageFeed, progress: float) -> float:
        share = learning_rate_share(progress, self._config.warmup_share)
        final = self._config.final_learning_rate
        for group in self._optimizer.param_groups:
            group["lr"] = final + (group["peak"] - final) * share
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(self._config.batch_size):
            with autocast(self._model.device):
                embedding, target, geometry = feed.next()
                logits = self._model.decode(embedding, geometry)
            logits = at_size_of(target, logits)
            loss = mask_loss(logits, target, self._config.loss)
            if self._rng.random() < self._prompted_share:
                loss = loss + self._prompted_loss(embedding, target, geometry, logits)
            total += float(loss.detach())
            if not math.isfinite(total):
                return total
            (loss / self._config.batch_size).backward()  # type: ignore[no-untyped-call]
        limit = math.inf if self._config.gradient_clip is None else self._config.gradient_clip
        norm = torch.nn.utils.clip_grad_norm_(self._average.parameters, limit)
        if not math.isfinite(float(norm)):
            return math.nan  # the loss was a number, its gradient is not: one step would spoil all
        self._optimizer.step()
        self._step += 1
        self._average.update(self._step)
        self._last_loss = total / self._config.batch_size
        return self._last_loss

    def _prompted_loss(
        self, embedding: Tensor, target: Tensor, geometry: InputGeometry, logits: Tensor
    ) -> Tensor:
        """Return the loss of the answer to a simulated prompt; zero where none can be given."""
        height, width = geometry.content_hw
        index = int(self._rng.integers(target.shape[1]))
        content = (0, index, slice(0, height), slice(0, width))
        prompts = simulate_prompts(
            (target[content] > 0.5).cpu().numpy(),
            (logits.detach()[content] > 0).cpu().numpy(),
            index,
            self._rng,
        )
        if prompts is None:
            return logits.new_zeros(())
        as_seen = InputGeometry(geometry.content_hw, geometry.content_hw, geometry.input_size)
        with autocast(self._model.device):
            answers = self._model.decode(embedding, as_seen, prompts)
        # As in prediction: the objects of all boxes together are the answer.
        answer = at_size_of(target, answers)[:, index].amax(0, keepdim=True)[None]
        return mask_loss(answer, target[:, index : index + 1], self._config.loss)

    def _report(self, loss: float) -> StepReport:
        seconds = time.monotonic() - self._start
        progress = min(1.0, self._progress())
        left = seconds * (1.0 - progress) / max(progress, 1e-6)
        return StepReport(self._step, loss, progress, seconds, left)

    def _validate(self) -> ValidationReport:
        with self._average.swapped_in():
            score = self._score_held_out()
            is_kept = self._kept is None or score >= self._highest - DICE_TOLERANCE
            if is_kept:
                self._kept = (score, self._model_state())
        self._highest = max(self._highest, score)
        return ValidationReport(self._step, score, is_kept)

    def _score_held_out(self) -> float:
        scores = []
        if self._config.gear == "quick" and not self._held_out_embeddings:
            self._held_out_embeddings = [encode_image(self._model, s.image) for s in self._held_out]
        for index, sample in enumerate(self._held_out):
            embedding = (
                self._held_out_embeddings[index]
                if self._held_out_embeddings
                else encode_image(self._model, sample.image)
            )
            labels = decode_masks(self._model, embedding).labels
            scores.append(mean_class_dice(labels, sample.labels, self._model.settings.n_classes))
        return float(np.mean(scores))

    def _finish(self, reason: str) -> TrainingFinished:
        if self._held_out and self._step and reason != "diverged":
            self._validate()
        elif not self._held_out and self._step:
            with self._average.swapped_in():
                self._kept = (math.nan, self._model_state())
        score, state = self._kept if self._kept is not None else (math.nan, self._model_state())
        self._model.load_state_dict(state)
        message = ""
        if reason == "diverged":
            message = (
                f"The loss was no longer a number at step {self._step + 1}; the last good state "
                "before that is kept."
            )
        return TrainingFinished(
            reason=reason,
            state=state,
            steps=self._step,
            seconds=time.monotonic() - self._start,
            last_loss=self._last_loss,
            trained_on=tuple(sample.digest for sample in self._training),
            held_out=tuple(sample.digest for sample in self._held_out),
            held_out_before=self._dice_before,
            held_out_after=None if math.isnan(score) else score,
            message=message,
        )

    def _model_state(self) -> dict[str, Tensor]:
        state = self._model.state_dict()
        return {key: value.detach().cpu().clone() for key, value in state.items()}


def learning_rate_share(progress: float, warmup_share: float) -> float:
    """Return the share of the peak learning rate: linear warm-up, then cosine decay to zero.

    Parameters
    ----------
    progress : float
        Share of the run that is done, 0..1.
    warmup_share : float
        Share of the run in which the rate rises.
    """
    if progress < warmup_share:
        return max(progress / warmup_share, 0.02)
    after = (min(progress, 1.0) - warmup_share) / (1.0 - warmup_share)
    return 0.5 * (1.0 + math.cos(math.pi * after))


def _trainable(model: AdaptedSam, config: TrainingConfig) -> list[torch.nn.Parameter]:
    decoder = model.decoder_parameters()
    return decoder if config.gear == "quick" else [*decoder, *model.adapter.parameters()]


def _optimizer(model: AdaptedSam, config: TrainingConfig) -> torch.optim.AdamW:
    full = config.gear == "full"
    decoder = model.decoder_parameters()
    for parameter in decoder:
        parameter.requires_grad_(True)
    model.adapter.requires_grad_(full)
    groups = [{"params": decoder, "peak": config.decoder_learning_rate}]
    if full:
        adapter = list(model.adapter.parameters())
        groups.append({"params": adapter, "peak": config.adapter_learning_rate})
    # One pass over the weights instead of a dozen; Apple's GPUs have no such kernel for all types.
    fused = model.device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay, fused=fused)
