"""Boxes and points as napari's layers, and as positions in an image's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Points, Shapes

from napari_sam_adapter.widgets.layers.binding import source_of
from napari_sam_adapter.widgets.layers.placement import placement_of
from napari_sam_adapter.widgets.layers.sliders import unit_ratios

if TYPE_CHECKING:
    from napari_sam_adapter.project.image_layers import Position
    from napari_sam_adapter.volumes.slice_source import SliceIndex

BOX_COLOR = "#f0e442"
POINT_COLORS = {"object": "#56b4e9", "background": "#d55e00"}
DIGITS = 3  # of a pixel's place in a file

Box = tuple[str, "tuple[Position, ...]"]
Point = tuple["Position", str]


def new_boxes(image: Image, boxes: Sequence[Box] = ()) -> Shapes:
    """Return a layer that lies on an image exactly, with these boxes."""
    ndim = len(boxes[0][1][0]) if boxes else image.ndim
    return Shapes(
        [np.array(corners) for _, corners in boxes] or None,
        ndim=ndim,
        shape_type=[kind for kind, _ in boxes] or "rectangle",
        name=f"{image.name} boxes",
        face_color="transparent",
        edge_color=BOX_COLOR,
        edge_width=max(1.0, max(source_of(image).slice_shape) / 300),
        **_placement(image, ndim),
    )


def new_points(image: Image, points: Sequence[Point] = ()) -> Points:
    """Return a layer that lies on an image exactly, with these points."""
    ndim = len(points[0][0]) if points else image.ndim
    return Points(
        np.array([position for position, _ in points]).reshape(-1, ndim),
        ndim=ndim,
        name=f"{image.name} points",
        features={"kind": np.array([kind for _, kind in points], object)},
        feature_defaults={"kind": "object"},
        face_color="kind",
        face_color_cycle=POINT_COLORS,
        border_color="white",
        size=max(3.0, max(source_of(image).slice_shape) / 50),
        **_placement(image, ndim),
    )


def boxes_in(layer: Shapes, image: Image) -> tuple[Box, ...]:
    """Return the shapes of a layer, in an image's pixels; none that is nowhere."""
    if not layer.data:
        return ()
    positions = _positions(layer, np.concatenate(layer.data), image)
    ends = np.cumsum([len(corners) for corners in layer.data])
    return tuple(
        (str(kind), positions[end - len(corners) : end])
        for kind, corners, end in zip(layer.shape_type, layer.data, ends, strict=True)
        if np.isfinite(corners).all() and len(corners) > 1
    )


def points_in(layer: Points, image: Image) -> tuple[Point, ...]:
    """Return the points of a layer, in an image's pixels, with what they mark; as `boxes_in`."""
    kinds = ["object" if is_object else "background" for is_object in marks_object(layer)]
    positions = zip(_positions(layer, layer.data, image), kinds, strict=True)
    return tuple(point for point in positions if np.isfinite(point[0]).all())


def marks_object(layer: Points) -> np.ndarray:
    """Return which points mark the object, (n,) of bool: all that do not mark the background."""
    kinds = layer.features.get("kind", ["object"] * len(layer.data))
    return np.array([kind != "background" for kind in kinds], bool)


def seen(layer: Layer, vertices: np.ndarray, image: Image, index: SliceIndex) -> np.ndarray:
    """Bring vertices of a layer, (n, its axes), to an image's pixels, (n, the image's axes).

    As napari aligns them: the last axes of the two are the same, and a layer that has no axis for
    the slider lies in every slice.
    """
    steps, origin = _steps_and_origin(layer)
    vertices = np.asarray(vertices, float).reshape(-1, layer.ndim)
    in_world = (vertices @ steps + origin)[:, -image.ndim :]
    common = in_world.shape[1]
    in_world *= unit_ratios(layer.units[-common:], image.units[-common:])
    missing = image.ndim - in_world.shape[1]
    of_slice = np.asarray(image.data_to_world((*index, 0, 0)))[:missing]
    in_world = np.hstack([np.tile(of_slice, (len(vertices), 1)), in_world])
    steps, origin = _steps_and_origin(image)
    return np.asarray(np.linalg.solve(steps.T, (in_world - origin).T).T)


def _positions(layer: Layer, vertices: np.ndarray, image: Image) -> tuple[Position, ...]:
    in_pixels = seen(layer, vertices, image, (0,) * (image.ndim - 2))
    own_axes = in_pixels[:, -min(layer.ndim, image.ndim) :]
    # Adding zero makes -0.0 the 0.0 that it is.
    return tuple(map(tuple, (np.round(own_axes, DIGITS) + 0.0).tolist()))


def _steps_and_origin(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return where a layer's axes lead in the world, a row each, and where its first pixel is."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    steps = [np.asarray(layer.data_to_world(row)) - origin for row in np.eye(layer.ndim)]
    return np.array(steps), origin


def _placement(image: Image, ndim: int) -> dict[str, Any]:
    """Return what puts a layer of so many axes onto the last axes of an image."""
    if ndim == image.ndim:
        return placement_of(image)
    steps, origin = _steps_and_origin(image)
    affine = np.eye(ndim + 1)
    affine[:ndim, :ndim], affine[:ndim, ndim] = steps[-ndim:, -ndim:].T, origin[-ndim:]
    return {"affine": affine, "units": image.units[-ndim:]}
