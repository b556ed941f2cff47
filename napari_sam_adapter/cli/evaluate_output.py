"""What ``napari-sam-adapter evaluate`` prints: a table, or JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from napari_sam_adapter.evaluation.evaluate import Evaluation, ImageScore
from napari_sam_adapter.evaluation.scores import MEASURES, Scores, Scoring, Summary
from napari_sam_adapter.metrics.bootstrap import MeanInterval


@dataclass(frozen=True, slots=True)
class ComputedBy:
    """What decides about the last digits, and may differ from one run to the next.

    Attributes
    ----------
    device : str
    precision : str
        bf16 or fp32; see `devices.uses_bfloat16`.
    """

    device: str
    precision: str


def scores_table(
    result: Evaluation, scoring: Scoring, confidences: Sequence[float | None], where: ComputedBy
) -> Table:
    """One row per measure; with several classes, a row for each below that of all.

    Below it stands how the scores came about, and what they do not show.
    """
    summary = result.summary()
    several = len(summary.classes) > 1
    table = Table("measure", *(["class"] if several else []), "mean", "95 % interval", "images")
    for key, overall in summary.overall.items():
        rows = {"all": overall} | {name: of[key] for name, of in summary.classes.items() if of}
        for name, found in rows.items() if several else [("", overall)]:
            is_first = found is overall
            table.add_row(
                MEASURES[key] if is_first else "",
                *([name] if several else []),
                _number(key, found.mean),
                _interval(key, found),
                str(found.n) if found.n == result.n else f"{found.n} of {result.n}",
            )
        if several:
            table.add_section()
    table.caption = ", ".join(_how(result, summary, scoring, confidences, where))
    return table


def _how(
    result: Evaluation,
    summary: Summary,
    scoring: Scoring,
    confidences: Sequence[float | None],
    where: ComputedBy,
) -> Iterator[str]:
    yield f"protocol {scoring.protocol.name}"
    yield f"{scoring.views} view{'s'[: scoring.views > 1]}"
    yield f"on {where.device} in {where.precision}"
    yield f"{result.seconds_per_image:.3f} seconds per image"
    if absent := [name for name, found in summary.classes.items() if not found]:
        yield f"in no image: {', '.join(absent)}"
    pairs = zip(confidences, result.per_image, strict=True)
    misses = [abs(c - score.dice) for c, score in pairs if c is not None]
    if misses:
        yield f"confidence off by {np.mean(misses):.3f} of Dice on average"
    if scoring.surface is not None:
        given = "the unit of --spacing" if scoring.surface.spacing else "pixels"
        yield f"distances in {result.per_image[0].spacing_unit or given}"
        tolerance = _distances(result, scoring)["surface_tolerance"]
        yield f"surface Dice forgives {'one pixel' if tolerance is None else f'{tolerance:g}'}"


def _interval(measure: str, found: MeanInterval) -> str:
    if math.isnan(found.low):
        return "-"
    return f"{_number(measure, found.low)} to {_number(measure, found.high)}"


def _number(measure: str, value: float) -> str:
    digits = 2 if measure in ("balanced_error_rate", "hausdorff95") else 4
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def scores_json(
    result: Evaluation, scoring: Scoring, confidences: Sequence[float | None], where: ComputedBy
) -> dict[str, Any]:
    """Return what --json promises; null stands where a measure is not defined."""
    summary = result.summary()
    return {
        "n": result.n,
        "dice": _known(summary.overall["dice"].mean),
        "iou": _known(summary.overall["iou"].mean),
        "seconds_per_image": result.seconds_per_image,
        "protocol": scoring.protocol.name,
        "views": scoring.views,
        **asdict(where),
        "prompts": None if scoring.prompts is None else asdict(scoring.prompts),
        **_distances(result, scoring),
        "overall": _intervals(summary.overall),
        "classes": {name: _intervals(found) for name, found in summary.classes.items()},
        "per_image": [
            _image_as_json(score, scoring) | {"confidence": confidence}
            for score, confidence in zip(result.per_image, confidences, strict=True)
        ],
    }


def _distances(result: Evaluation, scoring: Scoring) -> dict[str, Any]:
    """Return what distances were measured with; null where it differs from image to image."""
    if scoring.surface is None:
        return {"spacing": None, "spacing_unit": None, "surface_tolerance": None}
    settings = {replace(scoring.surface, spacing=score.spacing) for score in result.per_image}
    tolerances = {one.forgiven for one in settings}
    return {
        "spacing": next(iter(settings)).spacing if len(settings) == 1 else None,
        "spacing_unit": result.per_image[0].spacing_unit,
        "surface_tolerance": tolerances.pop() if len(tolerances) == 1 else None,
    }


def _image_as_json(score: ImageScore, scoring: Scoring) -> dict[str, Any]:
    return {
        "name": score.name,
        **({} if scoring.surface is None else {"spacing": score.spacing}),
        **_values(score.scores.overall),
        "seconds": score.seconds,
        "classes": {name: _values(found) for name, found in score.scores.classes.items()},
    }


def _intervals(means: Mapping[str, MeanInterval]) -> dict[str, dict[str, float | None]]:
    return {
        measure: {
            "mean": _known(found.mean),
            "low": _known(found.low),
            "high": _known(found.high),
            "n": found.n,
        }
        for measure, found in means.items()
    }


def _values(scores: Scores) -> dict[str, float | None]:
    return {measure: _known(value) for measure, value in scores.items()}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
