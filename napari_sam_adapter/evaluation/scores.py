"""All scores of an image or a volume: per class and overall, and summed up over a set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.evaluation.prompted import PromptProtocol
from napari_sam_adapter.metrics import saliency, surface
from napari_sam_adapter.metrics.bootstrap import MeanInterval, bootstrap_mean
from napari_sam_adapter.metrics.overlap import balanced_error_rate, dice, iou
from napari_sam_adapter.metrics.protocol import ORIGINAL, Protocol

# One value per measure, by the names of `MEASURES`; nan where a measure is not defined. Measures
# that were not asked for are absent.
Scores = Mapping[str, float]
# Labels (Y, X), probabilities (K, Y, X) and truth (Y, X) of one slice.
ScoredSlice = tuple[np.ndarray, np.ndarray, np.ndarray]

# What people read, by what programs read.
MEASURES = {
    "dice": "Dice",
    "iou": "IoU",
    "s_measure": "S-measure",
    "e_measure": "mean E-measure",
    "weighted_f": "weighted F",
    "mae": "MAE",
    "balanced_error_rate": "balanced error rate (%)",
    "hausdorff95": "95 % Hausdorff distance",
    "surface_dice": "surface Dice",
}


@dataclass(frozen=True, slots=True)
class Scoring:
    """What is measured, and how.

    Attributes
    ----------
    class_names : tuple of str, length K
        Class k has the label k + 1; 0 is the background.
    protocol : Protocol
    saliency : bool
        Whether the probability maps are scored (`saliency`, by PySODMetrics).
    surface : SurfaceSettings, or None
        How surfaces are measured (by MONAI); None leaves them out, for they take long.
    prompts : PromptProtocol, or None
        Prompts that are given, derived from the truth; None predicts without any.
    views : int
        How many views of a slice are averaged.

    Raises
    ------
    EvaluationError
        If surfaces are to be measured at the network's size, where distances mean nothing.
    """

    class_names: tuple[str, ...] = ("object",)
    protocol: Protocol = ORIGINAL
    saliency: bool = True
    surface: surface.SurfaceSettings | None = None
    prompts: PromptProtocol | None = None
    views: int = 1

    def __post_init__(self) -> None:
        if self.protocol.at_network_size and self.prompts is not None:
            raise EvaluationError(
                f"Prompts are given at an image's own size, and the protocol "
                f"'{self.protocol.name}' compares at another; use the protocol 'original'."
            )
        if self.protocol.at_network_size and self.surface is not None:
            raise EvaluationError(
                f"The protocol '{self.protocol.name}' resizes images to a square, in which "
                "distances mean nothing; measure surfaces with the protocol 'original'."
            )


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores of one image or volume.

    Attributes
    ----------
    overall : Scores
        Means over the classes below, each measure over those where it is defined.
    classes : mapping of str to Scores
        The classes that appear in the truth or the prediction; where none does, all of them, for
        they rightly agree that there is nothing.
    """

    overall: Scores
    classes: Mapping[str, Scores]


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over a set of images, overall and per class, with their 95 % intervals.

    Attributes
    ----------
    overall : mapping of measure to MeanInterval
    classes : mapping of class name to such a mapping
        Of a class, only the images count in which it was scored.
    """

    overall: Mapping[str, MeanInterval]
    classes: Mapping[str, Mapping[str, MeanInterval]]


def score_image(
    labels: np.ndarray,
    probabilities: np.ndarray,
    truth: np.ndarray,
    scoring: Scoring | None = None,
) -> ImageScores:
    """Score the prediction for one image.

    Parameters
    ----------
    labels : ndarray of int or bool, shape (Y, X)
        What was predicted: 0 for the background, k + 1 for class k.
    probabilities : ndarray of float, shape (K, Y, X)
        In 0..1, one map per class.
    truth : ndarray of int or bool, shape (Y, X)
        Labelled as the prediction.
    scoring : Scoring, optional

    Returns
    -------
    ImageScores

    Raises
    ------
    EvaluationError
        If the shapes do not fit, a label has no class, or the spacing is that of a volume.
    """
    scoring = scoring or Scoring()
    _check(labels, probabilities, truth, scoring)
    scored = _scored_classes(labels, truth, scoring)
    maps = {k: [_saliency_of(probabilities[k], truth == k + 1, scoring)] for k in scored}
    return _scores(labels, truth, maps, scoring)


def score_volume(slices: Iterable[ScoredSlice], scoring: Scoring | None = None) -> ImageScores:
    """Score the prediction for one volume, whose slices may come one by one.

    Overlaps and surfaces are those of the whole volume. The saliency measures are made for
    pictures: they are taken per slice, and averaged over all slices where they are defined.

    Parameters
    ----------
    slices : iterable of (labels, probabilities, truth)
        At least one, along the first axis of the volume, each as for `score_image`. Probabilities
        are not kept: a generator needs the memory of one slice of them.
    scoring : Scoring, optional

    Returns
    -------
    ImageScores

    Raises
    ------
    EvaluationError
        If the shapes do not fit, a label has no class, or the spacing is that of a picture.
    """
    scoring = scoring or Scoring()
    all_labels, all_truth = [], []
    maps: dict[int, list[Scores]] = {k: [] for k in range(len(scoring.class_names))}
    for labels, probabilities, truth in slices:
        _check(labels, probabilities, truth, scoring)
        all_labels.append(labels)
        all_truth.append(truth)
        for k, found in maps.items():
            found.append(_saliency_of(probabilities[k], truth == k + 1, scoring))
    return _scores(np.stack(all_labels), np.stack(all_truth), maps, scoring)


def summarise(images: Sequence[ImageScores], class_names: Sequence[str]) -> Summary:
    """Average over images or volumes, each counting once.

    Parameters
    ----------
    images : sequence of ImageScores
    class_names : sequence of str
        Classes to report, in this order.
    """
    return Summary(
        _means([image.overall for image in images]),
        {
            name: _means([image.classes[name] for image in images if name in image.classes])
            for name in class_names
        },
    )


def _scores(
    labels: np.ndarray,
    truth: np.ndarray,
    maps: Mapping[int, Sequence[Scores]],
    scoring: Scoring,
) -> ImageScores:
    classes: dict[str, Scores] = {}
    for k in _scored_classes(labels, truth, scoring):
        mask, wanted = labels == k + 1, truth == k + 1
        found = {
            "dice": dice(mask, wanted),
            "iou": iou(mask, wanted),
            **_mean_scores(maps[k]),
            "balanced_error_rate": balanced_error_rate(mask, wanted),
        }
        if scoring.surface is not None:
            found |= asdict(surface.surface_scores(mask, wanted, scoring.surface))
        classes[scoring.class_names[k]] = found
    return ImageScores(_mean_scores(list(classes.values())), classes)


def _scored_classes(labels: np.ndarray, truth: np.ndarray, scoring: Scoring) -> list[int]:
    everything = range(len(scoring.class_names))
    present = [k for k in everything if (labels == k + 1).any() or (truth == k + 1).any()]
    return present or list(everything)


def _saliency_of(probability: np.ndarray, truth: np.ndarray, scoring: Scoring) -> Scores:
    if not scoring.saliency:
        return {}
    if scoring.protocol.rescale:
        probability = saliency.rescaled(probability)
    beta = scoring.protocol.weighted_f_beta
    return asdict(saliency.saliency_scores(probability, truth, weighted_f_beta=beta))


def _check(
    labels: np.ndarray, probabilities: np.ndarray, truth: np.ndarray, scoring: Scoring
) -> None:
    expected = (len(scoring.class_names), *truth.shape)
    if truth.ndim != 2 or labels.shape != truth.shape or probabilities.shape != expected:
        raise EvaluationError(
            f"Labels of shape {labels.shape}, probabilities of shape {probabilities.shape} and "
            f"truth of shape {truth.shape} do not go together; expected (Y, X), (K, Y, X) and "
            f"(Y, X) with K = {len(scoring.class_names)} classes."
        )
    largest = int(max(labels.max(), truth.max()))
    if largest > len(scoring.class_names):
        raise EvaluationError(
            f"Label {largest} has no class: there are {len(scoring.class_names)} "
            f"({', '.join(scoring.class_names)}), labelled from 1. Check the masks, or name the "
            "missing classes."
        )


def _mean_scores(scores: Sequence[Scores]) -> dict[str, float]:
    """Average each measure over the scores where it is defined."""
    names = scores[0] if scores else ()
    return {name: _known_mean([one[name] for one in scores]) for name in names}


def _known_mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _means(scores: Sequence[Scores]) -> dict[str, MeanInterval]:
    names = [name for name in MEASURES if scores and name in scores[0]]
    return {name: bootstrap_mean([one[name] for one in scores]) for name in names}
