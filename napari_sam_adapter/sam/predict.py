"""Predict masks: slice in, logits and mask at the slice's own size out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.devices import autocast
from napari_sam_adapter.sam.preprocess import (
    InputGeometry,
    encoder_input,
    logits_at_original_size,
)


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """What the encoder makes of one slice.

    Attributes
    ----------
    features : Tensor, shape (1, 256, h, w)
    geometry : InputGeometry
    """

    features: Tensor
    geometry: InputGeometry


@dataclass(frozen=True, slots=True)
class MaskPrediction:
    """Masks of one slice.

    Attributes
    ----------
    mask : ndarray of bool, shape (Y, X)
        At the slice's own size.
    low_res_masks : ndarray of float32, shape (1, h, w)
        Logits over the padded encoder input.
    """

    mask: np.ndarray
    low_res_masks: np.ndarray


def encode_image(model: AdaptedSam, image: np.ndarray) -> ImageEmbedding:
    """Run the adapted image encoder on one slice.

    Raises
    ------
    ImageError
        If the slice cannot be used; see `preprocess.check_slice`.
    """
    x, geometry = encoder_input(image, model.settings.input_size)
    with torch.inference_mode(), autocast(model.device):
        features = model.encode(x.to(model.device)).float()
    return ImageEmbedding(features, geometry)


def decode_masks(model: AdaptedSam, embedding: ImageEmbedding) -> MaskPrediction:
    """Decode the masks of an encoded slice, without a prompt."""
    with torch.inference_mode():
        with autocast(model.device):
            low_res_masks = model.decode(embedding.features.to(model.device), embedding.geometry)
        logits = logits_at_original_size(low_res_masks, embedding.geometry)
        mask = (logits[0, 0] > 0).cpu().numpy()
    return MaskPrediction(mask, low_res_masks[0].float().cpu().numpy())


def predict_masks(model: AdaptedSam, image: np.ndarray) -> MaskPrediction:
    """Predict the masks of one slice: `encode_image`, then `decode_masks`."""
    return decode_masks(model, encode_image(model, image))
