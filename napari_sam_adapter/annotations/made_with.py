"""By what a mask was made besides its image and its adapter: for journals, and in words.

docs/project-format.md lists the keys under ``predicted``. What was not used has no key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.volumes.across_slices import kernel_radius
from napari_sam_adapter.volumes.carry import neighbours
from napari_sam_adapter.volumes.slice_source import SliceIndex, moved_to

if TYPE_CHECKING:
    from napari_sam_adapter.engine.predictor import ModelReference
    from napari_sam_adapter.volumes.depth import Depth
    from napari_sam_adapter.volumes.volume_help import VolumeHelp


def by_model(model: ModelReference, *, bf16: bool = False) -> dict[str, Any]:
    """Describe a model, and how it computed, as far as an adapter's id does not."""
    found: dict[str, Any] = {"views": model.views} if model.views > 1 else {}
    if bf16:
        found["bf16"] = True
    if model.adapter is None:
        found["base"] = model.base
        if model.input_size is not None:
            found["input_size"] = model.input_size
    return found


def by_help(help_: VolumeHelp, index: SliceIndex, depth: Depth, as_of: str) -> dict[str, Any]:
    """Describe what helped to predict a slice.

    Parameters
    ----------
    help_ : VolumeHelp
    index : tuple of int
        The slice.
    depth : Depth
        Along it slices help each other.
    as_of : str
        When the corrected slices were as they were heeded.
    """
    found: dict[str, Any] = {}
    if help_.smooth:
        found["smooth"] = help_.smooth
    if help_.tile:
        found["tile"] = help_.tile
    if help_.three_axes:
        found["three_axes"] = True
    if help_.known:
        heeded = _heeded(help_.known, index, depth, kernel_radius(help_.smooth))
        found |= {"heeded": heeded, "as_of": as_of}
    if help_.known or help_.three_axes:
        found["spacing"] = list(help_.spacing)
    return found


def by_filling(
    known: Collection[int],
    index: SliceIndex,
    axis: int,
    spacing_yx: tuple[float, float],
    as_of: str,
) -> dict[str, Any]:
    """Describe the slices between which one was filled.

    Parameters
    ----------
    known : collection of int
        Positions of the corrected slices along the axis.
    index : tuple of int
    axis : int
    spacing_yx : tuple of float
        Size of a pixel.
    as_of : str
        When the corrected slices were as they were used.
    """
    ends = [list(moved_to(index, axis, end)) for end in neighbours(known, index[axis])]
    return {"between": ends, "as_of": as_of, "spacing": list(spacing_yx)}


def in_words(made_with: Mapping[str, Any]) -> str:
    """Say by what a mask was made, to follow who made it; "" where that is all."""
    told = (tell(made_with[key]) for key, tell in _IN_WORDS.items() if made_with.get(key))
    return ", ".join(filter(None, told))


def _heeded(
    known: Collection[SliceIndex], index: SliceIndex, depth: Depth, radius: int
) -> list[list[int]]:
    """Return the corrected slices that had a say in a slice, or in those it was smoothed with.

    A slice that is known speaks for itself, and any other hears the nearest known on either side.
    """
    line, here = depth.line(index), depth.place(index)
    places = [depth.place(one) for one in known if depth.line(one) == line]
    heard: set[int] = set()
    for place in range(here - radius, here + radius + 1):
        heard |= {place} if place in places else set(neighbours(places, place))
    return [list(depth.at(line, place)) for place in sorted(heard)]


def _listed(slices: Sequence[Sequence[int]]) -> str:
    """Name slices by their position, as ``project show`` does."""
    return "slices " + "; ".join(", ".join(map(str, index)) for index in slices)


def _counted(one: str, more: str) -> Callable[[Sequence[Any]], str]:
    return lambda found: f"from {len(found)} {one if len(found) == 1 else more}"


_IN_WORDS: dict[str, Callable[[Any], str]] = {
    "base": str,
    "input_size": lambda size: f"at {size} pixels",
    "boxes": _counted("box", "boxes"),
    "points": _counted("point", "points"),
    "views": lambda count: f"{count} views",
    "three_axes": lambda _: "along three axes",
    "smooth": lambda width: f"smoothed across slices ({width:g})",
    "heeded": lambda slices: f"heeding {_listed(slices)}",
    "bf16": lambda _: "in bf16",
    "tile": lambda side: f"in tiles of {side} pixels",
    "between": lambda slices: f"between {_listed(slices)}",
    "numbered": lambda _: "objects numbered",
}
