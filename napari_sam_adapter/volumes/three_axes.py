"""A volume predicted along all three axes: each voxel is seen in three slices, whose logits agree.

Knows no model: a callable predicts slices. It should know slices of all three directions, which a
model trained along one axis does not (docs/results.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil
from scipy import ndimage

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import (
    MINIMUM_SIDE,
    SliceIndex,
    SliceSource,
    value_range,
)
from napari_sam_adapter.volumes.tiling import EMPTY_LOGIT, PredictLogits

# Beyond it a voxel is likelier a mistake in the unit than a voxel, and a slice would not fit.
MAX_ANISOTROPY = 100.0


def predict_three_axes(
    volume: Any,
    predict_logits: PredictLogits,
    n_classes: int,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Predict the slices across each axis of a volume and average their logits.

    Parameters
    ----------
    volume : array-like, shape (Z, Y, X) or (Z, Y, X, 3)
        Only indexed slice by slice, so it may be lazy.
    predict_logits : callable
        See `tiling.PredictLogits`. Called once for each slice that has any contrast, with square
        pixels: a slice is stretched along its longer spacing, and its logits are sampled back.
        Whoever wants to count slices or to stop does it there.
    n_classes : int
        K.
    spacing : tuple of float
        Size of a voxel along Z, Y and X, in any one unit.
    weights : tuple of float
        Of the slices across Z, Y and X. A direction with weight 0 is not predicted.

    Returns
    -------
    ndarray of float16, shape (K, Z, Y, X)
        The weighted mean of the logits that a voxel got; `tiling.EMPTY_LOGIT` where none of its
        slices had any contrast.

    Raises
    ------
    ImageError
        If the volume has other axes, or the spacing or the weights cannot be used.

    Notes
    -----
    Memory: the result, ``2 K Z Y X`` bytes, which is also where logits are summed up, and a few
    slices. Half precision keeps three digits of a logit.
    """
    _check(volume, spacing, weights)
    shape = tuple(int(size) for size in volume.shape[:3])
    parts = np.asarray(weights, np.float32) / sum(weights)
    total = np.zeros((n_classes, *shape), np.float16)
    shares = [np.zeros(size, np.float32) for size in shape]
    for axis in np.flatnonzero(parts):
        height, width = _without(spacing, axis)
        for position in range(shape[axis]):
            place: tuple[slice | int, ...] = (slice(None),) * int(axis) + (position,)
            image = np.asarray(volume[place])
            if value_range(image) is None:
                continue
            logits = _predict_square(image, predict_logits, (height, width))
            total[(slice(None), *place)] += (parts[axis] * logits).astype(np.float16)
            shares[axis][position] = parts[axis]
    for z, across_z in enumerate(shares[0]):
        share = across_z + shares[1][:, None] + shares[2]
        mean = total[:, z] / np.where(share, share, 1)
        total[:, z] = np.where(share, mean, EMPTY_LOGIT)
    return total


def check_memory(source: SliceSource, indices: Sequence[SliceIndex], n_classes: int) -> None:
    """Refuse three axes for volumes that do not fit into the memory that is free.

    Raises
    ------
    ImageError
        With what it takes.
    """
    line_of = source.depth.line
    left, held, most = Counter(map(line_of, indices)), set[SliceIndex](), 0
    for line in map(line_of, indices):  # as `volume_help` begins and forgets volumes
        held.add(line)
        most = max(most, len(held))
        left[line] -= 1
        if not left[line]:
            held.remove(line)
    shape = (source.n_deep, *source.slice_shape)
    # The volume that is read, and the logits, in half precision, of those that take turns.
    needed = math.prod(shape) * (source.bytes_per_pixel + 2 * n_classes * most)
    free = psutil.virtual_memory().available
    if needed > free:
        size = " x ".join(map(str, shape))
        volumes = f"a volume of {size} voxels" if most == 1 else f"{most} volumes of {size} voxels"
        raise ImageError(
            f"Three axes take {needed / 2**30:.1f} GiB of memory for {volumes}, and "
            f"{free / 2**30:.1f} GiB are free. Predict without them, or a part of the volume."
        )


def _predict_square(
    image: np.ndarray, predict_logits: PredictLogits, spacing_yx: tuple[float, float]
) -> np.ndarray:
    """Predict a slice (Y, X) or (Y, X, 3) as if its pixels were square; logits (K, Y, X)."""
    square = _resampled(image, (*_square(image.shape[:2], spacing_yx), *image.shape[2:]))
    logits = predict_logits(square)
    return _resampled(logits, (len(logits), *image.shape[:2]))


def _square(shape_yx: Sequence[int], spacing_yx: Sequence[float]) -> tuple[int, ...]:
    """Return the sides of a slice in pixels that are as large as the smaller side of its own."""
    steps = zip(shape_yx, spacing_yx, strict=True)
    return tuple(round(size * step / min(spacing_yx)) for size, step in steps)


def _without(values: Sequence[Any], axis: int) -> list[Any]:
    return [value for at, value in enumerate(values) if at != axis]


def _resampled(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sample an array linearly at the middles of other pixels over the same extent."""
    if x.shape == shape:
        return x
    if x.dtype == np.float16:  # which ndimage does not know
        x = x.astype(np.float32)
    zoom = [new / old for new, old in zip(shape, x.shape, strict=True)]
    return np.asarray(ndimage.zoom(x, zoom, order=1, mode="nearest", grid_mode=True))


def _check(
    volume: Any, spacing: tuple[float, float, float], weights: tuple[float, float, float]
) -> None:
    shape = tuple(volume.shape)
    if len(shape) != 3 and not (len(shape) == 4 and shape[-1] in (3, 4)):
        raise ImageError(
            f"A volume must have the axes (Z, Y, X), or (Z, Y, X, 3) with colour, not {shape}."
        )
    if not all(np.isfinite(size) and size > 0 for size in spacing):
        raise ImageError(f"A voxel's size must be positive along Z, Y and X, got {spacing}.")
    if max(spacing) > MAX_ANISOTROPY * min(spacing):
        raise ImageError(
            f"A voxel of {' x '.join(f'{size:g}' for size in spacing)} is more than "
            f"{MAX_ANISOTROPY:g} times as long as it is wide; give all three in the same unit."
        )
    if not (all(np.isfinite(one) and one >= 0 for one in weights) and any(weights)):
        raise ImageError(f"Weights of the axes are 0 or more, and one is positive; got {weights}.")
    for axis in np.flatnonzero(weights):
        sides = _square(_without(shape[:3], axis), _without(spacing, axis))
        if min(sides) < MINIMUM_SIDE:
            raise ImageError(
                f"The volume is too thin to be seen from all sides: slices across {'ZYX'[axis]} "
                f"have {sides[0]} x {sides[1]} pixels, and at least {MINIMUM_SIDE} x "
                f"{MINIMUM_SIDE} are needed."
            )
