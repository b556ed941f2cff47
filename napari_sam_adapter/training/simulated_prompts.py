"""Prompts a person might give on a training view, so that boxes and points keep working."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_sam_adapter.sam.prompts import Prompts

MAX_BOXES = 4
MAX_POINTS = 5
BOX_JITTER = 0.08  # of a box's sides; people do not draw to the pixel


def simulate_boxes(target: np.ndarray, class_index: int, rng: np.random.Generator) -> Prompts:
    """Draw a box around each of the largest objects of a mask that is not empty."""
    boxes = object_boxes(target)[:MAX_BOXES]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    jitter = rng.uniform(-BOX_JITTER, BOX_JITTER, boxes.shape)
    return Prompts((boxes + jitter * sides).astype(np.float32), class_index=class_index)


def object_boxes(mask: np.ndarray) -> np.ndarray:
    """Return the exact bounding box of each connected object of a mask, the largest object first.

    Returns
    -------
    ndarray of float32, shape (n, 4)
        Left, top, right, bottom: the outermost pixels of the object.
    """
    components, count = ndimage.label(mask)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    places = ndimage.find_objects(components)
    boxes = [[c.start, r.start, c.stop - 1, r.stop - 1] for r, c in places]
    return np.array(boxes, np.float32).reshape(-1, 4)[np.argsort(-sizes)]


def simulate_clicks(
    target: np.ndarray,
    predicted: np.ndarray,
    class_index: int,
    rng: np.random.Generator,
    count: int | None = None,
) -> Prompts | None:
    """Click on pixels that are wrong, or on the object where nothing is.

    Parameters
    ----------
    target : ndarray of bool, shape (h, w)
        The true mask of one class.
    predicted : ndarray of bool, shape (h, w)
        What the model predicts without prompts.
    class_index : int
    rng : Generator
    count : int, optional
        How many clicks at most; by default a random number from 1 to 5.

    Returns
    -------
    Prompts or None
        In pixels of the mask. None where there is nothing to point at: an empty mask that is
        predicted empty.
    """
    count = int(rng.integers(1, MAX_POINTS + 1)) if count is None else count
    candidates = np.flatnonzero(target != predicted)
    if not candidates.size:
        candidates = np.flatnonzero(target)
    if not candidates.size:
        return None
    chosen = rng.choice(candidates, size=min(count, candidates.size), replace=False)
    rows, columns = np.unravel_index(chosen, target.shape)
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    return Prompts(points=points, is_object=target.ravel()[chosen], class_index=class_index)
