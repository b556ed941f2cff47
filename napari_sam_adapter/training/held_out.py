"""What the held-out slices say of a finished adapter: Dice per class, and how sure it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_sam_adapter.confidence import ScoreOfNothing
from napari_sam_adapter.errors import ConditionError
from napari_sam_adapter.metrics import dice, mean_class_dice
from napari_sam_adapter.sam.adapted import AdaptedSam, BoxAnswers
from napari_sam_adapter.sam.encode import Encoder, ImageEmbedding
from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.training.samples import TrainingSample, class_masks
from napari_sam_adapter.training.simulated_prompts import objects_by_size

# Enough for a calibration; hundreds would keep a person waiting.
SLICES_LOOKED_AT = 16
# With fewer held-out slices, who answers to boxes better is left to what is known of few slices:
# the base model does (docs/results.md).
SLICES_TO_TRUST = 4
# Held-out slices are like those learned from, but where an adapter misses an object, it misses it
# with a box, too: on slices unlike them it was worse by 0.026, and better by 0.006 on held-out ones
# (docs/results.md). Where the base model outlines badly, an adapter gains far more than this.
GAIN_TO_TRUST = 0.02
BOXES_GIVEN = 16  # of a slice's objects, the largest first


def report_held_out(
    model: AdaptedSam,
    held_out: Sequence[TrainingSample],
    views: int,
    cache: FeatureCache | None = None,
) -> dict[str, Any]:
    """Predict held-out slices once more, with the state that is kept.

    Parameters
    ----------
    model : AdaptedSam
    held_out : sequence of TrainingSample
        The first 16 are looked at. Left out is one of which a condition cannot be computed: what
        was trained is not to be lost by that.
    views : int
        How many views predictions of this adapter average.
    cache : FeatureCache, optional
        Where features of predictions are.

    Returns
    -------
    dict
        Plain data for the card. ``held_out_dice_classes``: mean Dice by class name, of the slices
        that show the class or in which it is predicted; of one view, as in training.
        ``confidence_pairs``: by number of views (1 and ``views``), pairs of raw score and Dice of
        the slices in which something is predicted, see `confidence`. ``box_dice``: mean Dice of the
        adapter's and of the base model's answer to exact boxes of objects, of several every second,
        the median gain by the adapter, and of how many slices; for `box_answers_of`.
    """
    encoder = Encoder(model, cache)
    names, n_classes = model.settings.class_names, model.settings.n_classes
    pairs: dict[str, list[list[float]]] = {str(n): [] for n in sorted({1, views})}
    found: dict[str, list[float]] = {name: [] for name in names}
    boxed: dict[BoxAnswers, list[float]] = {"adapter": [], "base": []}
    n_slices = 0
    for sample in held_out[:SLICES_LOOKED_AT]:
        try:
            embedding = encoder.image(sample.image, views)
        except ConditionError:
            continue
        n_slices += sample.shows_object
        predictions = {
            n: decode_masks(model, replace(embedding, features=embedding.features[: int(n)]))
            for n in pairs
        }
        for n, prediction in predictions.items():
            score = mean_class_dice(prediction.labels, sample.labels, n_classes)
            raw = prediction.expected_dice
            if not isinstance(raw, ScoreOfNothing):
                pairs[n].append([round(raw, 4), round(score, 4)])
        labels = (predictions["1"].labels, sample.labels)
        masks = (class_masks(one, n_classes) for one in labels)
        for name, mask, truth in zip(names, *masks, strict=True):
            if mask.any() or truth.any():
                found[name].append(dice(mask, truth))
        score_boxes(model, encoder, sample, embedding, boxed)
    means = {str(who): round(float(np.mean(d)), 4) if d else None for who, d in boxed.items()}
    gains = np.subtract(boxed["adapter"], boxed["base"])
    median = round(float(np.median(gains)), 4) if gains.size else None
    classes = {name: round(float(np.mean(d)), 4) for name, d in found.items() if d}
    return {
        "held_out_dice_classes": classes,
        "confidence_pairs": pairs,
        "box_dice": {
            **means,
            "median_gain": median,
            "n_slices": n_slices if boxed["base"] else 0,
        },
    }


def box_answers_of(report: Mapping[str, Any]) -> BoxAnswers:
    """Choose who answers to boxes: the adapter if enough held-out slices show a clear gain.

    On the median, too: of five slices, one that the base model outlines badly decides the mean.
    """
    found = report["box_dice"]
    if found["n_slices"] < SLICES_TO_TRUST:
        return "base"
    gain = min(found["adapter"] - found["base"], found["median_gain"])
    return "adapter" if gain > GAIN_TO_TRUST else "base"


def score_boxes(
    model: AdaptedSam,
    encoder: Encoder,
    sample: TrainingSample,
    embedding: ImageEmbedding,
    found: Mapping[BoxAnswers, list[float]],
) -> None:
    """Append the Dice of both answers to exact boxes of each class of a slice.

    Of several objects every second one has a box, so that an answer which marks others, too, does
    not count as right.
    """
    before = model.settings
    if not model.takes_prompts:
        return
    for who, scores in found.items():
        model.settings = before.with_changes(box_answers=who)
        for k, mask in enumerate(class_masks(sample.labels, before.n_classes)):
            if mask.any():
                objects, boxes = objects_by_size(mask)
                asked = range(0, len(boxes), 2)[:BOXES_GIVEN]
                prompts = Prompts(boxes[asked], class_index=k)
                embedding = encoder.for_prompts(sample.image, embedding, prompts)
                answer = decode_masks(model, embedding, prompts).labels
                truth = np.isin(objects, np.array(asked) + 1)
                scores.append(dice(class_masks(answer, before.n_classes)[k], truth))
    model.settings = before
