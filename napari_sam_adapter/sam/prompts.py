"""Boxes and points a person gives, in the slice's own pixels. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_sam_adapter.errors import PromptError
from napari_sam_adapter.sam.input_format import InputGeometry

NOT_A_POINT = -1  # SAM's label for padding


def _no_boxes() -> np.ndarray:
    return np.zeros((0, 4), np.float32)


def _no_points() -> np.ndarray:
    return np.zeros((0, 2), np.float32)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a person points at in one slice.

    Attributes
    ----------
    boxes : ndarray of float, shape (n, 4)
        Left, top, right, bottom in pixels. Each box holds one object, and the objects of all boxes
        together are the answer.
    points : ndarray of float, shape (m, 2)
        x, y in pixels. Without a box they refine the prompt-free prediction; with boxes the
        decoder takes each for the boxes it lies in.
    is_object : ndarray of bool, shape (m,)
        Whether a point lies on the object, or beside it.
    class_index : int
        The class that is meant, from 0 on.
    """

    boxes: np.ndarray = field(default_factory=_no_boxes)
    points: np.ndarray = field(default_factory=_no_points)
    is_object: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    class_index: int = 0

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise PromptError(
                f"Boxes have the shape {self.boxes.shape}; (n, 4) is expected: left, top, right, "
                "bottom."
            )
        if self.points.ndim != 2 or self.points.shape[1] != 2:
            raise PromptError(
                f"Points have the shape {self.points.shape}; (n, 2) is expected: x, y."
            )
        if self.is_object.shape != (len(self.points),):
            raise PromptError(
                f"There are {len(self.points)} points but {self.is_object.size} labels for them."
            )
        if not np.isfinite(self.boxes).all() or not np.isfinite(self.points).all():
            raise PromptError("A box or a point has a coordinate that is not a number.")

    def __bool__(self) -> bool:
        return bool(len(self.boxes) or len(self.points))

    def described(self) -> dict[str, Any]:
        """Return them for JSON; empty where there are none."""
        if not self:
            return {}
        return {
            "boxes": np.round(self.boxes, 2).tolist(),
            "points": np.round(self.points, 2).tolist(),
            "is_object": self.is_object.tolist(),
            "class_index": self.class_index,
        }

    def boxes_alone(self) -> Prompts:
        """Return the boxes without the points."""
        return Prompts(self.boxes, class_index=self.class_index)

    def in_parts(self, size: int) -> list[Prompts]:
        """Return parts of so many boxes, each with all points."""
        starts = range(0, max(1, len(self.boxes)), size)
        return [replace(self, boxes=self.boxes[start : start + size]) for start in starts]

    def at_input(
        self, geometry: InputGeometry
    ) -> tuple[tuple[np.ndarray, np.ndarray] | None, np.ndarray | None]:
        """Return points and boxes as SAM's prompt encoder takes them, in input pixels.

        Returns
        -------
        points : (ndarray of float32 (n, m, 2), ndarray of int64 (n, m)) or None
            Coordinates and labels, for each of n boxes (n = 1 without a box).
        boxes : ndarray of float32, shape (n, 4), or None
        """
        height, width = geometry.original_hw
        scale = _scale(geometry)
        boxes = None
        if len(self.boxes):
            corners = np.sort(self.boxes.reshape(-1, 2, 2), axis=1)  # drawn from any corner
            corners = np.clip(corners, 0, [width - 1, height - 1]) * scale
            boxes = corners.reshape(-1, 4).astype(np.float32)
        if not len(self.points):
            return None, boxes
        count = max(1, len(self.boxes))
        labels = np.broadcast_to(self.is_object.astype(np.int64), (count, len(self.points)))
        labels = np.where(self._lies_in(), labels, NOT_A_POINT)
        xy = np.repeat(self.points_at_input(geometry)[None], count, axis=0)
        return (xy, labels), boxes

    def points_at_input(self, geometry: InputGeometry) -> np.ndarray:
        """Return the points in input pixels, float32 (m, 2)."""
        return np.asarray(self.points * _scale(geometry), np.float32)

    def mirrored(self, axes: tuple[int, ...], slice_hw: tuple[int, int]) -> Prompts:
        """Return the prompts for the slice mirrored along axes, -2 for rows and -1 for columns."""
        boxes, points = self.boxes.copy(), self.points.copy()
        for axis in axes:
            xy = -1 - axis  # x belongs to the last axis
            last = slice_hw[axis] - 1
            points[:, xy] = last - points[:, xy]
            boxes[:, xy::2] = last - boxes[:, xy::2]  # at_input sorts the corners
        return replace(self, boxes=boxes, points=points)

    def _lies_in(self) -> np.ndarray:
        """Return which points lie in which boxes, (n, m); all of them where there is no box."""
        if not len(self.boxes):
            return np.full((1, len(self.points)), True)
        low, high = np.sort(self.boxes.reshape(-1, 1, 2, 2), axis=2).transpose(2, 0, 1, 3)
        return np.asarray(((self.points >= low) & (self.points <= high)).all(axis=-1))


def _scale(geometry: InputGeometry) -> np.ndarray:
    """Return the input's pixels per pixel of the slice, along x and y."""
    (height, width), (content_height, content_width) = geometry.original_hw, geometry.content_hw
    return np.array([content_width / width, content_height / height])


NO_PROMPTS = Prompts()
