"""Which state of a model a run ends with: the held-out slices decide, as far as they can tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from torch import Tensor

from napari_sam_adapter.errors import ConditionError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.training.events import PairedScore, ValidationReport
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.scoring import Scores, SliceScorer
from napari_sam_adapter.training.weights_average import WeightsAverage
from napari_sam_adapter.training.workers import Workers

# A few held-out slices tell a broken state from a good one, but not which of two good ones is
# better: choosing the best by one or two slices cost up to 0.02 Dice on a hundred others
# (docs/recipe.md). So the latest state is kept unless an earlier one was better by more than this.
DICE_TOLERANCE = 0.02
# What a checkpoint holds of it; the names are those of every release's checkpoints.
_STATE = ("kept", "highest", "scores_before", "earlier_before")


class KeptState:
    """Scores slices before, during and after a run, and keeps the model's state while it is good.

    Parameters
    ----------
    model : AdaptedSam
    average : WeightsAverage
        Of the weights that are trained: what is scored and kept.
    held_out : SliceScorer
        Of the slices that the run does not learn from; may have none.
    earlier : SliceScorer
        Of slices that the adapter the run started from knew.
    workers : Workers
    computing : callable
        Returns a context for what takes long (`FreeThreads.used`).
    """

    def __init__(
        self,
        model: AdaptedSam,
        average: WeightsAverage,
        held_out: SliceScorer,
        earlier: SliceScorer,
        workers: Workers,
        computing: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._model, self._average, self._workers = model, average, workers
        self._held_out, self._earlier, self._computing = held_out, earlier, computing
        # Dice of the model the run started from, and of the kept state. Where training has only
        # made it worse, the kept state is worse: whoever started the run decides what to make of
        # it (`promotion`).
        self._scores_before: Scores = ()
        self._earlier_before: Scores = ()
        self._earlier_after: Scores = ()
        self._kept: tuple[Scores, dict[str, Tensor]] | None = None
        self._start = state_of(model)
        self._highest = -math.inf

    @property
    def is_empty(self) -> bool:
        """Whether no state was kept yet."""
        return self._kept is None

    def start(self) -> ValidationReport | None:
        """Score the model before the first step; None without held-out slices.

        Raises
        ------
        ConditionError
            If a condition cannot be computed of one of the slices.
        """
        self._scores_before = self._score_held_out(learned=False)
        with self._computing():
            self._earlier_before = self._earlier_after = self._earlier.scores(learned=False)
        if not _are_known(self._scores_before + self._earlier_before):
            raise ConditionError(self.refusal())
        if not self._scores_before:
            return None
        return ValidationReport(0, _mean(self._scores_before), is_kept=False)

    def validate(self, step: int) -> ValidationReport | None:
        """Score the held-out slices, and keep the state if it is good; None if they cannot be."""
        with self._average.swapped_in():
            scores = self._score_held_out()
            if not _are_known(scores):
                self._kept = self._kept or ((), state_of(self._model))
                return None
            score = _mean(scores)
            is_good = self._kept is None or score >= self._highest - DICE_TOLERANCE
            is_kept = is_good and self._average.is_finite
            if is_kept:
                self._kept = (scores, state_of(self._model))
        self._highest = max(self._highest, score)
        return ValidationReport(step, score, is_kept)

    def keep(self) -> None:
        """Keep the state as it is, where no slice can tell whether it is good."""
        with self._average.swapped_in():
            self._kept = ((), state_of(self._model))

    def put_back(self) -> dict[str, Tensor]:
        """Put what is kept into the model, or else what the run started from, and return it."""
        state = self._start if self._kept is None else self._kept[1]
        self._model.load_state_dict(state)
        return state

    def score_earlier(self, n_slices: int | None = None) -> bool:
        """Score the earlier slices, or so many of them; tell whether they could be."""
        with self._computing():
            scores = self._earlier.scores(n_slices)
        known = _are_known(scores)
        self._earlier_after = scores if known else ()
        return known

    def held_out_scores(self) -> tuple[PairedScore, ...]:
        """Return the Dice of the held-out slices before the run, and of what is kept."""
        after = self._scores_before if self._kept is None else self._kept[0]
        return _paired(self._held_out.slices, self._scores_before, after)

    def earlier_scores(self) -> tuple[PairedScore, ...]:
        """Return the same of the earlier slices, as far as they were scored again."""
        return _paired(self._earlier.slices, self._earlier_before, self._earlier_after)

    def refusal(self) -> str:
        """Say which slice could not be scored, and why; all processes ask together."""
        texts = self._workers.gathered(self._held_out.refusal or self._earlier.refusal)
        return next(filter(None, texts), "")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {name: getattr(self, f"_{name}") for name in _STATE}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name in _STATE:
            if name in state:  # runs of earlier releases did not score earlier slices
                setattr(self, f"_{name}", state[name])

    def _score_held_out(self, *, learned: bool = True) -> Scores:
        with self._computing():
            return self._held_out.scores(learned=learned)


def state_of(model: AdaptedSam) -> dict[str, Tensor]:
    """Return a copy of a model's state, on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}


def _paired(
    slices: Sequence[TrainingSample], before: Scores, after: Scores
) -> tuple[PairedScore, ...]:
    """Pair the scores of the slices that were scored both before and after."""
    columns = zip(slices, before, after, strict=False)
    return tuple(PairedScore(sample.name, *dice) for sample, *dice in columns)


def _are_known(scores: Scores) -> bool:
    return all(map(math.isfinite, scores))


def _mean(scores: Sequence[float]) -> float:
    return float(np.mean(scores))
