"""Choose the image and the masks layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_sam_adapter.widgets.judge.comparing import only_shows
from napari_sam_adapter.widgets.layers.layer_choice import WORK_IN_VIEW
from napari_sam_adapter.widgets.panels.small import let_shrink

if TYPE_CHECKING:
    import napari

NEW_LAYER = "(new masks layer)"


class LayersPanel(QWidget):
    """Two lists that follow the viewer's layers.

    Attributes
    ----------
    layers_chosen : Signal(object, object)
        The image and the masks layer, either may be None.
    image_chosen : Signal(object)
        The person has asked for this image; it does not come when the panel follows the viewer.
    orientation_requested : Signal()
        Work on the planes in view.
    image_waits : Signal(object)
        An image was opened, and the one that is worked on stays the chosen one; see `is_held`.
    """

    layers_chosen = Signal(object, object)
    image_chosen = Signal(object)
    image_waits = Signal(object)
    orientation_requested = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.image_box = ComboBox(
            label="Image",
            choices=lambda _: self._layers(Image),
            tooltip="What is worked on: a 2-D image, a stack of frames or a volume. Choosing one "
            "brings it to the front with its masks. The slider picks the slice.",
        )
        self.labels_box = ComboBox(
            label="Masks",
            choices=lambda _: [(NEW_LAYER, None), *self._layers(Labels)],
            tooltip="Where predictions are written and corrected.",
        )
        self._form = Container(widgets=[self.image_box, self.labels_box], labels=True)
        self._form.margins = (0, 0, 0, 0)
        for box in (self.image_box, self.labels_box):
            let_shrink(box.native)
        self.image_box.native.setPlaceholderText("open one to begin")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._form.native)
        self.orientation_button = QPushButton(WORK_IN_VIEW)
        self.orientation_button.setToolTip(
            "Slices are the last two axes of an image, and others are in view: show the image with "
            "its axes in this order, as a view of the same pixels, and work on that"
        )
        self.orientation_button.clicked.connect(self.orientation_requested)
        self.orientation_button.hide()
        layout.addWidget(self.orientation_button)
        # Another image brings its own masks: those of the last one are not about it.
        self.labels_of: Callable[[Image | None], Labels | None] = lambda image: None
        # Whether something is being done that a change of the image would disturb.
        self.is_held: Callable[[], bool] = lambda: False
        self._shown_image = self.image_box.value
        self.image_box.changed.connect(self._on_image_chosen)
        self.labels_box.changed.connect(self._emit)
        self._is_listening = True
        for events in (viewer.layers.events.inserted, viewer.layers.events.removed):
            events.connect(self._on_layers_changed)
        viewer.layers.events.inserted.connect(self._follow_renaming)
        for layer in viewer.layers:
            layer.events.name.connect(self._on_renamed)

    def choose_image(self, image: Image) -> None:
        """Work on an image, with its masks layer if it has one."""
        self.image_box.value = image

    def choose_labels(self, labels: Labels) -> None:
        """Show a masks layer as the chosen one."""
        self._refresh()
        self.labels_box.value = labels

    def announce(self) -> None:
        """Say once what is chosen at the start."""
        self._emit()

    def stop_listening(self) -> None:
        """Ignore the viewer from now on; the dock is gone, its layers are not."""
        self._is_listening = False

    def _layers(self, kind: type[Layer]) -> list[tuple[str, Layer]]:
        """List layers of a kind, the topmost first: it is the one just opened."""
        return [
            (layer.name, layer)
            for layer in reversed(self._viewer.layers)
            if isinstance(layer, kind) and not only_shows(layer)
        ]

    def _on_image_chosen(self, image: Image | None) -> None:
        self._follow_image()
        self._emit()
        self.image_chosen.emit(image)

    def _follow_image(self) -> None:
        if self.image_box.value is not self._shown_image:
            self._shown_image = self.image_box.value
            with self.labels_box.changed.blocked():
                self.labels_box.value = self.labels_of(self._shown_image)

    def _on_layers_changed(self, event: Any) -> None:
        if self._is_listening:
            self._refresh()
            if event.type == "inserted":
                self._take_up(event.value)
            self._follow_image()
            self._emit()

    def _take_up(self, layer: Layer) -> None:
        """Choose an image that has just been opened: it is what the person looks at now."""
        if layer is self.image_box.value or layer not in self.image_box.choices:
            return
        if self.is_held():
            self.image_waits.emit(layer)
            return
        with self.image_box.changed.blocked():
            self.image_box.value = layer

    def _follow_renaming(self, event: Any) -> None:
        event.value.events.name.connect(self._on_renamed)

    def _on_renamed(self, event: Any) -> None:
        if self._is_listening:
            self._refresh()

    def _refresh(self) -> None:
        """List the layers anew; the chosen ones stay chosen, whatever they are called now."""
        for box in (self.image_box, self.labels_box):
            chosen = box.value
            with box.changed.blocked():
                box.reset_choices()
                if chosen in box.choices:
                    box.value = chosen

    def _emit(self) -> None:
        self.layers_chosen.emit(self.image_box.value, self.labels_box.value)
