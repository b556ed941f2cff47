"""One training step: losses of a batch, gradients, the optimizer, the running average."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.adapter.config import Cut
from napari_sam_adapter.errors import ConditionError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.devices import autocast
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.embedding_noise import blurred_embedding
from napari_sam_adapter.training.feed import Fed, Feed
from napari_sam_adapter.training.loss import at_size_of, mask_loss
from napari_sam_adapter.training.simulated_prompts import (
    simulate_boxes,
    simulate_clicks,
)
from napari_sam_adapter.training.weights_average import WeightsAverage
from napari_sam_adapter.training.workers import Workers


class Stepper:
    """Takes steps.

    Parameters
    ----------
    model : AdaptedSam
    feed : Feed
    config : TrainingConfig
    workers : Workers
        Each takes ``batch_size`` slices per step, or several times as many where it accumulates;
        the gradients of all are averaged.

    Attributes
    ----------
    step : int
        Steps taken.
    parameters : list of Parameter
        What is trained.
    """

    def __init__(
        self, model: AdaptedSam, feed: Feed, config: TrainingConfig, workers: Workers
    ) -> None:
        self._model, self._feed, self._config, self._workers = model, feed, config, workers
        self.optimizer = _optimizer(model, config)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.average = WeightsAverage(self.parameters, config.ema_decay, config.start_share)
        self._prompted_share = config.prompted_share if model.takes_prompts else 0.0
        self.step = 0
        # What went wrong in this process at the step that could not be taken.
        self._broken_at: list[str] = []
        self._refusal = ""

    def take(self, progress: float) -> float:
        """Take one step and return its mean loss; nan or infinite if nothing was changed.

        Parameters
        ----------
        progress : float
            Share of the run that is done; it decides the learning rate.
        """
        share = learning_rate_share(progress, self._config.warmup_share)
        final = self._config.final_learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = final + (group["peak"] - final) * share
        self.optimizer.zero_grad(set_to_none=True)
        workers = self._workers
        size = self._config.batch_size * workers.accumulation
        first = (self.step * workers.count + workers.rank) * size
        positions = range(first, first + size)
        # No number here tells the other processes, who wait for this one's.
        mine = self._add_gradients(positions)
        loss = workers.sums(mine)[0] / (workers.count * size)
        if not math.isfinite(loss):
            return loss
        workers.average_gradients(self.parameters)
        limit = math.inf if self._config.gradient_clip is None else self._config.gradient_clip
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        if not math.isfinite(float(norm)):
            # The loss was a number, its gradient is not: one step would spoil all.
            self._find_broken_gradients(positions)
            return math.nan
        self.optimizer.step()
        self.step += 1
        self.average.update(self.step)
        return loss

    def gives_numbers(self) -> bool:
        """Tell whether what was learned predicts numbers; all processes ask together.

        Asked of slices that the last step had a loss of. Where a step cannot be taken, this tells a
        slice that is at fault from weights that are.
        """
        batch = self._config.batch_size * self._workers.accumulation
        position = ((self.step - 1) * self._workers.count + self._workers.rank) * batch
        is_broken = not self.average.is_finite
        if self.step and not is_broken:
            with self.average.swapped_in(), torch.no_grad(), contextlib.suppress(ConditionError):
                fed = self._feed.at(position)
                with autocast(self._model.device):
                    logits = self._model.decode(fed.embedding, fed.geometry)
                is_broken = not bool(torch.isfinite(logits).all())
        return self._workers.sums(float(is_broken))[0] == 0

    def breakdown(self, *, is_kept: bool) -> str:
        """Say why the last step could not be taken; all processes ask together.

        Parameters
        ----------
        is_kept : bool
            Whether anything that was learned before is kept.
        """
        at, workers = f"at step {self.step + 1}", self._workers
        kept = "; the last good state before that is kept." if is_kept else "."
        refusals = [text for text in workers.gathered(self._refusal) if text]
        names = ", ".join(text for text in workers.gathered(", ".join(self._broken_at)) if text)
        if refusals:
            return f"{refusals[0]} Training ended {at}{kept}"
        where = f"{at} ({names})" if names else at
        return f"The loss or its gradient was no longer a number {where}{kept}"

    def _add_gradients(self, positions: range) -> float:
        """Add up the gradients of slices and return the sum of their losses."""
        total = 0.0
        try:
            for position in positions:
                fed = self._feed.at(position)
                loss = self._backward(fed, len(positions))
                if not math.isfinite(loss):
                    self._broken_at.append(fed.name)
                total += loss
        except ConditionError as error:
            self._refusal = str(error)
            return math.nan
        return total

    def _find_broken_gradients(self, positions: range) -> None:
        """Find the slices whose own gradient is no number: what came at a position comes again."""
        for position in positions:
            self.optimizer.zero_grad(set_to_none=True)
            fed = self._feed.at(position)
            self._backward(fed, 1)
            # Measured as the step does: of numbers that are too large, the norm is none.
            if not math.isfinite(float(torch.nn.utils.clip_grad_norm_(self.parameters, math.inf))):
                self._broken_at.append(fed.name)

    def _backward(self, fed: Fed, size: int) -> float:
        """Add the gradients of one of ``size`` slices and return its loss."""
        with autocast(self._model.device):
            logits = self._model.decode(fed.embedding, fed.geometry)
        loss = self._loss(fed, at_size_of(fed.target, logits), fed.target)
        if fed.rng.random() < self._prompted_share:
            loss = loss + self._prompted_loss(fed)
        value = float(loss.detach())
        if math.isfinite(value):
            (loss / size).backward()  # type: ignore[no-untyped-call]
        return value

    def _prompted_loss(self, fed: Fed) -> Tensor:
        """Return the loss of the answers to simulated boxes and clicks, where any can be given."""
        index = int(fed.rng.integers(fed.target.shape[1]))
        truth = fed.mask(fed.target, index)
        loss = fed.target.new_zeros(())
        if truth.any():
            boxes, others = simulate_boxes(truth, index, fed.rng)
            loss = loss + self._answer_loss(fed, boxes, others)
        blurred = replace(fed, embedding=blurred_embedding(fed.embedding, fed.rng))
        with torch.no_grad(), autocast(self._model.device):
            guess = self._model.decode(blurred.embedding, fed.geometry)
        predicted = fed.mask(at_size_of(fed.target, guess).sigmoid(), index)
        clicks = simulate_clicks(truth, predicted, index, fed.rng)
        return loss if clicks is None else loss + self._answer_loss(blurred, clicks)

    def _answer_loss(self, fed: Fed, prompts: Prompts, others: np.ndarray | None = None) -> Tensor:
        """Return the loss of an answer to prompts, which leaves other objects (h, w) out."""
        size, index = fed.geometry.content_hw, prompts.class_index
        as_seen = InputGeometry(size, size, fed.geometry.input_size)
        with autocast(self._model.device):
            answers = self._model.decode(fed.embedding, as_seen, prompts)
        # As in prediction: the objects of all boxes together are the answer.
        answer = at_size_of(fed.target, answers)[:, index].amax(0, keepdim=True)[None]
        target = fed.target[:, index : index + 1].clone()
        if others is not None:
            fed.content(target)[0, 0, torch.from_numpy(others).to(target.device)] = 0
        return self._loss(fed, answer, target)

    def _loss(self, fed: Fed, logits: Tensor, target: Tensor) -> Tensor:
        return mask_loss(fed.content(logits), fed.content(target), self._config.loss)


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


def _optimizer(model: AdaptedSam, config: TrainingConfig) -> torch.optim.AdamW:
    decoder = model.decoder_parameters()
    for parameter in decoder:
        parameter.requires_grad_(True)
    model.adapter.requires_grad_(False)
    groups = [{"params": decoder, "peak": config.decoder_learning_rate}]
    if config.gear != "quick":
        cut = Cut(0, 0) if config.gear == "full" else model.base.encoder.late_cut
        adapter = [p for part in model.adapter.parts_after(cut) for p in part.parameters()]
        for parameter in adapter:
            parameter.requires_grad_(True)
        groups.append({"params": adapter, "peak": config.adapter_learning_rate})
    # One pass over the weights instead of a dozen; Apple's GPUs have no such kernel for all types.
    fused = model.device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay, fused=fused)
