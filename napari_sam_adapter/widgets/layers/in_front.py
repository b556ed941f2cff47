"""The image that is worked on is the one that is seen: its layers in front, masks of others hidden.

Only layers that the dock works with are moved or hidden: images it was told to work on, their
masks, boxes and points. What else is in the viewer stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.widgets.layers.sliders import move_into
from napari_sam_adapter.widgets.predict.prompt_layers import prompt_layers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.layers import Image, Labels, Layer

    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.predict.prediction import Prediction
    from napari_sam_adapter.widgets.retrain.retraining import Retraining


class InFront(QObject):
    """Brings to the front what is chosen.

    Masks of other images would lie on the chosen one as if they were about it. They are hidden,
    and come back with their image; what the person has hidden stays hidden until it is asked for.

    Parameters
    ----------
    layers : LayerChoice
    jobs : sequence of Prediction and Retraining
        While one of them is running, an image that is opened does not take over.
    parent : QObject, optional

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    said = Signal(str, bool)

    def __init__(
        self,
        layers: LayerChoice,
        jobs: Sequence[Prediction | Retraining] = (),
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._jobs = layers, jobs
        self._hidden: WeakSet[Layer] = WeakSet()
        layers.image_changed.connect(self._hide_others)
        layers.image_changed.connect(self._move_slider)
        layers.changed.connect(self._show_chosen)

    def is_held(self) -> bool:
        """Whether something is being done that going to another image would disturb."""
        binding = self._layers.binding
        is_painted = binding is not None and binding.is_alive and binding.is_being_painted
        return is_painted or any(job.is_running for job in self._jobs)

    def say_that_it_waits(self, image: Image) -> None:
        """Say why an image that was just opened is not the one that is worked on."""
        here = "" if self._layers.image is None else f" with {self._layers.image.name}"
        self.said.emit(
            f"{image.name} is open. The dock goes on{here}, where something is not finished yet: "
            f"choose {image.name} under Image to work on it.",
            False,
        )

    def bring(self, image: Image | None, labels: Labels | None = None) -> None:
        """Put an image above all, with its masks, boxes and points, and its masks in hand.

        Parameters
        ----------
        image : Image or None
        labels : Labels, optional
            Its masks; by default those last used with it.
        """
        layers = self._layers.viewer.layers
        labels = labels or self._layers.labels_of(image)
        own = [image, labels, *prompt_layers_of(image)] if image is not None else []
        for layer in own:
            if layer is not None and layer in layers:
                layers.move(layers.index(layer), len(layers))
                layer.visible = True
                self._hidden.discard(layer)
        if own:
            layers.selection.active = labels or image
        self._move_slider()

    def _move_slider(self) -> None:
        image = self._layers.image
        if image is not None and image in self._layers.viewer.layers:
            move_into(self._layers.viewer, image)

    def _hide_others(self) -> None:
        image = self._layers.image
        if image is None:
            return
        for about, layer in self._known():
            if about is image:
                self._show_again(layer)
            elif layer.visible:
                layer.visible = False
                self._hidden.add(layer)

    def _show_chosen(self) -> None:
        """Show masks that are chosen for this image, also where they were made for another."""
        if self._layers.binding is not None:
            self._show_again(self._layers.binding.labels)

    def _show_again(self, layer: Layer) -> None:
        if layer in self._hidden:
            layer.visible = True
            self._hidden.discard(layer)

    def _known(self) -> Iterator[tuple[Image, Layer]]:
        """List the layers of masks, boxes and points with the image that they are about."""
        bindings = self._layers.bindings()
        for binding in bindings:
            yield binding.image, binding.labels
        for image in {binding.image for binding in bindings}:
            for layer in prompt_layers_of(image):
                yield image, layer
