"""Between an image's pixels and napari's sliders, which may count in another unit.

A layer's own `data_to_world` and `world_to_data` count in the layer's unit. The sliders count in
the smallest unit of all layers: beside a picture in µm, those of a scan in mm do so in µm, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Layer


def pixel_in_view(viewer: napari.Viewer, layer: Layer) -> np.ndarray:
    """Return the pixel of a layer at which the sliders stand, (its axes,); it may lie outside."""
    point = np.zeros(layer.ndim)
    in_view = viewer.dims.point[-layer.ndim :]
    point[layer.ndim - len(in_view) :] = in_view
    pixel: np.ndarray = layer.world_to_data(point * _slider_units(viewer, layer))
    return pixel


def sliders_at(
    viewer: napari.Viewer, layer: Layer, pixel: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return where the sliders of a layer's axes stand when this pixel is in view, (its axes,)."""
    world: np.ndarray = np.array(layer.data_to_world(pixel)) / _slider_units(viewer, layer)
    return world


def move_into(viewer: napari.Viewer, layer: Layer) -> None:
    """Move sliders that stand outside of a layer, where it shows nothing, to its nearest slice."""
    data = layer.data[0] if layer.multiscale else layer.data
    pixel = pixel_in_view(viewer, layer)
    nearest = np.clip(pixel, 0, np.array(data.shape[: layer.ndim]) - 1)
    is_outside = np.round(pixel) != np.round(nearest)
    world, first = sliders_at(viewer, layer, nearest), viewer.dims.ndim - layer.ndim
    for axis in viewer.dims.not_displayed:
        if axis >= first and is_outside[axis - first]:
            viewer.dims.set_point(axis, world[axis - first])


def unit_ratios(units: Sequence[Any], others: Sequence[Any]) -> np.ndarray:
    """Return how many of the other units each unit is.

    As napari has it, nothing is converted where any are of different kinds, as pixel and mm.
    """
    pairs = [*zip(units, others, strict=True)]
    if any(unit.dimensionality != other.dimensionality for unit, other in pairs):
        return np.ones(len(pairs))
    return np.array([1.0 if unit == other else (1 * unit).m_as(other) for unit, other in pairs])


def _slider_units(viewer: napari.Viewer, layer: Layer) -> np.ndarray:
    """Return how many of a layer's units one of the sliders' is, along each of its axes."""
    units = viewer.dims.units
    if units is None or len(units) < layer.ndim:  # of different kinds, or not all there yet
        return np.ones(layer.ndim)
    return unit_ratios(units[-layer.ndim :], layer.units)
