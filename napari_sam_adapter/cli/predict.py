"""``napari-sam-adapter predict``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import errors, output, progress_bar
from napari_sam_adapter.data.files import as_slices, is_colour, list_images, read_image, write_mask
from napari_sam_adapter.errors import ImageError
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
    instances: Annotated[
        bool,
        typer.Option(
            "--instances", help="Number the connected objects of each slice instead of marking all."
        ),
    ] = False,
) -> None:
    """Predict masks of images and stacks; writes TIFF labels at the original size.

    0 is the background, k the k-th class of the adapter.

    Example: [bold]napari-sam-adapter predict frames/ --out masks --adapter polyps.safetensors[/]
    """
    targets = _targets(inputs, out)
    sam = options.load_model(adapter, model, device)
    if instances and sam.settings.n_classes > 1:
        raise ImageError(
            f"--instances numbers the objects of one class; this adapter knows "
            f"{', '.join(sam.settings.class_names)}."
        )
    skipped = 0
    with progress_bar() as progress:
        task = progress.add_task("Predicting", total=len(targets))
        for source, target in targets:
            labels, skipped_here = _predict_stack(sam, read_image(source), source)
            if instances:
                labels = connected_objects(labels)
            skipped += skipped_here
            write_mask(target, labels)
            progress.advance(task)
    output.print(f"Wrote {len(targets)} mask file{'s'[: len(targets) != 1]} to {out}.")
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


def _predict_stack(sam: AdaptedSam, image: np.ndarray, source: Path) -> tuple[np.ndarray, int]:
    """Predict each slice; one without contrast stays empty, an only slice without is an error."""
    from napari_sam_adapter.sam.predict import predict_masks

    slices = as_slices(image)
    labels = np.zeros(slices.shape[:3], np.uint8)
    skipped = 0
    for index, one in enumerate(slices):
        if len(slices) > 1 and value_range(one) is None:
            skipped += 1
            continue
        try:
            labels[index] = predict_masks(sam, one).labels
        except ImageError as error:
            raise ImageError(f"{source.name}: {error}") from error
    shape = image.shape[:-1] if is_colour(image) else image.shape
    return labels.reshape(shape), skipped
