"""How much of a prediction a person will probably keep: a score per slice, from 0 to 1.

The raw score is the Dice that the predicted probabilities themselves expect. Networks trained on
few slices are too sure of themselves, so it is calibrated: by what was measured on other adapters,
and more and more by the adapter's own held-out slices, whose masks a person stands behind. All that
is about outlines; an empty mask is right or wrong as a whole, and its score stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_sam_adapter.adapter.card import AdapterCard

Pairs = Sequence[tuple[float, float]]

# How many held-out slices it takes to weigh as much as what was measured on other adapters.
PRIOR_WEIGHT = 8.0
_EDGE = 1e-3


class ScoreOfNothing(float):
    """The raw score of an empty mask, which no calibration changes."""


def expected_dice(probabilities: np.ndarray) -> float:
    """Return the Dice that probabilities expect of their own mask.

    Parameters
    ----------
    probabilities : ndarray of float, shape (K, h, w)
        In 0..1, one map per class. The mask is the likeliest class above 0.5.

    Returns
    -------
    float
        ``2 sum(p m) / (sum(p) + sum(m))`` of each class in the mask, averaged over them: the
        expected overlap over the expected sizes. Of an empty mask, a `ScoreOfNothing`: the
        probability that nothing is there, ``1 - max(p)``.
    """
    highest = probabilities.max(axis=0)
    if not (highest > 0.5).any():
        return ScoreOfNothing(1.0 - highest.max())
    likeliest = np.where(highest > 0.5, probabilities.argmax(axis=0), -1)
    scores = []
    for k, p in enumerate(probabilities):
        mask = likeliest == k
        if mask.any():
            scores.append(2.0 * float(p[mask].sum()) / (float(p.sum()) + int(mask.sum())))
    return float(np.mean(scores))


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone map from the raw score to the Dice it stands for.

    ``sigmoid(intercept + slope * logit(raw))``, as in Platt, Probabilistic outputs for support
    vector machines, 1999.
    """

    intercept: float
    slope: float

    def __call__(self, raw: float) -> float:
        """Return the confidence for a raw score."""
        if isinstance(raw, ScoreOfNothing):
            return float(raw)
        return float(_sigmoid(self.intercept + self.slope * _logit(raw)))


# By number of views; measured by docs/measure_confidence.py, see docs/results.md.
ONE_VIEW = Calibration(-1.50, 0.99)
SEVERAL_VIEWS = Calibration(-0.31, 0.75)


def fit_calibration(pairs: Pairs, prior: Calibration | None = None) -> Calibration:
    """Fit a calibration by least squares.

    Parameters
    ----------
    pairs : sequence of (raw score, Dice)
    prior : Calibration, optional
        What holds without any pair; it counts like 8 pairs spread over all raw scores.
    """
    from scipy.optimize import least_squares

    raw, dice, share = (np.asarray(column, float) for column in _columns(pairs, prior))
    x = _logit(raw)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        errors = _sigmoid(parameters[0] + parameters[1] * x) - dice
        return np.asarray(np.sqrt(share) * errors)

    # A higher raw score never means less confidence, whatever a few slices say.
    start = (0.0, 1.0) if prior is None else (prior.intercept, prior.slope)
    bounds = ([-np.inf, 0.0], [np.inf, np.inf])
    found = least_squares(residuals, np.maximum(start, [-np.inf, 1e-6]), bounds=bounds)
    return Calibration(*(float(value) for value in found.x))


def confidence(card: AdapterCard | None, raw: float, views: int) -> float | None:
    """Return the confidence of one prediction; None for a base model, which knows no task."""
    return None if card is None else calibration_of(card.training, views)(raw)


def calibration_of(training: Mapping[str, Any], views: int) -> Calibration:
    """Return the calibration of an adapter.

    Parameters
    ----------
    training : mapping
        The training summary on its card.
    views : int
        How many views its predictions average.
    """
    prior = ONE_VIEW if views == 1 else SEVERAL_VIEWS
    pairs = training.get("confidence_pairs", {})
    try:
        found = [(float(raw), float(dice)) for raw, dice in pairs.get(str(views), ())]
    except (AttributeError, TypeError, ValueError):  # a card somebody else wrote
        found = []
    return fit_calibration(found, prior) if found else prior


def _columns(
    pairs: Pairs, prior: Calibration | None
) -> tuple[list[float], list[float], list[float]]:
    raw, dice = [r for r, _ in pairs], [d for _, d in pairs]
    share = [1.0] * len(pairs)
    if prior is not None:
        grid = np.linspace(0.3, 0.99, 16)
        raw += grid.tolist()
        dice += [prior(value) for value in grid]
        share += [PRIOR_WEIGHT / len(grid)] * len(grid)
    return raw, dice, share


def _logit(value: float | np.ndarray) -> Any:
    inside = np.clip(value, _EDGE, 1.0 - _EDGE)
    return np.log(inside / (1.0 - inside))


def _sigmoid(value: float | np.ndarray) -> Any:
    return 1.0 / (1.0 + np.exp(-value))
