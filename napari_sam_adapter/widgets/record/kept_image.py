"""One image, and the file in the project of what is drawn on it and typed of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Layer, Points, Shapes

from napari_sam_adapter.data.geometry import unit_named
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_layers import ImageLayers, LayersFile
from napari_sam_adapter.widgets.readers import geometry_of
from napari_sam_adapter.widgets.record.drawn import Box, Point, boxes_in, points_in

PromptPair = tuple[Shapes | None, Points | None]
# In which file a layer is kept outlives the dock: it may be closed and opened again.
_FILES: WeakKeyDictionary[Layer, Path] = WeakKeyDictionary()


@dataclass(slots=True)
class KeptImage:
    """An image that the project knows by its pixels.

    Attributes
    ----------
    image : Image
    identity : ImageIdentity
    scale, units : ndarray and tuple
        As they were seen last.
    file : LayersFile or None
        None where nothing is kept yet, or another window has it.
    refusal : str
        Why it could not be opened; "" where nobody tried, or it could.
    is_typed : bool
        Whether somebody changed its scale or unit.
    is_settled : bool
        Whether it is known which masks it has, and what was kept has come back.
    """

    image: Image
    identity: ImageIdentity
    scale: np.ndarray
    units: tuple[Any, ...]
    file: LayersFile | None = None
    refusal: str = ""
    is_typed: bool = False
    is_settled: bool = False

    @classmethod
    def of(cls, image: Image, identity: ImageIdentity) -> KeptImage:
        """Take note of an image as it is."""
        return cls(image, identity, np.array(image.scale), image.units)

    def contents(self, kept: ImageLayers, drawn: PromptPair, *, has_masks: bool) -> ImageLayers:
        """Return what its layers say; what has no layer any more stays as it was kept."""
        (shapes, points), now = drawn, kept
        if shapes is not None and (len(shapes.data) or shapes in _FILES):
            now = replace(now, boxes=boxes_in(shapes, self.image))
        if points is not None and (len(points.data) or points in _FILES):
            now = replace(now, points=points_in(points, self.image))
        if self.is_typed or has_masks or now != ImageLayers():
            scale, units = _typed_scale(self.image)
            now = replace(now, scale=scale, units=units)
        return now

    def put(self, drawn: PromptPair, *, has_masks: bool) -> bool:
        """Let its file say what its layers do; return whether that replaces what others drew."""
        if self.file is None:
            return False
        former, file = self.file.contents, self.file
        now = self.contents(former, drawn, has_masks=has_masks)
        is_replaced = False
        parts = ((former.boxes, now.boxes), (former.points, now.points))
        for layer, (was, becomes) in zip(drawn, parts, strict=True):
            if layer is None or was == () == becomes or (was == becomes and not len(layer.data)):
                continue
            is_replaced |= bool(was) and was != becomes and _FILES.get(layer) != file.path
            _FILES[layer] = file.path
        if now != former:
            file.put(now, keep_former=is_replaced)
        return is_replaced

    def lacking(self, drawn: PromptPair) -> tuple[tuple[Box, ...], tuple[Point, ...]]:
        """Return the boxes and points that were kept, of whichever kind its layers show none."""
        if self.file is None:
            return (), ()
        is_missing = [layer is None or not len(layer.data) for layer in drawn]
        kept = self.file.contents
        return kept.boxes if is_missing[0] else (), kept.points if is_missing[1] else ()

    def brought_back(self, layers: Iterable[Layer | None]) -> None:
        """Take note of layers that show what was kept."""
        for layer in layers:
            if layer is not None and len(layer.data) and self.file is not None:
                _FILES[layer] = self.file.path

    def bring_scale_back(self) -> None:
        """Give the image the scale that was typed for it once, unless it has one."""
        typed, image = self.file.contents if self.file else ImageLayers(), self.image
        is_free = _is_plain(image) and not self.is_typed
        if typed.scale and is_free and len(typed.scale) == image.ndim:
            image.scale = typed.scale
            if typed.units is not None and len(typed.units) == image.ndim:
                image.units = typed.units

    def rescale(self, layers: Iterable[Layer]) -> None:
        """Follow a typed scale or unit; of the layers, those that lay on the image still do."""
        scale, units, image = self.scale, self.units, self.image
        self.scale, self.units, self.is_typed = np.array(image.scale), image.units, True
        for layer in layers:
            if np.array_equal(layer.scale, scale):
                layer.scale = image.scale
            if layer.units == units[-layer.ndim :]:
                layer.units = image.units[-layer.ndim :]


def _typed_scale(image: Image) -> tuple[tuple[float, ...] | None, tuple[str, ...] | None]:
    """Return the voxel sizes and their units where the image's own file does not bring them."""
    scale, units = tuple(map(float, image.scale)), tuple(str(unit) for unit in image.units)
    geometry = geometry_of(image)
    is_of_file = (
        geometry is not None
        and np.allclose(scale, geometry.spacing)
        and tuple(map(unit_named, units)) == geometry.units
    )
    return (None, None) if is_of_file or _is_plain(image) else (scale, units)


def _is_plain(image: Image) -> bool:
    """Whether neither a file nor a person has said how large a voxel is."""
    return bool((image.scale == 1.0).all()) and {str(unit) for unit in image.units} == {"pixel"}
