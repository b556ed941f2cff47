"""A slice in words: where it is, what happened to it, who predicted it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari_sam_adapter.annotations.slice_history import FILLED
from napari_sam_adapter.annotations.slice_tracker import SliceState

if TYPE_CHECKING:
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding


def at_start(words: str) -> str:
    """Begin a sentence with these words. Names in them, like that of axis Z, stay as they are."""
    return f"{words[:1].upper()}{words[1:]}"


def describe_slice(binding: LayerBinding, position: int, name_of: Callable[[str], str]) -> str:
    """Describe a slice: ``Slice 3: corrected (predicted by v2, confidence 81%)``.

    Parameters
    ----------
    binding : LayerBinding
    position : int
        Among all slices.
    name_of : callable
        Names the version of an adapter id.
    """
    index = binding.source.index_of(position)
    state = binding.tracker.state(index)
    where = at_start(binding.source.describe(index))
    text = f"{where}: {state.value}"
    adapter = binding.tracker.adapter_of(index)
    if adapter is not None and state is not SliceState.UNTOUCHED:
        name = name_of(adapter)
        confidence = binding.tracker.confidence_of(index)
        if confidence is not None:
            name += f", confidence {confidence:.0%}"
        done = "filled" if adapter == FILLED else "predicted"
        if state is SliceState.PREDICTED:
            return f"{where}: {done} by {name}"
        text += f" ({done} by {name})"
    return text


def accepted_or_open(binding: LayerBinding, index: SliceIndex) -> str:
    """Say that a slice was accepted, and as what, or that it is open again."""
    if binding.tracker.state(index) is SliceState.ACCEPTED:
        return f"{accepted(binding, index)}: it is trained on, and stays so."
    return f"{at_start(binding.source.describe(index))} is open again."


def accepted(binding: LayerBinding, index: SliceIndex) -> str:
    """Say that a slice is accepted, and as what, without a full stop."""
    shown = "" if binding.labels_of(index).any() else " as showing no object"
    return f"{at_start(binding.source.describe(index))} is accepted{shown}"


def changed_elsewhere(key: str, slices: Sequence[str]) -> str:
    """Say that undo or redo, which is one for all slices, changed some out of view; "" for none."""
    if not slices:
        return ""
    if len(slices) == 1:
        return f"{key} changed {slices[0]}, which is not in view."
    return f"{key} changed {slices[0]} and {len(slices) - 1} more, which are not in view."
