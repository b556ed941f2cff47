"""Accept the slice in view as it is; in a row of good slices, go on to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.volumes.slice_source import moved_to
from napari_sam_adapter.widgets.panels.slice_words import accepted, accepted_or_open

if TYPE_CHECKING:
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice


class Accepting(QObject):
    """Accepts slices of the layers that are worked on.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    said = Signal(str, bool)

    def __init__(self, layers: LayerChoice, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = layers

    def toggle(self) -> None:
        """Accept the slice in view as it is, or take that back."""
        try:
            binding = self._layers.need()
            index = binding.need_in_view()
            binding.toggle_accepted(index)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        self.said.emit(accepted_or_open(binding, index), False)

    def accept_and_go_on(self) -> None:
        """Accept the slice in view, and go to the next one that is not, along the slider in use.

        After the last one it goes on with the first; one that is accepted stays so.
        """
        try:
            binding = self._layers.need()
            index = binding.need_in_view()
            if not _is_accepted(binding, index):
                binding.toggle_accepted(index)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        said, following = accepted(binding, index), _next_open(binding, index)
        if following is None:
            along = ", and so are all along this slider" if index else ""
            self.said.emit(f"{said}{along}.", False)
            return
        binding.show(following)
        self.said.emit(f"{said}; {binding.source.describe(following)} is the next.", False)


def _next_open(binding: LayerBinding, index: SliceIndex) -> SliceIndex | None:
    """Return the slice after one, along the slider that napari highlights, that is not accepted."""
    shape, dims = binding.source.slider_shape, binding.viewer.dims
    if not shape:
        return None
    axis = int(dims.last_used) - (dims.ndim - binding.image.ndim)
    if axis not in range(len(shape)):
        axis = len(shape) - 1 if binding.source.depth.axis is None else binding.source.depth.axis
    for step in range(1, shape[axis]):
        following = moved_to(index, axis, (index[axis] + step) % shape[axis])
        if not _is_accepted(binding, following):
            return following
    return None


def _is_accepted(binding: LayerBinding, index: SliceIndex) -> bool:
    return binding.tracker.state(index) is SliceState.ACCEPTED
