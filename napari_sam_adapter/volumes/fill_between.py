"""Shapes between corrected slices: what a person drew in two slices fills those in between.

Each object is interpolated by its signed distance. Knows nothing of models or images.

References
----------
Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE Transactions on Medical
Imaging 9(1), 1990, for interpolating distances to the border. That shapes are moved along, and what
happens where one ends, is our own (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from napari_sam_adapter.errors import ImageError

# Objects of two slices are one where they share a pixel; within a slice, corners connect.
_SAME_OBJECT = np.zeros((3, 3, 3), bool)
_SAME_OBJECT[1] = True
_SAME_OBJECT[:, 1, 1] = True


def fill_between(
    known: Mapping[int, np.ndarray],
    positions: Iterable[int],
    spacing_yx: tuple[float, float] = (1.0, 1.0),
) -> dict[int, np.ndarray]:
    """Interpolate labels between the slices that are known.

    Parameters
    ----------
    known : mapping of int to ndarray of int or bool, shape (Y, X)
        Labels by their position along one slider axis: 0 is the background, any other value a
        class. A slice in which nothing is marked is known to be empty.
    positions : iterable of int
        What to fill.
    spacing_yx : tuple of float
        Size of a pixel along Y and X, in any unit.

    Returns
    -------
    dict of int to ndarray (Y, X)
        For each position between two known ones; at a known position a copy of what is known.
        Other positions are left out: nothing is ever extrapolated.

    Raises
    ------
    ImageError
        If the known slices differ in shape, are not labels, or the spacing is not positive.

    Notes
    -----
    Only the nearest known slices before and after a position count. Objects of one class that
    overlap from one to the other are taken for the same, several of them as one shape that splits
    or merges. At share t of the way, a pixel belongs to it where ``(1 - t) d0 + t d1 >= 0``, d
    being the signed distance to its border, positive inside. Before, both are moved towards each
    other by the way of their centroid times ``1 - Dice``: by how little they overlap.

    An object with no partner ends halfway: ``d`` where it is missing is minus its largest distance
    where it is there, so that it shrinks to its innermost pixels at half of the way. Where several
    shapes claim a pixel, the one wins in which it lies deepest. A pixel that is marked in both
    slices stays marked: where classes meet, no notch opens between them.
    """
    _check(known, spacing_yx)
    wanted = sorted(set(positions))
    filled = {position: known[position].copy() for position in wanted if position in known}
    for before, after in pairwise(sorted(known)):
        between = [position for position in wanted if before < position < after]
        if not between:
            continue
        first, last = known[before], known[after]
        shapes = list(_shapes(first, last, spacing_yx))
        for position in between:
            share = (position - before) / (after - before)
            filled[position] = _labels_at(share, shapes, first, last)
    return filled


def signed_distance(mask: np.ndarray, spacing_yx: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Return the distance of each pixel's middle to the border of a mask, negative outside.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X)
    spacing_yx : tuple of float
        Size of a pixel; distances have its unit.

    Returns
    -------
    ndarray of float32, shape (Y, X)
        Minus infinity in an empty mask. What lies beyond the slice counts as more of the same,
        unless the mask fills the slice: then its border is the slice's.
    """
    if not mask.any():
        return np.full(mask.shape, -np.inf, np.float32)
    if mask.all():
        return signed_distance(np.pad(mask, 1), spacing_yx)[1:-1, 1:-1]
    # From pixel to pixel; the border is half a pixel nearer.
    half = min(spacing_yx) / 2
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_yx) - half
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_yx) - half
    return np.where(mask, inside, -outside).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Shape:
    """One object, or several that overlap the same one, in two slices.

    Attributes
    ----------
    label : int
    window : tuple of slice
        The part of the slice in which it may be.
    first, last : ndarray of float32
        Its signed distance in the window of either slice.
    way : ndarray of float, shape (2,)
        By how many pixels it moves from the first to the last, along Y and X.
    """

    label: int
    window: tuple[slice, slice]
    first: np.ndarray
    last: np.ndarray
    way: np.ndarray

    def distance_at(self, share: float) -> np.ndarray:
        """Return its signed distance at a share of the way."""
        first = _moved(self.first, share * self.way)
        last = _moved(self.last, (share - 1) * self.way)
        return np.asarray((1 - share) * first + share * last)


def _shapes(
    first: np.ndarray, last: np.ndarray, spacing_yx: tuple[float, float]
) -> Iterator[_Shape]:
    """Yield what is to be interpolated, class by class."""
    pair = np.stack([first, last])
    for label in np.unique(pair[pair != 0]):
        objects, _ = ndimage.label(pair == label, _SAME_OBJECT)
        for number, (_, *place) in enumerate(ndimage.find_objects(objects), start=1):
            # With a rim of background, a window holds every distance that counts.
            rows, columns = (slice(max(0, one.start - 1), one.stop + 1) for one in place)
            masks = objects[:, rows, columns] == number
            start, end = (signed_distance(mask, spacing_yx) for mask in masks)
            if not masks[1].any():
                end = np.full_like(start, -start.max())
            elif not masks[0].any():
                start = np.full_like(end, -end.max())
            yield _Shape(int(label), (rows, columns), start, end, _way(*masks))


def _way(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the way (Y, X) of a shape's centroid, times how little its two masks overlap."""
    sizes = first.sum(), last.sum()
    if not all(sizes):
        return np.zeros(2)
    dice = 2 * np.logical_and(first, last).sum() / sum(sizes)
    start, end = (np.array(ndimage.center_of_mass(mask)) for mask in (first, last))
    return np.asarray((1 - dice) * (end - start))


def _moved(distance: np.ndarray, way: np.ndarray) -> np.ndarray:
    if not way.any():
        return distance
    return np.asarray(ndimage.shift(distance, way, order=1, mode="nearest"))


def _labels_at(
    share: float, shapes: Iterable[_Shape], first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Draw shapes at a share of the way; each pixel goes to the one in which it lies deepest."""
    labels = np.zeros(first.shape, np.result_type(first, last))
    stays_marked = (first != 0) & (last != 0)
    deepest = np.where(stays_marked, -np.inf, 0).astype(np.float32)
    for shape in shapes:
        distance = shape.distance_at(share)
        wins = distance >= deepest[shape.window]
        labels[shape.window][wins] = shape.label
        deepest[shape.window][wins] = distance[wins]
    return labels


def _check(known: Mapping[int, np.ndarray], spacing_yx: tuple[float, float]) -> None:
    shapes = {labels.shape for labels in known.values()}
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise ImageError(
            "The slices to fill between must be (Y, X) and alike, but have the shapes "
            f"{', '.join(map(str, sorted(shapes)))}."
        )
    kinds = {labels.dtype for labels in known.values() if labels.dtype.kind not in "biu"}
    if kinds:
        raise ImageError(f"Labels are whole numbers, not {', '.join(map(str, kinds))}.")
    if not all(np.isfinite(size) and size > 0 for size in spacing_yx):
        raise ImageError(f"A pixel's size must be positive along Y and X, got {spacing_yx}.")
