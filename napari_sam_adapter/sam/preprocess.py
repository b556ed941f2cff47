"""From a slice of any size and type to the encoder's input, and from logits back to masks.

LiteMedSAM's convention: the long side is scaled to S, values are mapped to 0..1 by the slice's own
minimum and maximum, and the bottom and right are padded with zeros to S x S.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.volume import check_slice


@dataclass(frozen=True, slots=True)
class InputGeometry:
    """How a slice lies in the encoder's square input.

    Attributes
    ----------
    original_hw : tuple of int
        Size of the slice.
    content_hw : tuple of int
        Size of the scaled slice; the rest of the square is padding.
    input_size : int
        Side of the square.
    """

    original_hw: tuple[int, int]
    content_hw: tuple[int, int]
    input_size: int

    @classmethod
    def fit(cls, original_hw: tuple[int, int], input_size: int) -> InputGeometry:
        """Scale the long side to ``input_size``, keeping the aspect ratio."""
        height, width = original_hw
        scale = input_size / max(height, width)
        content = (max(1, round(height * scale)), max(1, round(width * scale)))
        return cls((height, width), content, input_size)


def normalised(image: np.ndarray) -> Tensor:
    """Turn one slice into three channels of values in 0..1, at its own size.

    Parameters
    ----------
    image : ndarray, shape (Y, X) or (Y, X, 3 or 4), any integer or float dtype
        NaN and infinite pixels count as the smallest finite value. Alpha is ignored.

    Returns
    -------
    Tensor, shape (1, 3, Y, X), float32

    Raises
    ------
    ImageError
        If the slice is refused by `volume.check_slice`.
    """
    low, high = check_slice(image)
    if image.ndim == 3:
        image = image[..., :3]
    if image.dtype.kind == "f":
        image = np.where(np.isfinite(image), image, image.dtype.type(low))
    # Single precision holds every value of up to 16 bits. Wider types may show a small range on a
    # large offset, so they are scaled in double precision; halves, because a range can overflow.
    exact: type[np.floating[Any]] = np.float32 if image.dtype.itemsize <= 2 else np.float64
    values = (image.astype(exact) / 2 - low / 2) / (high / 2 - low / 2)
    x = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).clamp(0, 1)
    return x.permute(2, 0, 1)[None] if x.ndim == 3 else x[None, None].expand(1, 3, -1, -1)


def encoder_input(image: np.ndarray, input_size: int) -> tuple[Tensor, InputGeometry]:
    """Turn one slice into the encoder's input.

    Parameters
    ----------
    image : ndarray, shape (Y, X) or (Y, X, 3 or 4), any integer or float dtype
    input_size : int
        Side S of the encoder's input.

    Returns
    -------
    images : Tensor, shape (1, 3, S, S), float32
        Values in 0..1, zero-padded at the bottom and the right.
    geometry : InputGeometry
        To map logits back.

    Raises
    ------
    ImageError
        If the slice is refused by `volume.check_slice`.
    """
    x = normalised(image)
    geometry = InputGeometry.fit((image.shape[0], image.shape[1]), input_size)
    x = resize(x, geometry.content_hw)
    return pad_to_square(x, input_size), geometry


def resize(x: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear resize of (B, C, h, w), antialiased when it shrinks."""
    if tuple(x.shape[-2:]) == tuple(size_hw):
        return x
    return functional.interpolate(x, size_hw, mode="bilinear", align_corners=False, antialias=True)


def pad_to_square(x: Tensor, side: int) -> Tensor:
    """Zero-pad (B, C, h, w) at the bottom and the right to (B, C, side, side)."""
    height, width = x.shape[-2:]
    return functional.pad(x, (0, side - width, 0, side - height))


def logits_at_original_size(low_res_masks: Tensor, geometry: InputGeometry) -> Tensor:
    """Map logits (B, C, h, w) over the padded square to (B, C, Y, X) over the slice."""
    x = low_res_masks.float()
    square = (geometry.input_size, geometry.input_size)
    if tuple(x.shape[-2:]) != square:
        x = functional.interpolate(x, square, mode="bilinear", align_corners=False)
    x = x[..., : geometry.content_hw[0], : geometry.content_hw[1]]
    return functional.interpolate(x, geometry.original_hw, mode="bilinear", align_corners=False)
