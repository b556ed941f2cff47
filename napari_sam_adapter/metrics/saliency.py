"""Scores of a probability map as the papers on salient and camouflaged objects give them.

PySODMetrics computes them: its numbers are those of the papers' own MATLAB code. It is installed
with the extra ``metrics``, not with the plugin, because it forbids current numpy and scikit-image.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

import numpy as np

from napari_sam_adapter.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class SaliencyScores:
    """Scores of one probability map.

    Attributes
    ----------
    s_measure : float
        Structure-measure with alpha 0.5: how well objects and regions keep their structure, 0 to 1
        (Fan et al., ICCV 2017).
    e_measure : float
        Enhanced-alignment measure, mean over 256 cuts of the map (Fan et al., IJCAI 2018).
    weighted_f : float
        F-measure whose errors are weighted by where they lie (Margolin et al., CVPR 2014); nan
        without an object in the truth, where recall is 0 / 0.
    mae : float
        Mean absolute difference of map and truth, 0 (best) to 1 (Perazzi et al., CVPR 2012).
    """

    s_measure: float
    e_measure: float
    weighted_f: float
    mae: float


def is_installed() -> bool:
    """Tell whether PySODMetrics is there, without importing it."""
    return importlib.util.find_spec("py_sod_metrics") is not None


def saliency_scores(
    probability: np.ndarray, truth: np.ndarray, *, weighted_f_beta: float = 1.0
) -> SaliencyScores:
    """Score one probability map.

    Parameters
    ----------
    probability : ndarray of float, shape (Y, X)
        Values in 0..1, used as they are; see `rescaled`.
    truth : ndarray of bool, shape (Y, X)
    weighted_f_beta : float
        The factor beta squared of the weighted F. 1 in its paper and in PySODMetrics, 0.3 in
        SAM-Adapter's copy of it.

    Returns
    -------
    SaliencyScores
        As PySODMetrics gives them, but for the weighted F without an object in the truth: there it
        answers 0 even for a perfectly empty map.

    Raises
    ------
    EvaluationError
        If PySODMetrics is not installed.
    """
    if not is_installed():
        raise EvaluationError(
            "S-measure, E-measure, weighted F and MAE are computed by the package pysodmetrics, "
            "which is not installed; install it with: pip install 'napari-sam-adapter[metrics]'"
        )
    import py_sod_metrics

    prediction = np.asarray(probability, np.float64)
    s_measure = py_sod_metrics.Smeasure(alpha=0.5)
    e_measure = py_sod_metrics.Emeasure()
    weighted_f = py_sod_metrics.WeightedFmeasure(beta=weighted_f_beta)
    error = py_sod_metrics.MAE()
    for measure in (s_measure, e_measure, weighted_f, error):
        measure.step(prediction, truth, normalize=False)
    return SaliencyScores(
        s_measure=float(s_measure.get_results()["sm"]),
        e_measure=float(e_measure.get_results()["em"]["curve"].mean()),
        weighted_f=float(weighted_f.get_results()["wfm"]) if truth.any() else math.nan,
        mae=float(error.get_results()["mae"]),
    )


def rescaled(probability: np.ndarray) -> np.ndarray:
    """Stretch a map to 0..1 by its own minimum and maximum; a map of one value stays as it is.

    The papers' code does so to each prediction before it is scored, which gives full marks to a map
    that is right everywhere but never sure.
    """
    values = np.asarray(probability, np.float64)
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else values
