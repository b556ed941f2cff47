"""Prompts a person might give on a training view, so that boxes and points keep working."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_sam_adapter.sam.prompts import Prompts

MAX_BOXES = 4
MAX_POINTS = 5
BOX_JITTER = 0.08  # of a box's sides; people do not draw to the pixel


def simulate_boxes(
    target: np.ndarray, class_index: int, rng: np.random.Generator
) -> tuple[Prompts, np.ndarray]:
    """Draw a box around some of the largest objects of a mask that is not empty.

    Returns
    -------
    prompts : Prompts
    others : ndarray of bool, shape (h, w)
        The objects that have no box, and one pixel around them: a box asks for what is in it alone.
    """
    objects, boxes = objects_by_size(target)
    chosen = np.arange(min(len(boxes), MAX_BOXES))
    if len(chosen) > 1:
        chosen = rng.choice(chosen, rng.integers(1, len(chosen) + 1), replace=False)
    boxed = np.isin(objects, chosen + 1)
    others = ndimage.binary_dilation(target & ~boxed, np.ones((3, 3))) & ~boxed
    boxes = boxes[chosen]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    jitter = rng.uniform(-BOX_JITTER, BOX_JITTER, boxes.shape)
    return Prompts((boxes + jitter * sides).astype(np.float32), class_index=class_index), others


def object_boxes(mask: np.ndarray) -> np.ndarray:
    """Return the exact bounding boxes of `objects_by_size` alone."""
    return objects_by_size(mask)[1]


def objects_by_size(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the connected objects of a mask numbers, the largest first.

    Returns
    -------
    objects : ndarray of int, shape (h, w)
        0 is the background, 1 the largest object.
    boxes : ndarray of float32, shape (n, 4)
        Left, top, right, bottom: the outermost pixels of each object.
    """
    components, count = ndimage.label(mask)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    places = ndimage.find_objects(components)
    boxes = [[c.start, r.start, c.stop - 1, r.stop - 1] for r, c in places]
    order = np.argsort(-sizes, kind="stable")
    number = np.zeros(count + 1, int)
    number[order + 1] = np.arange(1, count + 1)
    return number[components], np.array(boxes, np.float32).reshape(-1, 4)[order]


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
