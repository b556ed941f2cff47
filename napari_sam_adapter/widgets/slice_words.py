"""A slice in words: where it is, what happened to it, who predicted it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_sam_adapter.annotations import SliceState
from napari_sam_adapter.slice_history import FILLED

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.binding import LayerBinding


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
    where = binding.source.describe(index).capitalize()
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
