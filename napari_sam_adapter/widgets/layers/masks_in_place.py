"""Masks stay where their image lies, also when either is moved after they were chosen."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.widgets.layers.placement import lies_on, move_onto
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

REST_MS = 300  # whoever drags a layer is left to it until it rests


class MasksInPlace(QObject):
    """Puts masks back onto their image: beside it, strokes would count for pixels not in view.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    said = Signal(str, bool)

    def __init__(self, layers: LayerChoice, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._heard: WeakSet[Layer] = WeakSet()
        self._soon = QTimer()  # of its own: it is stopped when Qt has destroyed the dock
        self._soon.setSingleShot(True)
        self._soon.setInterval(REST_MS)
        self._soon.timeout.connect(guarded(parent, self._look, once=True))
        layers.changed.connect(self._listen)

    def close(self) -> None:
        """Let go of the layers. It also runs after Qt has destroyed the dock: emits nothing."""
        with contextlib.suppress(RuntimeError):  # where all ends, Qt may have ended the timer
            self._soon.stop()
        for layer in self._heard:
            for event in _events_of(layer):
                event.disconnect(self._on_moved)
        self._heard.clear()

    def _listen(self) -> None:
        binding = self._layers.binding
        for layer in () if binding is None else (binding.image, binding.labels):
            if layer not in self._heard:
                self._heard.add(layer)
                for event in _events_of(layer):
                    event.connect(self._on_moved)

    def _on_moved(self, event: Any) -> None:
        self._soon.start()

    def _look(self) -> None:
        for binding in self._layers.bindings():
            image, labels = binding.image, binding.labels
            if tuple(labels.data.shape) != binding.source.shape:
                continue
            is_there = lies_on(labels, image)
            if not is_there or labels.units != image.units:
                move_onto(labels, image)
            if not is_there:
                self.said.emit(
                    f"{labels.name!r} and {image.name!r} were moved apart: the masks lie on their "
                    "image again. To move both, move the image.",
                    False,
                )


def _events_of(layer: Layer) -> tuple[Any, ...]:
    events = layer.events
    place = events.scale, events.translate, events.rotate, events.shear, events.affine
    return *place, events.units
