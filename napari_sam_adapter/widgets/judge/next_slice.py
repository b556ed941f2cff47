"""Go to the slice that is worth correcting next, and say why it is that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError, SamAdapterError
from napari_sam_adapter.next_slice import (
    NextSlice,
    next_slice,
    slices_learned_from,
    uncertainty_of,
    why,
)
from napari_sam_adapter.widgets.panels.slice_words import at_start

if TYPE_CHECKING:
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

# Of each slice to each one taught: more of them would take the window longer than a blink.
DISTANCES_AT_A_GLANCE = 20_000


class NextSliceFinder(QObject):
    """Finds the next slice of the layers that are worked on.

    A slice it went to and nothing was done to is passed over until all others are, or another
    version predicts.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    said = Signal(str, bool)

    def __init__(
        self, session: Session, layers: LayerChoice, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._layers = session, layers
        self._shown: set[SliceIndex] = set()
        layers.changed.connect(self._forget)
        session.active_changed.connect(self._forget)

    def go(self) -> None:
        """Move the slider to the next slice and say why."""
        try:
            binding = self._layers.need()
            binding.check_known()
            found = self._find(binding)
            if found is None and self._shown:
                self._shown.clear()
                found = self._find(binding)
            if found is None:
                raise ImageError("Every slice is corrected or accepted; there is none left to do.")
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        self._shown.add(found.index)
        binding.show(found.index)
        name = at_start(binding.source.describe(found.index))
        self.said.emit(f"{name}: {why(found)}.", False)

    def suggested(self) -> SliceIndex | None:
        """Return where `go` would go now; None where it is not known at a glance."""
        binding = self._layers.binding
        if binding is None or not binding.is_alive:
            return None
        n_distances = binding.source.n_slices * (1 + len(binding.tracker.ready()))
        if n_distances > DISTANCES_AT_A_GLANCE:
            return None
        found = self._find(binding)
        return None if found is None else found.index

    def _find(self, binding: LayerBinding) -> NextSlice | None:
        unsure = uncertainty_of(binding.tracker, binding.source.indices())
        taught = binding.tracker.ready()
        learned = max(len(taught), self.learned_from())
        depth = binding.source.depth
        return next_slice(unsure, taught, passed=self._shown, learned_from=learned, depth=depth)

    def learned_from(self) -> int:
        """Return how many slices the version in use has learned from, in this image and others."""
        active = self._session.in_use.version
        return slices_learned_from(None if active is None else active.card.training)

    def _forget(self) -> None:
        self._shown.clear()
