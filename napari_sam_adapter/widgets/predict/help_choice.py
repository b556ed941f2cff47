"""Which help from around a slice the person wants, and what that is for the image at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.volumes.three_axes import check_memory
from napari_sam_adapter.volumes.volume_help import VolumeHelp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource
    from napari_sam_adapter.widgets.layers.binding import LayerBinding


@dataclass(frozen=True, slots=True)
class HelpChoice:
    """What is chosen in the dock.

    Attributes
    ----------
    smooth : float
        Standard deviation across slices, in slices; 0 is off.
    heed : bool
        Heed the corrected slices nearest to the one that is predicted.
    tile : int
        Side of tiles; 0 is the whole picture at once.
    three_axes : bool
        Average the slices across all three axes, where whole volumes are predicted.
    """

    smooth: float = 0.0
    heed: bool = False
    tile: int = 0
    three_axes: bool = False


def offered(choice: HelpChoice, source: SliceSource) -> HelpChoice:
    """Return what of a choice an image has: neighbouring slices help where there are any."""
    if source.n_deep > 1:
        return replace(choice, three_axes=choice.three_axes and not source.depth.is_time)
    return replace(choice, smooth=0.0, heed=False, three_axes=False)


def help_for(
    choice: HelpChoice, binding: LayerBinding, indices: Sequence[SliceIndex], one_class: bool
) -> VolumeHelp:
    """Return the help that the open image has, to predict some of its slices.

    Parameters
    ----------
    choice : HelpChoice
    binding : LayerBinding
    indices : sequence of slice index
        What is to be predicted; never known, even if it is corrected.
    one_class : bool
        Whether any label is the object.
    """
    source = binding.source
    choice, depth = offered(choice, source), source.depth.axis
    tile = choice.tile if 0 < choice.tile < max(source.slice_shape) else None
    if depth is None:
        return VolumeHelp(tile=tile)
    known = {}
    if choice.heed:
        wanted = set(indices)
        ready = (index for index in binding.tracker.ready() if index not in wanted)
        known = {index: binding.class_labels(index, one_class) for index in ready}
    image = binding.image
    geometry = Geometry.of_steps(
        source.shape, spacing=np.abs(image.scale), units=[str(unit) for unit in image.units]
    )
    voxel = geometry.voxel_size(depth, is_time=source.depth.is_time)
    return VolumeHelp(choice.smooth, tile, known, choice.three_axes, voxel)


def slices_ahead(
    help_: VolumeHelp, source: SliceSource, indices: Sequence[SliceIndex], n_classes: int
) -> int:
    """Return how many slices are predicted before the first is done: with three axes, volumes.

    Raises
    ------
    ImageError
        Where a volume does not fit into the memory that is free, with what it takes.
    """
    if not help_.three_axes:
        return 0
    check_memory(source, indices, n_classes)
    n_volumes = len(set(map(source.depth.line, indices)))
    return n_volumes * source.n_across_axes


def described(help_: VolumeHelp) -> str:
    """Say what helped, to follow who predicted."""
    parts = []
    if help_.three_axes:
        parts.append("along three axes")
    if help_.smooth:
        parts.append("smoothed across slices")
    if help_.known:
        count = len(help_.known)
        parts.append(f"heeding {count} corrected slice{'s'[: count != 1]}")
    if help_.tile:
        parts.append(f"in tiles of {help_.tile} pixels")
    return "".join(f", {part}" for part in parts)
