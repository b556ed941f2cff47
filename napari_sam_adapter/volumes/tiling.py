"""Large pictures predicted tile by tile: tiles overlap, and their logits are blended there.

The picture is read a tile at a time and its logits leave row by row of tiles, so that neither needs
to fit into memory. Knows no model: a callable predicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import MINIMUM_SIDE, value_range

PredictLogits = Callable[[np.ndarray], np.ndarray]
"""Maps one slice, (Y, X) or (Y, X, 3), to logits of float32 (K, Y, X)."""

# Where nothing can be predicted because all pixels are alike: a probability of 0.00005.
EMPTY_LOGIT = -10.0


def predict_tiles(
    picture: Any,
    predict_logits: PredictLogits,
    n_classes: int,
    tile: int = 1024,
    overlap: int = 128,
) -> Iterator[tuple[int, np.ndarray]]:
    """Predict a picture tile by tile.

    Parameters
    ----------
    picture : array-like, shape (Y, X) or (Y, X, 3)
        Only sliced, so it may be lazy.
    predict_logits : callable
        See `PredictLogits`; called once per tile, left to right, then downwards. All tiles have
        the same size: a tile's sides, or the picture's where that is smaller.
    n_classes : int
        K.
    tile : int
        Side of a tile, in pixels.
    overlap : int
        How many pixels neighbouring tiles share at least. They are spread evenly and may share
        more.

    Yields
    ------
    first_row : int
    logits : ndarray of float32, shape (K, n, X)
        Of the next n rows; each row comes once, from top to bottom. In a tile whose pixels are all
        alike they are `EMPTY_LOGIT`.

    Raises
    ------
    ImageError
        If tiles are too small or overlap wholly, or `predict_logits` returns another shape.

    Notes
    -----
    Where a tile overlaps those before it, ``a + (b - a) w`` goes over from their logits a to its
    own b, with ``w`` rising from 0 to 1 as half a cosine. Where a and b agree, the blend is exactly
    what they agree on. Memory: two rows of tiles, ``8 K tile X`` bytes, and as much as one tile
    takes to predict.
    """
    _check(picture, tile, overlap)
    return _rows_of_tiles(picture, predict_logits, n_classes, tile, overlap)


def n_tiles(picture_yx: tuple[int, int], tile: int = 1024, overlap: int = 128) -> int:
    """Return how many tiles `predict_tiles` predicts."""
    return math.prod(len(_starts(size, tile, overlap)) for size in picture_yx)


def _rows_of_tiles(
    picture: Any, predict_logits: PredictLogits, n_classes: int, tile: int, overlap: int
) -> Iterator[tuple[int, np.ndarray]]:
    height, width = picture.shape[:2]
    tops, lefts = (_starts(size, tile, overlap) for size in (height, width))
    side = min(tile, width)
    above = np.zeros((n_classes, 0, width), np.float32)
    for top, next_top in pairwise([*tops, height]):
        rows = slice(top, min(top + tile, height))
        strip = np.zeros((n_classes, rows.stop - top, width), np.float32)
        filled = 0
        for left in lefts:
            logits = _predict_tile(picture[rows, left : left + side], predict_logits, n_classes)
            shared = filled - left
            _blend_over(strip[..., left:filled], logits[..., :shared], axis=2)
            strip[..., filled : left + side] = logits[..., shared:]
            filled = left + side
        shared = above.shape[1]
        _blend_over(above, strip[:, :shared], axis=1)
        strip[:, :shared] = above
        yield top, strip[:, : next_top - top].copy()
        above = strip[:, next_top - top :]


def _predict_tile(tile: Any, predict_logits: PredictLogits, n_classes: int) -> np.ndarray:
    image = np.asarray(tile)
    expected = (n_classes, *image.shape[:2])
    if value_range(image) is None:
        return np.full(expected, EMPTY_LOGIT, np.float32)
    logits = predict_logits(image)
    if logits.shape != expected:
        raise ImageError(f"The logits of a tile have shape {logits.shape}, expected {expected}.")
    return logits


def _blend_over(before: np.ndarray, after: np.ndarray, axis: int) -> None:
    """Let logits (K, Y, X) go over into others along an axis, in place."""
    size = before.shape[axis]
    weight = 0.5 - 0.5 * np.cos(np.pi * (np.arange(size, dtype=np.float32) + 0.5) / max(size, 1))
    before += (after - before) * (weight[:, None] if axis == 1 else weight)


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    """Spread tiles evenly over a side, the first at its beginning and the last at its end."""
    if size <= tile:
        return [0]
    count = math.ceil((size - overlap) / (tile - overlap))
    return [round(start) for start in np.linspace(0, size - tile, count)]


def _check(picture: Any, tile: int, overlap: int) -> None:
    shape = tuple(picture.shape)
    if len(shape) != 2 and not (len(shape) == 3 and shape[-1] in (3, 4)):
        raise ImageError(f"A picture must be (Y, X) grey or (Y, X, 3) colour, not {shape}.")
    if tile < MINIMUM_SIDE:
        raise ImageError(f"Tiles must have a side of at least {MINIMUM_SIDE} pixels, got {tile}.")
    if not 0 <= overlap < tile:
        raise ImageError(
            f"Tiles of {tile} pixels can overlap by 0 to {tile - 1} pixels, not by {overlap}."
        )
