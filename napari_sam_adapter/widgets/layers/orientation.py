"""Work on the planes that the viewer shows, where they are others than the image's slices."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image
from napari.layers._source import layer_source
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.data.lazy import transposed
from napari_sam_adapter.widgets.layers.layer_axes import axes_of, order_in_view
from napari_sam_adapter.widgets.predict.prompt_layers import prompt_layers_of
from napari_sam_adapter.widgets.readers import GEOMETRY, geometry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam_adapter.widgets.layers.in_front import InFront
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

SUFFIX = " (reoriented)"
# Of the 3-D view; they would have to be turned with the image.
_NOT_TAKEN_OVER = ("plane", "experimental_clipping_planes", "locked_data_level")


@dataclass(frozen=True, slots=True)
class _Made:
    """From which image a layer was made, by which order of its axes, and the pixels of both."""

    origin: Image
    order: tuple[int, ...]
    pixels: tuple[Any, Any]


# It outlives the dock, which may be closed and opened again.
_MADE: WeakKeyDictionary[Image, _Made] = WeakKeyDictionary()


class Orientation(QObject):
    """Shows an image once more, with its axes in the order in which the viewer shows them.

    napari's slices are the last two axes of an image, and so are ours. An image of another order
    becomes one of this order by a view of the same pixels: nothing is copied. To the project it is
    an image of its own, since its slices are others.

    Attributes
    ----------
    offered : Signal(bool)
        Whether there is something to do, as the viewer stands now.
    opened : Signal(object)
        The image layer to work on now.
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    offered = Signal(bool)
    opened = Signal(object)
    said = Signal(str, bool)

    def __init__(
        self, layers: LayerChoice, in_front: InFront, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._layers, self._in_front = layers, in_front
        self._viewer = layers.viewer
        for event in self._events():
            event.connect(self._offer)
        layers.image_changed.connect(self._offer)

    def close(self) -> None:
        """Let go of the viewer. It also runs after Qt has destroyed the dock: emits nothing."""
        for event in self._events():
            event.disconnect(self._offer)
        with contextlib.suppress(RuntimeError):
            self._layers.image_changed.disconnect(self._offer)

    def work_in_view(self) -> None:
        """Work on the planes in view from now on."""
        image, order = self._layers.image, self._order()
        if image is None or order is None:
            self.said.emit(
                "The slices of this image are in view already, or it has no others: roll the axes "
                "of a volume (Ctrl+E) until the plane to work on is shown.",
                True,
            )
            return
        layer = _in_order(image, order)
        dims = self._viewer.dims
        first = dims.ndim - image.ndim
        world = [*range(first), *(first + axis for axis in order)]
        point = [dims.point[axis] for axis in world]
        camera = self._viewer.camera
        looked_at, zoom = camera.center, camera.zoom
        image.visible = False  # before the axes roll: what nobody looks at is not read
        dims.order = tuple(range(dims.ndim))  # napari looks at the other planes as a whole then
        if layer in self._viewer.layers:
            layer.visible = True
        else:
            self._viewer.add_layer(layer)
        # napari's sliders span what is hidden, too, and would walk past the ends of the image.
        is_in_use = self._layers.labels_of(image) or prompt_layers_of(image)
        if not is_in_use:
            self._viewer.layers.remove(image)
        dims.set_point(range(dims.ndim), point)
        camera.center, camera.zoom = looked_at, zoom
        self.opened.emit(layer)
        self._in_front.bring(layer)
        before = (
            f"{image.name} is hidden, with its masks; the sliders still span it"
            if is_in_use
            else f"It stands for {image.name}"
        )
        self.said.emit(
            f"{layer.name} has the slices that were in view; no pixel is copied. {before}.", False
        )

    def _order(self) -> tuple[int, ...] | None:
        image = self._layers.image
        is_there = image is not None and image in self._viewer.layers
        return order_in_view(self._viewer, image) if is_there else None

    def _offer(self, event: Any = None) -> None:
        self.offered.emit(self._order() is not None)

    def _events(self) -> list[Any]:
        events = self._viewer.dims.events
        return [events.order, events.ndisplay, events.ndim]


def _in_order(image: Image, order: Sequence[int]) -> Image:
    """Return an image with its axes in another order: the layer it was made from, or a new one."""
    # Where other pixels were put into a layer since, it has nothing to do with the others any more.
    made = {
        layer: one
        for layer, one in _MADE.items()
        if one.pixels[0] is one.origin.data and one.pixels[1] is layer.data
    }
    plain = tuple(range(image.ndim))
    origin, before = (made[image].origin, made[image].order) if image in made else (image, plain)
    whole = tuple(before[axis] for axis in order)
    if whole == plain:
        return origin
    for layer, one in made.items():
        if one.origin is origin and one.order == whole:
            return layer
    layer = _reordered(image, order)
    _MADE[layer] = _Made(origin, whole, (origin.data, layer.data))
    return layer


def _reordered(image: Image, order: Sequence[int]) -> Image:
    data, properties, _ = image.as_layer_data_tuple()
    for name in _NOT_TAKEN_OVER:
        properties.pop(name, None)
    levels = [transposed(level, order) for level in (data if image.multiscale else [data])]
    names = axes_of(image)
    metadata, geometry = dict(image.metadata), geometry_of(image)
    metadata.pop(GEOMETRY, None)
    if geometry is not None:
        metadata[GEOMETRY] = geometry.transposed(order)
    with layer_source(path=image.source.path, reader_plugin=image.source.reader_plugin):
        layer = Image(
            levels if image.multiscale else levels[0],
            **{
                **properties,
                **_place(image, order),
                "name": image.name.removesuffix(SUFFIX) + SUFFIX,
                "units": [image.units[axis] for axis in order],
                "axis_labels": [names[axis] for axis in order] if names else None,
                "metadata": metadata,
            },
        )
    layer.contrast_limits_range = image.contrast_limits_range
    return layer


def _place(image: Image, order: Sequence[int]) -> dict[str, Any]:
    """Return what puts an image at its place in a world whose axes are in another order, too."""
    n, order = image.ndim, list(order)
    scale, translate = image.scale[order], image.translate[order]
    origin = np.asarray(image.data_to_world(np.zeros(n)))
    steps = np.array([image.data_to_world(row) - origin for row in np.eye(n)]).T
    # Rotation and shear would be others; all that goes beyond sizes and offsets is in one matrix.
    affine = np.eye(n + 1)
    affine[:n, :n] = steps[np.ix_(order, order)] / scale
    affine[:n, n] = origin[order] - affine[:n, :n] @ translate
    return {
        "scale": scale,
        "translate": translate,
        "rotate": None,
        "shear": None,
        "affine": np.eye(n + 1) if np.allclose(affine, np.eye(n + 1)) else affine,
    }
