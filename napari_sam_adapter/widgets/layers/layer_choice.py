"""Which image and masks layers are worked on, and what is known of the others."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.widgets.layers.binding import (
    LayerBinding,
    is_known,
    source_of,
)
from napari_sam_adapter.widgets.layers.labels_check import check_shape, is_writable
from napari_sam_adapter.widgets.layers.layer_axes import order_in_view, shows_last_axes
from napari_sam_adapter.widgets.layers.masks_in_memory import MasksIntoMemory
from napari_sam_adapter.widgets.layers.placement import lay_onto, new_labels_layer
from napari_sam_adapter.widgets.retrain.class_choice import about_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari


WORK_IN_VIEW = "Work in this orientation"


class LayerChoice(QObject):
    """The chosen layers as a `LayerBinding`; earlier choices are remembered.

    Parameters
    ----------
    viewer : napari.Viewer
    n_classes : callable
        How many classes there are.
    parent : QObject or None

    Attributes
    ----------
    image_changed : Signal()
        Another image is chosen, or none.
    changed : Signal()
        Other layers are worked on now, or none.
    slices_changed : Signal()
        The state of a slice, the slice in view, or what sliders are called, changed.
    image_replaced : Signal(object)
        Other pixels were put into an image layer; its masks are bound to them next.
    states_changed : Signal()
        The state of a slice changed, as when it is accepted.
    edited : Signal(str)
        Something was painted or undone, see `LayerBinding`.
    closed : Signal(object)
        A `LayerBinding` is not listened to any more.
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    image_changed = Signal()
    changed = Signal()
    slices_changed = Signal()
    image_replaced = Signal(object)
    states_changed = Signal()
    edited = Signal(str)
    closed = Signal(object)
    said = Signal(str, bool)

    def __init__(
        self, viewer: napari.Viewer, n_classes: Callable[[], int], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer, self._n_classes = viewer, n_classes
        self._image: Image | None = None
        self._wanted: Labels | None = None
        # What was done to masks until they could be used.
        self._done: WeakKeyDictionary[Labels, list[str]] = WeakKeyDictionary()
        self._bindings: dict[int, LayerBinding] = {}
        self._heard: WeakSet[Image] = WeakSet()
        self.binding: LayerBinding | None = None
        self._into_memory = MasksIntoMemory(viewer, self)
        self._into_memory.said.connect(self.said)
        self._into_memory.arrived.connect(self._on_in_memory)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.point.connect(self._on_slider_moved)
        viewer.dims.events.units.connect(self._on_slider_units)
        viewer.dims.events.axis_labels.connect(self._on_sliders_called)

    @property
    def image(self) -> Image | None:
        """The chosen image."""
        return self._image

    @property
    def wanted(self) -> Labels | None:
        """The chosen masks layer, also one that cannot be used, or not yet."""
        return self._wanted

    def choose(self, image: Image | None, labels: Labels | None) -> None:
        """Work on these layers; without masks a new layer is made when it is needed."""
        if image is not None and image not in self._heard:
            self._heard.add(image)
            image.events.data.connect(self._on_image_replaced)
        if image is not self._image:
            self._image = image
            self.image_changed.emit()
        if labels is not self._wanted:
            self._into_memory.cancel()
            self._wanted = labels
        binding = None
        try:
            if image is not None:
                source_of(image)  # it says why an image cannot be used, also before it has masks
            if image is not None and labels is not None:
                binding = self._bind(image, labels)
        except ImageError as error:
            self.said.emit(str(error), True)
        if binding is not None:
            self._bindings[id(labels)] = self._bindings.pop(id(labels))  # last used: see labels_of
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

    def bindings(self) -> list[LayerBinding]:
        """Return all images with masks that were worked on and are still there."""
        return [binding for binding in self._bindings.values() if binding.is_alive]

    def take_up(self, image: Image, labels: Labels) -> LayerBinding | None:
        """Return layers as one where they can be; chosen, and in front, if the image waits for it.

        For masks that were there before their image was.
        """
        if image is not self._image or self.binding is not None:
            binding = None
            with contextlib.suppress(ImageError):  # it is said when they are chosen
                binding = self._bind(image, labels)
            if binding is not None:  # first: nobody has worked on them yet, see labels_of
                self._bindings = {id(labels): binding} | self._bindings
            return binding
        self.choose(image, labels)
        layers = self.viewer.layers
        layers.move(layers.index(labels), len(layers))
        layers.selection.active = labels
        return self.binding

    def need(self) -> LayerBinding:
        """Return the layers to work on, making a masks layer where none is chosen.

        Raises
        ------
        ImageError
            If there is no image, it or the chosen masks cannot be used, or other axes are in view.
        """
        if self._image is None:
            raise ImageError("There is no image layer: open an image, or try File > Open Sample.")
        if not shows_last_axes(self.viewer):
            raise ImageError(_other_axes(order_in_view(self.viewer, self._image) is not None))
        if self.binding is None or not self.binding.is_alive:
            if self._wanted is not None and self._wanted in self.viewer.layers:
                labels = self._wanted
                # It says why it cannot be used, or now it can.
                if self._bind(self._image, labels) is None:
                    raise ImageError(f"{labels.name!r} is being read into memory: a moment.")
            else:
                labels = new_labels_layer(self.viewer, self._image)
            # Adding the layer may have made the dock choose it; bind it in any case.
            self.choose(self._image, labels)
        if self.binding is None:
            raise ImageError("The masks layer could not be made for this image.")
        if not self.binding.sliders_pick_slices():
            raise ImageError(
                f"The image {self._image.name!r} is rotated out of its slice plane, so a slider "
                "position is not one slice of it. Reset its rotate, shear and affine, or resample."
            )
        return self.binding

    def close(self) -> None:
        """Let go of the viewer. It also runs after Qt has destroyed the dock: emits nothing."""
        self._into_memory.cancel()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.dims.events.point.disconnect(self._on_slider_moved)
        self.viewer.dims.events.units.disconnect(self._on_slider_units)
        self.viewer.dims.events.axis_labels.disconnect(self._on_sliders_called)
        for image in self._heard:
            image.events.data.disconnect(self._on_image_replaced)
        for binding in self._bindings.values():
            binding.close()
        self._bindings.clear()

    @property
    def is_reading(self) -> bool:
        """Whether masks are being read into memory."""
        return self._into_memory.is_running

    def _bind(self, image: Image, labels: Labels) -> LayerBinding | None:
        """Return the layers as one; None while the masks are being read into memory."""
        known = self._bindings.get(id(labels))
        if known is not None and known.image is image and known.labels is labels:
            return known
        check_shape(labels, source_of(image))
        said = lay_onto(labels, image)
        if said:
            self._done.setdefault(labels, []).append(said)
        if not is_writable(labels):
            self._into_memory.start(labels)
            return None
        if not is_known(labels):
            self._done.setdefault(labels, []).extend(about_labels(labels, self._n_classes()))
        binding = LayerBinding(self.viewer, image, labels, self)
        if done := self._done.pop(labels, []):
            self.said.emit(" ".join(done), False)
        if known is not None:
            known.close()
            self.closed.emit(known)
        binding.slices_changed.connect(self.slices_changed)
        binding.said.connect(self.said)
        binding.slices_changed.connect(self.states_changed)
        binding.edited.connect(self.edited)
        self._bindings[id(labels)] = binding
        return binding

    def _on_in_memory(self, before: Labels, labels: Labels) -> None:
        said = f"{labels.name!r} is in memory now; its file, if it has one, stays as it is."
        self._done[labels] = [*self._done.pop(before, []), said]
        self.choose(self._image, labels)

    def _on_layer_removed(self, event: Any) -> None:
        for binding in list(self._bindings.values()):
            if not binding.is_alive:
                self._let_go_of(binding)
                if binding is self.binding:
                    self.binding = None
                    self.changed.emit()
        self.slices_changed.emit()

    def _on_image_replaced(self, event: Any) -> None:
        """Bind the masks to what the image is now; nothing of it goes to what it was."""
        image, chosen = event.source, self.binding
        self.image_replaced.emit(image)
        for binding in [one for one in self._bindings.values() if one.image is image]:
            self._let_go_of(binding)
            if binding is not chosen:
                with contextlib.suppress(ImageError):  # it is said when they are chosen
                    self._bind(image, binding.labels)
        if image is self._image:
            self.image_changed.emit()
            self.choose(image, None if chosen is None else chosen.labels)
            if self.binding is None:
                self._wanted = None  # masks of what it was; it gets others when they are needed

    def _let_go_of(self, binding: LayerBinding) -> None:
        binding.close()
        self.closed.emit(binding)
        del self._bindings[id(binding.labels)]

    def _on_slider_moved(self, event: Any) -> None:
        self.slices_changed.emit()

    def _on_slider_units(self, event: Any) -> None:
        # The sliders stand at other slices now, which napari shows only when one is moved.
        for layer in self.viewer.layers:
            layer.events.reload(layer=layer)
        self.slices_changed.emit()

    def _on_sliders_called(self, event: Any) -> None:
        for binding in self.bindings():
            binding.call_sliders()
        self.slices_changed.emit()


def _other_axes(is_help: bool) -> str:
    back = "oll the axes back (Ctrl+E) until the last two are shown."
    return (
        "Predictions are made on the last two axes of the image, and the viewer shows others. "
        + (f"Press “{WORK_IN_VIEW}”, below Masks, or r{back}" if is_help else f"R{back}")
    )
