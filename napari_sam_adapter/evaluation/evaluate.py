"""Score a model on image and mask pairs: pictures, and volumes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.data.files import Note, say_nothing
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.pairs import ImagePair, read_pair
from napari_sam_adapter.errors import EvaluationError, ImageError
from napari_sam_adapter.evaluation.prompted import decode_prompted
from napari_sam_adapter.evaluation.scores import (
    ImageScores,
    ScoredSlice,
    Scoring,
    Summary,
    score_image,
    score_volume,
    summarise,
)
from napari_sam_adapter.metrics.protocol import resize_nearest
from napari_sam_adapter.volumes.slice_source import check_slice, value_range

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.sam.predict import MaskPrediction


@dataclass(frozen=True, slots=True)
class ImageScore:
    """Scores of one file.

    Attributes
    ----------
    name : str
    scores : ImageScores
    seconds : float
        Time of the prediction; of a volume, per slice.
    expected_dice : tuple of float
        The raw score of each slice that was predicted, see `confidence`.
    spacing : tuple of float, or None
        What surfaces were measured with, given or from the file; None for mere pixels.
    spacing_unit : str, or None
        That of the file, if the spacing is from there.
    """

    name: str
    scores: ImageScores
    seconds: float
    expected_dice: tuple[float, ...] = ()
    spacing: tuple[float, ...] | None = None
    spacing_unit: str | None = None

    @property
    def dice(self) -> float:
        """Mean Dice over the classes."""
        return self.scores.overall["dice"]

    @property
    def iou(self) -> float:
        """Mean IoU over the classes."""
        return self.scores.overall["iou"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a set: means over files of the per-file values."""

    per_image: tuple[ImageScore, ...]
    class_names: tuple[str, ...] = ("object",)

    @property
    def n(self) -> int:
        """Number of files."""
        return len(self.per_image)

    @property
    def seconds_per_image(self) -> float:
        """Median prediction time, reading aside; the median forgives the first, cold image."""
        return float(np.median([score.seconds for score in self.per_image]))

    def summary(self) -> Summary:
        """Return the means and their 95 % intervals, overall and per class."""
        return summarise([score.scores for score in self.per_image], self.class_names)


def evaluate_pairs(
    model: AdaptedSam,
    pairs: Iterable[tuple[Path, Path]],
    scoring: Scoring | None = None,
) -> Iterator[ImageScore]:
    """Predict each image or stack and score it against its mask.

    Parameters
    ----------
    model : AdaptedSam
    pairs : iterable of (image path, mask path)
    scoring : Scoring, optional
        Where it gives no spacing, surfaces are measured with that of each file, if it has one.

    Yields
    ------
    ImageScore

    Raises
    ------
    ImageError
        If a pair cannot be read or its sizes differ.
    EvaluationError
        If what is to be measured does not fit a pair, or distances are in several units.
    """
    for one in _read(pairs, scoring or Scoring(), say_nothing):
        evaluate_one = evaluate_image if one.pair.labels.ndim == 2 else evaluate_stack
        try:
            score = evaluate_one(model, one.pair.image, one.pair.labels, one.name, one.scoring)
        except (ImageError, EvaluationError) as error:
            raise type(error)(f"{one.name}: {error}") from error
        surface = one.scoring.surface
        spacing = None if surface is None else surface.spacing
        yield replace(score, spacing=spacing, spacing_unit=one.spacing_unit)


def check_pairs(
    pairs: Iterable[tuple[Path, Path]],
    scoring: Scoring | None = None,
    note: Note = say_nothing,
) -> Iterator[str]:
    """Read pairs without predicting anything: what is wrong is better told before hours of work.

    Parameters are those of `evaluate_pairs`, and so are the errors.

    Yields
    ------
    str
        The name of each image that can be scored.
    """
    for one in _read(pairs, scoring or Scoring(), note):
        yield one.name


@dataclass(frozen=True, slots=True)
class _ReadPair:
    """A pair, how it is scored, and the unit of its spacing if that is from the file."""

    name: str
    pair: ImagePair
    scoring: Scoring
    spacing_unit: str | None


def _read(pairs: Iterable[tuple[Path, Path]], scoring: Scoring, note: Note) -> Iterator[_ReadPair]:
    first: tuple[str, str | None] | None = None
    for image_path, mask_path in pairs:
        pair = read_pair(image_path, mask_path, scoring.class_names, note)
        name = image_path.name
        try:
            here, unit = _with_spacing(scoring, pair.geometry)
            first = first or (name, unit)
            if unit != first[1]:
                raise EvaluationError(
                    f"its distances are in {unit or 'pixels'}, and those of {first[0]} in "
                    f"{first[1] or 'pixels'}. Give the spacing (--spacing), or evaluate them apart."
                )
            if pair.labels.ndim == 2:
                check_slice(pair.image)
        except (ImageError, EvaluationError) as error:
            raise type(error)(f"{name}: {error}") from error
        yield _ReadPair(name, pair, here, unit)


def _with_spacing(scoring: Scoring, geometry: Geometry) -> tuple[Scoring, str | None]:
    """Return how an image is scored, and the unit of its spacing if that is from the file."""
    if scoring.surface is None:
        return scoring, None
    # Better told now than after a volume was predicted.
    scoring.surface.spacing_of(len(geometry.shape))
    spacing = geometry.surface_spacing()
    if scoring.surface.spacing is not None or spacing is None:
        return scoring, None
    return replace(scoring, surface=replace(scoring.surface, spacing=spacing)), geometry.units[0]


def evaluate_image(
    model: AdaptedSam,
    image: np.ndarray,
    truth: np.ndarray,
    name: str,
    scoring: Scoring | None = None,
) -> ImageScore:
    """Predict and score one slice that is in memory: image (Y, X) or (Y, X, 3), truth (Y, X)."""
    scoring = scoring or Scoring()
    start = time.perf_counter()
    found = predict_for_scoring(model, image, truth, scoring)
    seconds = time.perf_counter() - start
    expected = _truth_like(truth, found.labels)
    scores = score_image(found.labels, found.probabilities(), expected, scoring)
    return ImageScore(name, scores, seconds, (found.expected_dice,))


def evaluate_stack(
    model: AdaptedSam,
    image: np.ndarray,
    truth: np.ndarray,
    name: str,
    scoring: Scoring | None = None,
) -> ImageScore:
    """Predict the slices of a volume and score it as one: image (Z, Y, X) or (Z, Y, X, 3).

    A slice without contrast is predicted empty, as ``napari-sam-adapter predict`` does.
    """
    scoring = scoring or Scoring()
    seconds, raw = 0.0, []

    def predicted() -> Iterator[ScoredSlice]:
        nonlocal seconds
        for one, one_truth in zip(image, truth, strict=True):
            start = time.perf_counter()
            if value_range(one) is None:
                labels, probabilities = _nothing(model, one, scoring)
            else:
                found = predict_for_scoring(model, one, one_truth, scoring)
                labels, probabilities = found.labels, found.probabilities()
                raw.append(found.expected_dice)
            seconds += time.perf_counter() - start
            yield labels, probabilities, _truth_like(one_truth, labels)

    scores = score_volume(predicted(), scoring)
    return ImageScore(name, scores, seconds / len(image), tuple(raw))


def predict_for_scoring(
    model: AdaptedSam, image: np.ndarray, truth: np.ndarray, scoring: Scoring
) -> MaskPrediction:
    """Predict one slice at the size it is compared at, with the prompts that are asked for."""
    from napari_sam_adapter.sam.encode import encode_image
    from napari_sam_adapter.sam.predict import decode_masks

    embedding = encode_image(model, image, scoring.views)
    if scoring.protocol.at_network_size:
        # The content of the padded square, stretched to S x S as if it had been squashed.
        size = embedding.geometry.input_size
        geometry = replace(embedding.geometry, original_hw=(size, size))
        embedding = replace(embedding, geometry=geometry)
    if scoring.prompts is None:
        return decode_masks(model, embedding)
    return decode_prompted(model, image, embedding, truth, scoring.prompts)


def _nothing(
    model: AdaptedSam, image: np.ndarray, scoring: Scoring
) -> tuple[np.ndarray, np.ndarray]:
    size = model.settings.input_size
    shape = (size, size) if scoring.protocol.at_network_size else image.shape[:2]
    maps = (len(scoring.class_names), *shape)
    return np.zeros(shape, np.uint8), np.zeros(maps, np.float32)


def _truth_like(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Bring the truth to the size of the prediction, where that is the network's."""
    if truth.shape == labels.shape:
        return truth
    return resize_nearest(truth, (labels.shape[0], labels.shape[1]))
