"""``napari-sam-adapter evaluate``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import errors, print_json, print_table, progress_bar, say
from napari_sam_adapter.confidence import calibration_of
from napari_sam_adapter.data.files import pair_by_stem
from napari_sam_adapter.data.mask_values import MergedValues
from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.evaluation.evaluate import (
    Evaluation,
    ImageScore,
    check_pairs,
    evaluate_pairs,
)
from napari_sam_adapter.evaluation.prompted import PromptProtocol
from napari_sam_adapter.evaluation.scores import MEASURES, Scores, Scoring
from napari_sam_adapter.file_prediction import load_model
from napari_sam_adapter.metrics import saliency, surface
from napari_sam_adapter.metrics.bootstrap import MeanInterval
from napari_sam_adapter.metrics.protocol import protocol_named

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam

INSTALL = "pip install 'napari-sam-adapter[metrics]'"

Protocol = Annotated[
    str,
    typer.Option(
        help="original: at each image's own size. paper: as SAM-Adapter's code scores, to compare "
        "with its tables: at the network's S x S pixels, the truth resized to them (nearest), each "
        "probability map stretched to 0..1 before S-measure, E-measure, weighted F and MAE, and "
        "0.3 for beta squared in the weighted F."
    ),
]
Spacing = Annotated[
    str | None,
    typer.Option(
        help="Size of a voxel, Z,Y,X, or pixel, Y,X, e.g. in mm; by default that of the file, if "
        "it has one (NIfTI, DICOM, OME). Implies --surface."
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        help="Distance that the surface Dice forgives, in the unit of the spacing; one pixel (the "
        "smallest spacing) unless given. Implies --surface."
    ),
]


def evaluate(  # noqa: PLR0913 - each argument is an option of the command
    images: options.Images,
    masks: options.Masks,
    adapter: options.Adapter = None,
    model: options.Model = None,
    device: options.Device = "auto",
    views: options.Views = None,
    protocol: Protocol = "original",
    surfaces: Annotated[
        bool,
        typer.Option("--surface", help="Measure 95 % Hausdorff distance and surface Dice, too."),
    ] = False,
    spacing: Spacing = None,
    surface_tolerance: Tolerance = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="Give prompts derived from the masks: boxes (the exact box of each object) or "
            "clicks:N (one after another in the middle of the largest error)."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Score predictions against masks, per image and averaged, with 95 % intervals.

    Images may be pictures or volumes (TIFF stacks, slices along the first axis; NIfTI, DICOM,
    OME-Zarr); a volume is scored as one. Intervals are bootstrapped over images. --json has every
    measure of every image.

    Example: [bold]napari-sam-adapter evaluate --images val/images --masks val/masks
    --adapter polyps.safetensors[/]
    """
    wanted = surfaces or spacing is not None or surface_tolerance is not None
    settings = _surface_settings(spacing, surface_tolerance) if wanted else None
    scoring = Scoring(
        protocol=protocol_named(protocol),
        saliency=saliency.is_installed(),
        surface=settings,
        prompts=None if prompts is None else PromptProtocol.parse(prompts),
    )
    if wanted and not surface.is_installed():
        raise EvaluationError(f"Surfaces are measured by MONAI, which is not installed: {INSTALL}")
    pairs = pair_by_stem(images, masks)
    sam = load_model(adapter, model, device)
    views = options.views_for(sam, adapter, views)
    scoring = replace(scoring, class_names=sam.settings.class_names, views=views)
    scores = _scored(sam, pairs, scoring)
    stopped = len(scores) < len(pairs)
    if stopped and (as_json or not scores):
        raise KeyboardInterrupt  # what reads JSON must not take some of the images for all
    result = Evaluation(tuple(scores), scoring.class_names)
    confidences = _confidences(result, None if adapter is None else read_card(adapter), scoring)
    if not scoring.saliency:
        missing = f"S-measure, E-measure, weighted F and MAE need PySODMetrics: {INSTALL}"
        errors.print(missing, markup=False, soft_wrap=True)
    if as_json:
        print_json(_as_json(result, scoring, confidences))
    else:
        print_table(_as_table(result, scoring, confidences))
    if stopped:
        say(f"Stopped: these are the scores of {result.n} of {len(pairs)} images.")
        raise KeyboardInterrupt


def _scored(
    sam: AdaptedSam, pairs: Sequence[tuple[Path, Path]], scoring: Scoring
) -> list[ImageScore]:
    """Check all pairs, then score them; Ctrl+C ends it with the scores there are."""
    scores: list[ImageScore] = []
    with progress_bar() as progress:
        task = progress.add_task("Checking", total=len(pairs))
        for _ in check_pairs(pairs, scoring, MergedValues(say)):
            progress.advance(task)
        progress.reset(task, description="Evaluating")
        try:
            for score in evaluate_pairs(sam, pairs, scoring):
                scores.append(score)
                progress.advance(task)
        except KeyboardInterrupt:
            pass
    return scores


def _surface_settings(spacing: str | None, tolerance: float | None) -> surface.SurfaceSettings:
    if spacing is None:
        return surface.SurfaceSettings(None, tolerance)
    try:
        sizes = tuple(float(size) for size in spacing.split(","))
    except ValueError:
        raise EvaluationError(
            f"--spacing must be numbers with commas between, like 3,0.5,0.5, got '{spacing}'."
        ) from None
    return surface.SurfaceSettings(sizes, tolerance)


def _confidences(
    result: Evaluation, card: AdapterCard | None, scoring: Scoring
) -> list[float | None]:
    """Return the confidence in each image, of a volume the mean of its slices'.

    There is none with prompts, without which it was calibrated. At the network's size there is: it
    is of the low-res masks, which are the same, and a Dice is hardly changed by resizing.
    """
    if card is None or scoring.prompts is not None:
        return [None] * result.n
    calibration = calibration_of(card.training, scoring.views)
    raw = (score.expected_dice for score in result.per_image)
    return [
        float(np.mean([calibration(one) for one in slices])) if slices else None for slices in raw
    ]


def _as_table(result: Evaluation, scoring: Scoring, confidences: Sequence[float | None]) -> Table:
    """One row per measure; with several classes, a row for each below that of all."""
    summary = result.summary()
    several = len(summary.classes) > 1
    table = Table("measure", *(["class"] if several else []), "mean", "95 % interval", "images")
    for key, overall in summary.overall.items():
        rows = {"all": overall} | {name: of[key] for name, of in summary.classes.items() if of}
        for name, found in rows.items() if several else [("", overall)]:
            is_first = found is overall
            table.add_row(
                MEASURES[key] if is_first else "",
                *([escape(name)] if several else []),
                _number(key, found.mean),
                _interval(key, found),
                str(found.n) if found.n == result.n else f"{found.n} of {result.n}",
            )
        if several:
            table.add_section()
    protocol = scoring.protocol.name
    table.caption = f"protocol {protocol}, {result.seconds_per_image:.3f} seconds per image"
    if absent := [name for name, of in summary.classes.items() if not of]:
        table.caption += f", in no image: {escape(', '.join(absent))}"
    pairs = zip(confidences, result.per_image, strict=True)
    misses = [abs(c - score.dice) for c, score in pairs if c is not None]
    if misses:
        table.caption += f", confidence off by {np.mean(misses):.3f} of Dice on average"
    if unit := result.per_image[0].spacing_unit:
        table.caption += f", distances in {unit}"
    return table


def _interval(measure: str, found: MeanInterval) -> str:
    if math.isnan(found.low):
        return "-"
    return f"{_number(measure, found.low)} to {_number(measure, found.high)}"


def _number(measure: str, value: float) -> str:
    digits = 2 if measure in ("balanced_error_rate", "hausdorff95") else 4
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _as_json(
    result: Evaluation, scoring: Scoring, confidences: Sequence[float | None]
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
