"""``napari-sam-adapter predict``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.ahead import ahead
from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import errors, output, progress_bar
from napari_sam_adapter.cli.predicted_stack import PredictedStack
from napari_sam_adapter.cli.predicted_tables import ConfidenceTable, write_table
from napari_sam_adapter.cli.streams import Asked, predictions
from napari_sam_adapter.data.export import export_masks, mask_suffix
from napari_sam_adapter.data.files import list_images
from napari_sam_adapter.data.opening import file_stem
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import is_same_file
from napari_sam_adapter.volumes.slice_source import MINIMUM_SIDE
from napari_sam_adapter.volumes.volume_help import VolumeHelp

Inputs = Annotated[
    list[Path],
    typer.Argument(
        help="Images, stacks (TIFF, NIfTI), folders of them, DICOM or OME-Zarr folders."
    ),
]


def predict(  # noqa: PLR0913 - each argument is an option of the command
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
    three_axes: Annotated[
        bool,
        typer.Option(
            "--three-axes",
            help="Predict volumes across all three axes and average: for adapters trained on "
            "slices of all three. Voxel sizes are read from the file; the "
            "volume is held in memory, and takes as long as all those slices.",
        ),
    ] = False,
    smooth: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="SLICES",
            help="Average the probabilities of neighbouring slices of a volume: standard deviation "
            "of the weights, in slices; 0 does nothing.",
        ),
    ] = 0.0,
    tile: Annotated[
        int | None,
        typer.Option(
            min=MINIMUM_SIDE,
            metavar="PIXELS",
            help="Predict pictures and slices with a longer side than this in tiles of this side, "
            "which overlap by an eighth and are blended: for adapters trained on pictures of that "
            "size.",
            show_default="the whole picture at once, whatever its size",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Predict on the workers of a Dask cluster, like tcp://10.0.0.1:8786. They read "
            "the images themselves where they can; see docs/cluster.md.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Predict in this many processes on this machine, which share its cores.",
            show_default=False,
        ),
    ] = None,
    corrected: Annotated[
        Path | None,
        typer.Option(
            help="Masks of the one volume that is predicted: slices in which anything is marked "
            "count as corrected. They are kept, and the others heed those nearest to them.",
        ),
    ] = None,
) -> None:
    """Predict masks of images and stacks; writes labels at the original size.

    0 is the background, k the k-th class of the adapter. Masks of NIfTI and DICOM images are NIfTI
    files that lie on them, those of OME-Zarr and of TIFF files that say how large their pixels are
    (OME, ImageJ) OME-TIFF, all others TIFF. Slices are predicted one by one, and never all in
    memory, except with --three-axes.

    Example: [bold]napari-sam-adapter predict frames/ --out masks --adapter polyps.safetensors[/]
    """
    targets = _targets(inputs, out)
    if corrected is not None:
        _refuse_overwriting(corrected, (target for _, target in targets))
    help_ = VolumeHelp(smooth=smooth, tile=tile, three_axes=three_axes)
    if corrected is not None and len(targets) != 1:
        raise ImageError(f"--corrected is for a single volume, and there are {len(targets)}.")
    if confidence is not None and (help_ or corrected is not None):
        raise ImageError(
            "--confidence holds for slices that are predicted one by one: leave out --smooth, "
            "--three-axes, --tile and --corrected."
        )
    card = None if adapter is None else read_card(adapter)
    files = [*chain.from_iterable(targets), *(_objects_table(out, path) for path, _ in targets)]
    asked = Asked(adapter, model, device, views, help_, corrected, scheduler, workers)
    skipped = 0
    with (
        ConfidenceTable(confidence, card, files) as table,
        predictions(asked) as source,
        progress_bar() as progress,
    ):
        task = progress.add_task("Predicting", total=len(targets))
        sources = [path for path, _ in targets]
        stream_of = partial(source.of_files, sources, lambda share: progress.advance(task, share))
        with ahead(stream_of) as stream:
            for path, target in targets:
                stack = PredictedStack(stream, source.class_names, instances)
                export_masks(target, stack.masks, stack.geometry, source.class_names)
                if instances and len(source.class_names) > 1:
                    objects = _objects_table(out, path)
                    write_table(objects, ("slice", "object", "class", "pixels"), stack.objects)
                skipped += stack.n_skipped
                table.add(path.name, stack, source.views)
    output.print(
        f"Wrote {len(targets)} mask file{'s'[: len(targets) != 1]} to {out}.", soft_wrap=True
    )
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
        _refuse_overwriting(source, [target])
        by_stem[stem] = source
        targets.append((source, target))
    return targets


def _objects_table(out: Path, image: Path) -> Path:
    return out / f"{file_stem(image)}.csv"


def _refuse_overwriting(given: Path, targets: Iterable[Path]) -> None:
    """Refuse to write masks over what they are made from."""
    if any(is_same_file(given, target) for target in targets):
        raise ImageError(f"{given} would be overwritten by the masks; choose another --out.")
