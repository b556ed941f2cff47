"""``napari-sam-adapter predict``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import errors, output, progress_bar
from napari_sam_adapter.confidence import calibration_of
from napari_sam_adapter.data.files import as_slices, is_colour, list_images, read_image, write_mask
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import write_atomically
from napari_sam_adapter.volume import connected_objects, value_range

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam

Inputs = Annotated[list[Path], typer.Argument(help="Image files, stacks (TIFF) or folders.")]


def predict(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the masks.")],
    adapter: options.Adapter = None,
    model: options.Model = None,
    device: options.Device = "auto",
    views: options.Views = None,
    instances: Annotated[
        bool,
        typer.Option(
            "--instances",
            help="Number the connected objects of each slice instead of marking all; of several "
            "classes, a table (CSV) beside the masks says which object is what.",
        ),
    ] = False,
    confidence: Annotated[
        Path | None,
        typer.Option(
            help="Write a table (CSV) of the Dice to expect of each slice, the least first: where "
            "to look first. Needs an adapter."
        ),
    ] = None,
) -> None:
    """Predict masks of images and stacks; writes TIFF labels at the original size.

    0 is the background, k the k-th class of the adapter.

    Example: [bold]napari-sam-adapter predict frames/ --out masks --adapter polyps.safetensors[/]
    """
    targets = _targets(inputs, out)
    sam = options.load_model(adapter, model, device)
    views = options.views_for(sam, adapter, views)
    card = None if adapter is None else read_card(adapter)
    if confidence is not None and card is None:
        raise ImageError("--confidence needs --adapter: a base model does not know the task.")
    skipped, sure = 0, []
    with progress_bar() as progress:
        task = progress.add_task("Predicting", total=len(targets))
        for source, target in targets:
            labels, found = _predict_stack(sam, read_image(source), source, views)
            if instances:
                classes, labels = labels, connected_objects(labels)
                if sam.settings.n_classes > 1:
                    _write_objects(target, labels, classes, sam.settings.class_names)
            skipped += sum(raw is None for raw in found)
            if card is not None:
                calibration = calibration_of(card.training, views)
                sure += [
                    (calibration(r), source.name, z) for z, r in enumerate(found) if r is not None
                ]
            write_mask(target, labels)
            progress.advance(task)
    output.print(f"Wrote {len(targets)} mask file{'s'[: len(targets) != 1]} to {out}.")
    if confidence is not None:
        _write_confidences(confidence, sorted(sure))
    if skipped:
        slices = "1 slice has" if skipped == 1 else f"{skipped} slices have"
        errors.print(f"{slices} no contrast; nothing was marked there.")


def _targets(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair each image with its mask file, refusing two that would overwrite each other."""
    sources = [p for given in inputs for p in (list_images(given) if given.is_dir() else [given])]
    targets: dict[Path, Path] = {}
    for source in sources:
        target = out / f"{source.stem}.tif"
        if target in targets:
            raise ImageError(
                f"{targets[target]} and {source} would both write {target}; predict them into "
                "different folders."
            )
        if target.resolve() == source.resolve():
            raise ImageError(
                f"{source} would be overwritten by its own mask; choose another --out."
            )
        targets[target] = source
    return [(source, target) for target, source in targets.items()]


def _predict_stack(
    sam: AdaptedSam, image: np.ndarray, source: Path, views: int
) -> tuple[np.ndarray, list[float | None]]:
    """Predict each slice; one without contrast stays empty, an only slice without is an error.

    Returns
    -------
    labels : ndarray of uint8
    expected_dice : list of float or None
        Of each slice; None where nothing was predicted.
    """
    from napari_sam_adapter.sam.predict import predict_masks

    slices = as_slices(image)
    labels = np.zeros(slices.shape[:3], np.uint8)
    expected: list[float | None] = [None] * len(slices)
    for index, one in enumerate(slices):
        if len(slices) > 1 and value_range(one) is None:
            continue
        try:
            prediction = predict_masks(sam, one, views=views)
            labels[index], expected[index] = prediction.labels, prediction.expected_dice
        except ImageError as error:
            raise ImageError(f"{source.name}: {error}") from error
    shape = image.shape[:-1] if is_colour(image) else image.shape
    return labels.reshape(shape), expected


def _write_objects(
    masks: Path, objects: np.ndarray, classes: np.ndarray, names: Sequence[str]
) -> None:
    """Write what the numbered objects of a mask file are, beside it."""
    rows: list[tuple[object, ...]] = []
    size = objects.shape[-2:]
    for z, (one, labels) in enumerate(
        zip(objects.reshape(-1, *size), classes.reshape(-1, *size), strict=True)
    ):
        numbers, first, pixels = np.unique(one, return_index=True, return_counts=True)
        rows += [
            (z, number, names[labels.flat[at] - 1], count)
            for number, at, count in zip(numbers, first, pixels, strict=True)
            if number
        ]
    _write_table(masks.with_suffix(".csv"), ("slice", "object", "class", "pixels"), rows)


def _write_confidences(path: Path, rows: Sequence[tuple[float, str, int]]) -> None:
    table = [(name, z, f"{value:.3f}") for value, name, z in rows]
    _write_table(path, ("file", "slice", "confidence"), table)
    output.print(f"Wrote confidences to {path}, the least first.")


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
