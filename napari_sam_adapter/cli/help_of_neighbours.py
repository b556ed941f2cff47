"""What helps to predict the slices of a file, as the options of ``predict`` ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sam_adapter.data.files import read_labels
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volume_help import VolumeHelp


def help_for(
    image: PlacedImage, asked: VolumeHelp, class_names: Sequence[str], corrected: Path | None
) -> VolumeHelp:
    """Return the help that an image gets: what needs neighbours, for volumes only.

    Parameters
    ----------
    image : PlacedImage
    asked : VolumeHelp
        For all images.
    class_names : sequence of str
        What the labels of ``corrected`` are.
    corrected : Path, optional
        Masks of this image; slices in which anything is marked are known.

    Raises
    ------
    ImageError
        If a help does not fit the image.
    """
    geometry = image.geometry
    if len(geometry.shape) < 3:
        if corrected is not None:
            raise ImageError(f"{image.name} is a single picture; --corrected is for volumes.")
        if asked.three_axes:
            raise ImageError(f"{image.name} is a single picture; --three-axes is for volumes.")
        return replace(asked, smooth=0.0)
    z, y, x = geometry.spacing[-3:]
    known = {}
    if corrected is not None:
        labels = read_labels(corrected, class_names, geometry)
        if labels.shape != geometry.shape:
            raise ImageError(
                f"{corrected.name} has shape {labels.shape}, and {image.name} {geometry.shape}; "
                "they must be alike."
            )
        known = {
            index: labels[index].astype(np.uint8)
            for index in np.ndindex(*labels.shape[:-2])
            if labels[index].any()
        }
        if not known:
            raise ImageError(f"Nothing is marked in {corrected.name}, so no slice is corrected.")
    return replace(asked, known=known, spacing=(z, y, x))
