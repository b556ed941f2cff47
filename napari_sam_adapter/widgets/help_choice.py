"""Which help from around a slice the person wants, and what that is for the image at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam_adapter.volume_help import VolumeHelp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam_adapter.volume import SliceIndex
    from napari_sam_adapter.widgets.binding import LayerBinding


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
    """

    smooth: float = 0.0
    heed: bool = False
    tile: int = 0


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
    tile = choice.tile if 0 < choice.tile < max(source.slice_shape) else None
    if not source.slider_shape:
        return VolumeHelp(tile=tile)
    known = {}
    if choice.heed:
        wanted = set(indices)
        ready = (index for index in binding.tracker.ready() if index not in wanted)
        known = {index: binding.class_labels(index, one_class) for index in ready}
    z, y, x = (abs(float(size)) for size in binding.image.scale[-3:])
    return VolumeHelp(choice.smooth, tile, known, spacing=(z, y, x))


def described(help_: VolumeHelp) -> str:
    """Say what helped, to follow who predicted."""
    parts = []
    if help_.smooth:
        parts.append("smoothed across slices")
    if help_.known:
        count = len(help_.known)
        parts.append(f"heeding {count} corrected slice{'s'[: count != 1]}")
    if help_.tile:
        parts.append(f"in tiles of {help_.tile} pixels")
    return "".join(f", {part}" for part in parts)
