"""From a slice of any size and type to the encoder's input, and from logits back to masks.

How a base model wants its input is an `InputFormat`; all of them end in a square of S x S.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.sam.input_format import InputFormat, InputGeometry, Normalisation
from napari_sam_adapter.volumes.slice_source import check_slice

# Of ImageNet's training images, for values in 0..1; SAM's pixel_mean and pixel_std are 255 times.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def pixel_values(image: np.ndarray, normalisation: Normalisation) -> Tensor:
    """Turn one slice into three channels of values in 0..1, at its own size.

    Parameters
    ----------
    image : ndarray, shape (Y, X) or (Y, X, 3 or 4), any integer or float dtype
        NaN and infinite pixels count as the smallest finite value. Alpha is ignored.
    normalisation : str
        See `InputFormat`: only ``imagenet`` leaves the range of 8-bit slices as it is.

    Returns
    -------
    Tensor, shape (1, 3, Y, X), float32

    Raises
    ------
    ImageError
        If the slice is refused by `slice_source.check_slice`.
    """
    low, high = check_slice(image)
    if normalisation == "imagenet" and image.dtype == np.uint8:
        low, high = 0.0, 255.0
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


def standardised(x: Tensor, normalisation: Normalisation) -> Tensor:
    """Take out ImageNet's mean and deviation where the model expects it; (B, 3, h, w) in 0..1."""
    if normalisation == "min-max":
        return x
    mean = x.new_tensor(IMAGENET_MEAN)[:, None, None]
    return (x - mean) / x.new_tensor(IMAGENET_DEVIATION)[:, None, None]


def encoder_input(image: np.ndarray, input_format: InputFormat) -> tuple[Tensor, InputGeometry]:
    """Turn one slice into the encoder's input.

    Parameters
    ----------
    image : ndarray, shape (Y, X) or (Y, X, 3 or 4), any integer or float dtype
    input_format : InputFormat

    Returns
    -------
    images : Tensor, shape (1, 3, S, S), float32
        Zero-padded at the bottom and the right where the format keeps the aspect ratio.
    geometry : InputGeometry
        To map logits back.

    Raises
    ------
    ImageError
        If the slice is refused by `slice_source.check_slice`.
    """
    x = pixel_values(image, input_format.normalisation)
    geometry = input_format.geometry((image.shape[0], image.shape[1]))
    x = standardised(resize(x, geometry.content_hw), input_format.normalisation)
    return pad_to_square(x, input_format.size), geometry


def resize(x: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear resize of (B, C, h, w), antialiased when it shrinks."""
    if tuple(x.shape[-2:]) == tuple(size_hw):
        return x
    return functional.interpolate(x, size_hw, mode="bilinear", align_corners=False, antialias=True)


def pad_to_square(x: Tensor, side: int) -> Tensor:
    """Zero-pad (B, C, h, w) at the bottom and the right to (B, C, side, side)."""
    height, width = x.shape[-2:]
    return functional.pad(x, (0, side - width, 0, side - height))


def mirrored(x: Tensor, axes: tuple[int, ...], geometry: InputGeometry) -> Tensor:
    """Mirror the content of a padded square (B, C, S, S) in place, its padding left where it is."""
    if not axes:
        return x
    height, width = geometry.content_hw
    return pad_to_square(x[..., :height, :width].flip(axes), geometry.input_size)


def at_input_size(x: Tensor, side: int) -> Tensor:
    """Scale logits (B, C, h, w) over the padded square to (B, C, S, S)."""
    if tuple(x.shape[-2:]) == (side, side):
        return x
    return functional.interpolate(x, (side, side), mode="bilinear", align_corners=False)


def logits_at_original_size(low_res_masks: Tensor, geometry: InputGeometry) -> Tensor:
    """Map logits (B, C, h, w) over the padded square to (B, C, Y, X) over the slice."""
    x = at_input_size(low_res_masks.float(), geometry.input_size)
    x = x[..., : geometry.content_hw[0], : geometry.content_hw[1]]
    return functional.interpolate(x, geometry.original_hw, mode="bilinear", align_corners=False)
