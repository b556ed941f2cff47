"""Boxes and points drawn on an image, as prompts. They lie on the image exactly."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Layer, Points, Shapes
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError, PromptError
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.widgets.record.drawn import (
    POINT_COLORS,
    Box,
    Point,
    marks_object,
    new_boxes,
    new_points,
    seen,
)

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

# Of the longer side of a slice. A click with the rectangle tool leaves a box of 2.5 pixels of the
# screen; a model would see less than two of its own in it.
SHORTEST_BOX = 1 / 128
NARROWEST_BOX = 1.0  # pixels
# Which image a layer is about outlives the dock: it may be closed and opened again.
_IMAGES: WeakKeyDictionary[Layer, weakref.ref[Image]] = WeakKeyDictionary()
_Kind = TypeVar("_Kind", Shapes, Points)


class PromptLayers(QObject):
    """The layers of boxes and points of the image that is worked on.

    Attributes
    ----------
    kind_changed : Signal(str)
        What new points mark; empty where there is no layer of points.
    layer_taken : Signal(object)
        A layer that was there before holds the boxes or points from now on.
    """

    kind_changed = Signal(str)
    layer_taken = Signal(object)

    def __init__(
        self, viewer: napari.Viewer, layers: LayerChoice, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._layers = viewer, layers
        self._points: Points | None = None
        layers.image_changed.connect(self._follow_points)
        viewer.layers.events.removed.connect(self._follow_points)

    def add_boxes(self) -> None:
        """Put the rectangle tool in hand, in the image's layer of boxes.

        That is the Shapes layer the person has selected, if it belongs to no other image; or the
        one there is; or a new one.

        Raises
        ------
        ImageError
            If there is no image, or it cannot be used.
        """
        image = self._image()
        layer = self._selected(Shapes, image) or self._find(Shapes, image)
        if layer is None:
            layer = new_boxes(image)
            self._add(layer, image)
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"

    def add_points(self) -> None:
        """Put the tool that adds points in hand, in the image's layer of points.

        It is found as that of boxes is. Points that were there already mark the object.

        Raises
        ------
        ImageError
            If there is no image, or it cannot be used.
        """
        image = self._image()
        layer = self._selected(Points, image) or self._find(Points, image)
        if layer is not None and "kind" not in layer.features:
            layer.features = layer.features.assign(kind="object")
            layer.feature_defaults = {"kind": "object"}
            layer.face_color, layer.face_color_cycle = "kind", POINT_COLORS
        if layer is None:
            layer = new_points(image)
            self._add(layer, image)
        self._viewer.layers.selection.active = layer
        layer.mode = "add"
        self._follow_points()

    def mark(self, kind: str) -> None:
        """Let new points mark the object, or the background."""
        if self._points is not None:
            self._points.feature_defaults = {"kind": kind}

    def in_slice(self, binding: LayerBinding, index: SliceIndex, label: int) -> Prompts:
        """Return the boxes and points of a slice, meant for the class of a label.

        Raises
        ------
        PromptError
            If none of them is of use: dots instead of boxes, or all outside of the image.
        """
        size = np.array(binding.source.slice_shape[::-1])
        image = binding.image
        shapes, points = self._find(Shapes, image), self._find(Points, image)
        outlines = [] if shapes is None else [seen(shapes, s, image, index) for s in shapes.data]
        found = [_bounding_box(s) for s in outlines if _in(s, index)]
        boxes = np.array(found, float).reshape(-1, 4)
        is_dot = ~_holds_something(boxes, size)
        drawn, is_object = np.zeros((0, image.ndim)), np.zeros(0, bool)
        if points is not None:
            drawn, is_object = seen(points, points.data, image, index), marks_object(points)
        here = np.array([_in(point[None], index) for point in drawn], bool)
        xy = drawn[here][:, :-3:-1]
        is_object = is_object[here]
        n_drawn = len(boxes) + len(xy)
        reaches_in = ((boxes[:, 2:] > -0.5) & (boxes[:, :2] < size - 0.5)).all(axis=1)
        boxes = boxes[reaches_in & ~is_dot]
        inside = ((xy > -0.5) & (xy < size - 0.5)).all(axis=1)
        prompts = Prompts(
            boxes.astype(np.float32), xy[inside].astype(np.float32), is_object[inside], label - 1
        )
        if n_drawn and not prompts:
            if is_dot.any():
                raise PromptError(
                    "A box in this slice is only a dot or a line: a click alone makes no box. Draw "
                    "it from corner to corner, or delete it."
                )
            raise PromptError(
                "The boxes and points of this slice lie outside of the image. Move or delete them."
            )
        return prompts

    def of_image(self, image: Image) -> tuple[Shapes | None, Points | None]:
        """Return the layers of boxes and points of an image, those that are there."""
        return self._find(Shapes, image), self._find(Points, image)

    def bring_back(self, image: Image, boxes: Sequence[Box], points: Sequence[Point]) -> None:
        """Put boxes and points onto an image that has none; what is in hand stays in hand."""
        selection = self._viewer.layers.selection
        in_hand = selection.active
        shapes, marks = self.of_image(image)
        if boxes and shapes is None:
            self._add(new_boxes(image, boxes), image)
        elif boxes and shapes is not None and shapes.ndim == len(boxes[0][1][0]):
            corners = [np.array(corners) for _, corners in boxes]
            shapes.add(corners, shape_type=[kind for kind, _ in boxes])
        if points and marks is None:
            self._add(new_points(image, points), image)
        elif points and marks is not None and marks.ndim == len(points[0][0]):
            marks.add(np.array([position for position, _ in points]))
            marks.features = {"kind": np.array([kind for _, kind in points], object)}
        if in_hand is None:
            selection.clear()
        else:
            selection.active = in_hand
        self._follow_points()

    def close(self) -> None:
        """Let go of the viewer. It also runs after Qt has destroyed the dock: emits nothing."""
        self._viewer.layers.events.removed.disconnect(self._follow_points)
        if self._points is not None:
            self._points.events.feature_defaults.disconnect(self._tell_kind)

    def _image(self) -> Image:
        image = self._layers.image
        if image is None:
            raise ImageError("There is no image layer: open an image, or try File > Open Sample.")
        return image

    def _add(self, layer: Layer, image: Image) -> None:
        _IMAGES[layer] = weakref.ref(image)
        self._viewer.add_layer(layer)

    def _find(self, kind: type[_Kind], image: Image) -> _Kind | None:
        for layer in self._viewer.layers:
            if isinstance(layer, kind) and layer in _IMAGES and _IMAGES[layer]() is image:
                return layer
        return None

    def _selected(self, kind: type[_Kind], image: Image) -> _Kind | None:
        """Take the layer the person has selected, unless it is about another image."""
        layer = self._viewer.layers.selection.active
        if not isinstance(layer, kind):
            return None
        about = _IMAGES[layer]() if layer in _IMAGES else None
        if about is not image and about in self._viewer.layers:
            return None
        before = self._find(kind, image)
        if before is not None:
            del _IMAGES[before]
        _IMAGES[layer] = weakref.ref(image)
        self.layer_taken.emit(layer)
        return layer

    def _follow_points(self, event: Any = None) -> None:
        image = self._layers.image
        points = None if image is None else self._find(Points, image)
        if points is not self._points:
            if self._points is not None:
                self._points.events.feature_defaults.disconnect(self._tell_kind)
            self._points = points
            if points is not None:
                points.events.feature_defaults.connect(self._tell_kind)
        self._tell_kind()

    def _tell_kind(self, event: Any = None) -> None:
        kind = ""
        if self._points is not None and "kind" in self._points.feature_defaults:
            kind = str(self._points.feature_defaults["kind"].iloc[0])
        self.kind_changed.emit(kind)


def is_prompt_layer(layer: Layer) -> bool:
    """Whether a layer holds the boxes or points of a dock."""
    return layer in _IMAGES


def prompt_layers_of(image: Image) -> list[Layer]:
    """Return the layers of boxes and points that are about an image."""
    return [layer for layer, about in _IMAGES.items() if about() is image]


def _in(vertices: np.ndarray, index: SliceIndex) -> bool:
    """Whether all vertices of a shape lie in a slice."""
    leading = np.asarray(vertices)[:, :-2]
    return bool((np.round(leading) == np.array(index)).all())


def _holds_something(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Whether boxes (n, 4), in a slice of a size (x, y), are more than dots and lines."""
    sides = boxes[:, 2:] - boxes[:, :2]
    is_long = sides.max(axis=1, initial=0.0) >= SHORTEST_BOX * size.max()
    return np.asarray(is_long & (sides.min(axis=1, initial=np.inf) >= NARROWEST_BOX))


def _bounding_box(vertices: np.ndarray) -> Sequence[float]:
    (top, left), (bottom, right) = vertices[:, -2:].min(axis=0), vertices[:, -2:].max(axis=0)
    return left, top, right, bottom
