"""Which image and masks layers are worked on, and what is known of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.widgets.binding import LayerBinding
from napari_sam_adapter.widgets.placement import new_labels_layer

if TYPE_CHECKING:
    import napari


class LayerChoice(QObject):
    """The chosen layers as a `LayerBinding`; earlier choices are remembered.

    Attributes
    ----------
    image_changed : Signal()
        Another image is chosen, or none.
    changed : Signal()
        Other layers are worked on now, or none.
    slices_changed : Signal()
        The state of a slice, or the slice in view, changed.
    closed : Signal(object)
        A `LayerBinding` is not listened to any more.
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    failed : Signal(str)
        The chosen layers cannot be used; a sentence for the person.
    """

    image_changed = Signal()
    changed = Signal()
    slices_changed = Signal()
    closed = Signal(object)
    said = Signal(str, bool)
    failed = Signal(str)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._image: Image | None = None
        self._bindings: dict[int, LayerBinding] = {}
        self.binding: LayerBinding | None = None
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.point.connect(self._on_slider_moved)

    @property
    def image(self) -> Image | None:
        """The chosen image."""
        return self._image

    def choose(self, image: Image | None, labels: Labels | None) -> None:
        """Work on these layers; without masks a new layer is made when it is needed."""
        if image is not self._image:
            self._image = image
            self.image_changed.emit()
        binding = None
        try:
            if image is not None and labels is not None:
                binding = self._bind(image, labels)
        except ImageError as error:
            self.failed.emit(str(error))
        if binding is not self.binding:
            self.binding = binding
            self.changed.emit()
            self.slices_changed.emit()

    def labels_of(self, image: Image | None) -> Labels | None:
        """Return the masks layer last used with an image, if it is still there."""
        for binding in reversed(self._bindings.values()):
            if binding.image is image and binding.is_alive:
                return binding.labels
        return None

    def need(self) -> LayerBinding:
        """Return the layers to work on, making a masks layer where none is chosen.

        Raises
        ------
        ImageError
            If there is no image, it cannot be used, or other axes are in view.
        """
        if self._image is None:
            raise ImageError("There is no image layer: open an image, or try File > Open Sample.")
        if self.binding is None or not self.binding.is_alive:
            labels = new_labels_layer(self.viewer, self._image)
            # Adding the layer may have made the dock choose it; bind it in any case.
            self.choose(self._image, labels)
        if self.binding is None:
            raise ImageError("The masks layer could not be made for this image.")
        if not self.binding.slices_are_in_view():
            raise ImageError(
                "Predictions are made on the last two axes of the image, and the viewer shows "
                "others. Roll the axes back (Ctrl+E) until the last two are shown."
            )
        if not self.binding.sliders_pick_slices():
            raise ImageError(
                f"The image {self._image.name!r} is rotated out of its slice plane, so a slider "
                "position is not one slice of it. Reset its rotate, shear and affine, or resample."
            )
        return self.binding

    def close(self) -> None:
        """Let go of the viewer. It also runs after Qt has destroyed the dock: emits nothing."""
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.dims.events.point.disconnect(self._on_slider_moved)
        for binding in self._bindings.values():
            binding.close()
        self._bindings.clear()

    def _bind(self, image: Image, labels: Labels) -> LayerBinding:
        known = self._bindings.get(id(labels))
        if known is not None and known.image is image and known.labels is labels:
            return known
        binding = LayerBinding(self.viewer, image, labels, self)
        if known is not None:
            known.close()
            self.closed.emit(known)
        binding.slices_changed.connect(self.slices_changed)
        binding.said.connect(self.said)
        self._bindings[id(labels)] = binding
        return binding

    def _on_layer_removed(self, event: Any) -> None:
        for key, binding in list(self._bindings.items()):
            if not binding.is_alive:
                binding.close()
                self.closed.emit(binding)
                del self._bindings[key]
                if binding is self.binding:
                    self.binding = None
                    self.changed.emit()
        self.slices_changed.emit()

    def _on_slider_moved(self, event: Any) -> None:
        self.slices_changed.emit()
