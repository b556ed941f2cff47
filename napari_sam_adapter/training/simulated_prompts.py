"""Prompts a person might give on a training view, so that boxes and points keep working."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_sam_adapter.sam.prompts import Prompts

MAX_BOXES = 4
MAX_POINTS = 5
BOX_JITTER = 0.08  # of a box's sides; people do not draw to the pixel


def simulate_prompts(
    target: np.ndarray, predicted: np.ndarray, class_index: int, rng: np.random.Generator
) -> Prompts | None:
    """Draw boxes around the objects, or clicks where the prediction is wrong; as likely either.

    Parameters
    ----------
    target : ndarray of bool, shape (h, w)
        The true mask of one class.
    predicted : ndarray of bool, shape (h, w)
        What the model predicts without prompts.
    class_index : int
    rng : Generator

    Returns
    -------
    Prompts or None
        In pixels of the mask. None where there is nothing to point at: an empty mask that is
        predicted empty.
    """
    if target.any() and rng.random() < 0.5:
        return simulate_boxes(target, class_index, rng)
    return simulate_clicks(
        target, predicted, class_index, int(rng.integers(1, MAX_POINTS + 1)), rng
    )


def simulate_boxes(target: np.ndarray, class_index: int, rng: np.random.Generator) -> Prompts:
    """Draw a box around each of the largest objects of a mask that is not empty."""
    components, count = ndimage.label(target)
    places = ndimage.find_objects(components)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    boxes = []
    for number in np.argsort(-sizes)[:MAX_BOXES]:
        rows, columns = places[number]
        box = np.array([columns.start, rows.start, columns.stop - 1, rows.stop - 1], np.float32)
        sides = np.array([columns.stop - columns.start, rows.stop - rows.start] * 2)
        boxes.append(box + rng.uniform(-BOX_JITTER, BOX_JITTER, 4) * sides)
    return Prompts(np.array(boxes, np.float32), class_index=class_index)


def simulate_clicks(
    target: np.ndarray,
    predicted: np.ndarray,
    class_index: int,
    count: int,
    rng: np.random.Generator,
) -> Prompts | None:
    """Click on pixels that are wrong, or on the object where nothing is."""
    candidates = np.flatnonzero(target != predicted)
    if not candidates.size:
        candidates = np.flatnonzero(target)
    if not candidates.size:
        return None
    chosen = rng.choice(candidates, size=min(count, candidates.size), replace=False)
    rows, columns = np.unravel_index(chosen, target.shape)
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    return Prompts(points=points, is_object=target.ravel()[chosen], class_index=class_index)
