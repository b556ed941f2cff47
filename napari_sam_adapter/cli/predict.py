"""``napari-sam-adapter predict``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import errors, output, progress_bar
from napari_sam_adapter.confidence import calibration_of
from napari_sam_adapter.data.export import export_masks, mask_suffix
from napari_sam_adapter.data.files import list_images, open_noted
from napari_sam_adapter.data.lazy import LazyStack, PlacedImage
from napari_sam_adapter.data.opening import file_stem
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import write_atomically
from napari_sam_adapter.volume import SliceIndex, SliceSource, connected_objects, value_range

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam

Inputs = Annotated[
    list[Path],
    typer.Argument(
        help="Images, stacks (TIFF, NIfTI), folders of them, DICOM or OME-Zarr folders."
    ),
]


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
    """Predict masks of images and stacks; writes labels at the original size.

    0 is the background, k the k-th class of the adapter. Masks of NIfTI and DICOM images are NIfTI
    files that lie on them, those of OME-Zarr and OME-TIFF are OME-TIFF, all others TIFF. Slices are
    predicted one by one, and never all in memory.

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
            image = open_noted(source)
            stack = _PredictedStack(
                sam, image, views, instances, lambda share: progress.advance(task, share)
            )
            export_masks(target, stack.masks, image.geometry, sam.settings.class_names)
            if instances and sam.settings.n_classes > 1:
                table = out / f"{file_stem(source)}.csv"
                _write_table(table, ("slice", "object", "class", "pixels"), stack.objects)
            found = stack.expected_dice
            skipped += sum(raw is None for raw in found)
            if card is not None:
                calibration = calibration_of(card.training, views)
                sure += [
                    (calibration(r), source.name, z) for z, r in enumerate(found) if r is not None
                ]
    output.print(f"Wrote {len(targets)} mask file{'s'[: len(targets) != 1]} to {out}.")
    if confidence is not None:
        _write_confidences(confidence, sorted(sure))
    if skipped:
        slices = "1 slice has" if skipped == 1 else f"{skipped} slices have"
        errors.print(f"{slices} no contrast; nothing was marked there.")


def _targets(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair each image with its mask file, refusing two that would overwrite each other."""
    sources = [p for given in inputs for p in (list_images(given) if given.is_dir() else [given])]
    by_stem: dict[str, Path] = {}
    targets = []
    for source in sources:
        stem = file_stem(source)
        target = out / f"{stem}{mask_suffix(source)}"
        if stem in by_stem:
            raise ImageError(
                f"{by_stem[stem]} and {source} would both write the masks {target.name}; predict "
                "them into different folders."
            )
        if target.resolve() == source.resolve():
            raise ImageError(
                f"{source} would be overwritten by its own mask; choose another --out."
            )
        by_stem[stem] = source
        targets.append((source, target))
    return targets


class _PredictedStack:
    """Masks that are predicted when they are read, slice by slice, and what is learned of them.

    A slice without contrast stays empty; an only slice without is an error.

    Parameters
    ----------
    sam : AdaptedSam
    image : PlacedImage
    views : int
    instances : bool
        Number the objects of each slice.
    on_progress : callable
        Told after each slice which share of all slices it is.

    Attributes
    ----------
    masks : LazyStack of uint8, with ``instances`` of uint16, shape of the image
    expected_dice : list of float or None
        Of each slice read so far; None where nothing was predicted.
    objects : list of (slice, object, class, pixels)
        With ``instances``, of each slice read so far.

    Raises
    ------
    ImageError
        If the image cannot be used.
    """

    def __init__(
        self,
        sam: AdaptedSam,
        image: PlacedImage,
        views: int,
        instances: bool,
        on_progress: Callable[[float], None],
    ) -> None:
        self._sam, self._image, self._views = sam, image, views
        self._instances, self._on_progress = instances, on_progress
        try:
            self._source = SliceSource(image.data, is_colour=image.is_colour)
        except ImageError as error:
            raise ImageError(f"{image.name}: {error}") from error
        dtype = np.uint16 if instances else np.uint8
        self.masks = LazyStack(self._source.shape, dtype, self._predicted)
        self.expected_dice: list[float | None] = []
        self.objects: list[tuple[object, ...]] = []

    def _predicted(self, index: SliceIndex) -> np.ndarray:
        from napari_sam_adapter.sam.predict import predict_masks

        one = self._source.read(index)
        labels, expected = np.zeros(one.shape[:2], np.uint8), None
        if self._source.n_slices == 1 or value_range(one) is not None:
            try:
                prediction = predict_masks(self._sam, one, views=self._views)
            except ImageError as error:
                raise ImageError(f"{self._image.name}: {error}") from error
            labels, expected = prediction.labels, prediction.expected_dice
        self.expected_dice.append(expected)
        self._on_progress(1 / self._source.n_slices)
        if not self._instances:
            return labels
        objects = connected_objects(labels)
        self.objects += self._rows(self._source.flat(index), objects, labels)
        return objects

    def _rows(self, z: int, objects: np.ndarray, classes: np.ndarray) -> list[tuple[object, ...]]:
        """Tell what the numbered objects of a slice are."""
        names = self._sam.settings.class_names
        numbers, first, pixels = np.unique(objects, return_index=True, return_counts=True)
        return [
            (z, number, names[classes.flat[at] - 1], count)
            for number, at, count in zip(numbers, first, pixels, strict=True)
            if number
        ]


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
