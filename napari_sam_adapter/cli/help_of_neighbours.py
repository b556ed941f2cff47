"""What helps to predict the slices of a file, as the options of ``predict`` ask for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sam_adapter.data.files import read_labels
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.mask_values import MergedValues
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.file_prediction import source_of
from napari_sam_adapter.volumes.depth import NO_DEPTH, ONLY_TIME
from napari_sam_adapter.volumes.volume_help import VolumeHelp

_log = logging.getLogger(__name__)


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
    geometry, along = image.geometry, source_of(image).depth
    depth = along.axis
    if depth is None:
        is_picture = len(geometry.shape) < 3
        why = "It is a single picture." if is_picture else NO_DEPTH
        option = "--three-axes" if asked.three_axes else "--corrected" if corrected else ""
        if option:
            raise ImageError(f"{image.name}: {option} is for volumes. {why}")
        if asked.smooth and not is_picture:
            _log.warning("%s was predicted without --smooth. %s", image.name, NO_DEPTH)
        return replace(asked, smooth=0.0)
    if asked.three_axes and along.is_time:
        raise ImageError(f"{image.name}: --three-axes is for volumes. {ONLY_TIME}")
    known = {}
    if corrected is not None:
        labels = read_labels(corrected, class_names, geometry, MergedValues(_log.warning))
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
    return replace(asked, known=known, spacing=geometry.voxel_size(depth, is_time=along.is_time))
