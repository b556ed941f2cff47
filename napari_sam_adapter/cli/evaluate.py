"""``napari-sam-adapter evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import errors, print_json, print_table, progress_bar, say
from napari_sam_adapter.cli.evaluate_output import ComputedBy, scores_json, scores_table
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
from napari_sam_adapter.evaluation.scores import Scoring
from napari_sam_adapter.file_prediction import load_model
from napari_sam_adapter.metrics import saliency, surface
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
        "0.3 for beta squared in the weighted F; from one view, unless --views asks for more."
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
            "clicks:N (one after another in the middle of the largest error, 20 at most)."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Score predictions against masks, per image and averaged, with 95 % intervals.

    Images may be pictures or volumes (TIFF stacks, slices along the first axis; NIfTI, DICOM,
    OME-Zarr); a volume is scored as one. Intervals are bootstrapped over images and volumes.
    --json has every measure of each.

    Example: [bold]napari-sam-adapter evaluate --images val/images --masks val/masks
    --adapter polyps.safetensors[/]
    """
    from napari_sam_adapter.sam.devices import precision_on

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
    views = scoring.protocol.views if views is None else views
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
        errors.print(missing, soft_wrap=True)
    where = ComputedBy(str(sam.device), precision_on(sam.device))
    if as_json:
        print_json(scores_json(result, scoring, confidences, where))
    else:
        print_table(scores_table(result, scoring, confidences, where))
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
