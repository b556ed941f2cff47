"""Labels layers that appear, or are painted in, beside the masks layer or without one.

Where the image has none, an empty one, such as napari's own button makes, becomes the masks layer.
Of one that holds something already nobody knows what it is: the dock says that it is not recorded.
So it says of one that is painted in while another one is the image's masks layer. A hidden one is
left alone: it is there to be compared with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.widgets.judge.comparing import only_shows
from napari_sam_adapter.widgets.layers.binding import source_of
from napari_sam_adapter.widgets.layers.labels_check import check_shape, is_writable
from napari_sam_adapter.widgets.layers.placement import has_no_place, lies_on
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.record.recording import Recording


class UnchosenMasks(QObject):
    """Watches one viewer's Labels layers.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    advised : Signal(str)
        What to do about a layer; true until masks are chosen.
    """

    said = Signal(str, bool)
    advised = Signal(str)

    def __init__(
        self,
        viewer: napari.Viewer,
        layers: LayerChoice,
        recording: Recording,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._layers, self._recording = viewer, layers, recording
        self._added: list[Labels] = []
        self._told: WeakSet[Layer] = WeakSet()
        self._heard: WeakSet[Layer] = WeakSet()
        # Whoever adds a layer may choose it next, as the dock does with its own.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(guarded(self, self._look_at_added, once=True))
        viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in viewer.layers:
            self._listen(layer)
        recording.settled.connect(self._on_settled)

    def close(self) -> None:
        """Let go of the viewer. It also runs after Qt has destroyed the dock: emits nothing."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in self._heard:
            layer.events.paint.disconnect(self._on_painted)

    def _listen(self, layer: Layer) -> None:
        if isinstance(layer, Labels):
            self._heard.add(layer)
            layer.events.paint.connect(self._on_painted)

    def _on_inserted(self, event: Any) -> None:
        self._listen(event.value)
        if isinstance(event.value, Labels):
            self._added.append(event.value)
            self._soon.start(0)

    def _look_at_added(self) -> None:
        added, self._added = self._added, []
        for labels in added:
            image = self._image_of(labels)
            if image is None or not labels.visible:
                continue
            if _is_empty(labels):
                self._layers.choose(image, labels)
                self.said.emit(
                    f"{labels.name!r} is the masks layer of {image.name!r} now: what is painted "
                    "in it is recorded.",
                    False,
                )
            else:
                self._tell(labels)

    def _on_painted(self, event: Any) -> None:
        labels = event.source
        if labels in self._told:
            return
        if self._image_of(labels) is not None:
            self._tell(labels)
            return
        image = self._could_be_of(labels)
        recorded = self._layers.labels_of(image)
        if image is not None and recorded is not None:
            self._told.add(labels)
            said = f"{labels.name!r} is not recorded: the masks of {image.name!r} are in "
            self.said.emit(f"{said}{recorded.name!r}. Paint there, or choose it under Masks.", True)

    def _on_settled(self, image: Image, sentence: str) -> None:
        for layer in reversed(self._viewer.layers):
            is_new = isinstance(layer, Labels) and layer.visible and layer not in self._told
            if is_new and self._image_of(layer) is image and not _is_empty(layer):
                self._tell(layer, sentence)
                return

    def _tell(self, labels: Labels, sentence: str = "") -> None:
        self._told.add(labels)
        said = f"{labels.name!r} is not recorded: choose it under Masks, if it holds masks."
        if sentence:  # which is true for longer
            self.said.emit(f"{sentence} {said}", False)
        else:
            self.advised.emit(said)

    def _image_of(self, labels: Labels) -> Image | None:
        """Return the chosen image if it has no masks layer yet, and this could be one."""
        image = self._could_be_of(labels)
        if self._layers.wanted is not None or self._layers.labels_of(image) is not None:
            return None
        return image

    def _could_be_of(self, labels: Labels) -> Image | None:
        """Return the chosen image if this could be its masks layer, and is that of no image."""
        image = self._layers.image
        if image is None or labels not in self._viewer.layers or only_shows(labels):
            return None
        if self._recording.is_left(labels):
            return None  # they are those of another image
        if any(binding.labels is labels for binding in self._layers.bindings()):
            return None
        try:
            check_shape(labels, source_of(image))
        except ImageError:
            return None
        return image if lies_on(labels, image) or has_no_place(labels) else None


def _is_empty(labels: Labels) -> bool:
    """Whether nothing is marked in a layer; of what lies on the disk that is not asked."""
    return is_writable(labels) and not labels.data.any()
