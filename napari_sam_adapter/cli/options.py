"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam_adapter.adapter.card import read_card

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam

Images = Annotated[
    Path, typer.Option(help="Folder of images: PNG, JPEG, TIFF, NIfTI; DICOM or OME-Zarr folders.")
]
Masks = Annotated[Path, typer.Option(help="Folder of masks, paired with the images by file stem.")]
Adapter = Annotated[
    Path | None, typer.Option(help="Adapter file; without one the base model predicts.")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Base model, see 'napari-sam-adapter models'; NAME@FILE for weights of your own.",
        show_default="that of the adapter, or lite_medsam",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Views = Annotated[
    int | None,
    typer.Option(
        help="Average the masks of this many mirror images of a slice, 1 to 4: better, and as many "
        "times slower.",
        show_default="2 for adapters of lite_medsam that know mirror images, else 1",
        min=1,
        max=4,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def views_for(sam: AdaptedSam, adapter: Path | None, wanted: int | None) -> int:
    """Return how many views of a slice to predict from."""
    card = None if adapter is None else read_card(adapter)
    return sam.spec.views_for(card) if wanted is None else wanted
