"""Predict masks: slice in, logits and mask at the slice's own size out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.errors import PromptError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.devices import autocast
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.preprocess import encoder_input, logits_at_original_size
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts


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
    labels : ndarray of uint8, shape (Y, X)
        At the slice's own size: 0 is the background, k the k-th class.
    low_res_masks : ndarray of float32, shape (K, h, w)
        Logits of each class over the encoder's square input.
    geometry : InputGeometry
        How the slice lies in that square.
    """

    labels: np.ndarray
    low_res_masks: np.ndarray
    geometry: InputGeometry

    @property
    def mask(self) -> np.ndarray:
        """Any class, as bool (Y, X)."""
        return np.asarray(self.labels != 0)

    def probabilities(self) -> np.ndarray:
        """Return the probability of each class at the slice's own size, float32 (K, Y, X)."""
        logits = logits_at_original_size(torch.from_numpy(self.low_res_masks)[None], self.geometry)
        probabilities: np.ndarray = logits[0].sigmoid().numpy()
        return probabilities


def encode_image(model: AdaptedSam, image: np.ndarray) -> ImageEmbedding:
    """Run the adapted image encoder on one slice.

    Raises
    ------
    ImageError
        If the slice cannot be used; see `preprocess.check_slice`.
    """
    x, geometry = encoder_input(image, model.settings.input_format)
    with torch.inference_mode(), autocast(model.device):
        features = model.encode(x.to(model.device)).float()
    return ImageEmbedding(features, geometry)


def decode_masks(
    model: AdaptedSam, embedding: ImageEmbedding, prompts: Prompts = NO_PROMPTS
) -> MaskPrediction:
    """Decode the masks of an encoded slice.

    Without prompts every class is predicted. Prompts replace the class they mean: by the objects in
    the boxes, or, where there are only points, by the whole slice's answer to those points.

    Raises
    ------
    PromptError
        If the model takes no prompts, or has no such class.
    """
    features, geometry = embedding.features.to(model.device), embedding.geometry
    with torch.inference_mode():
        with autocast(model.device):
            low_res_masks = model.decode(features, geometry).float()
            if prompts:
                index = check_class(model, prompts)
                answers = model.decode(features, geometry, prompts).float()
                low_res_masks[:, index] = answers[:, index].amax(0, keepdim=True)
        logits = logits_at_original_size(low_res_masks, geometry)
        labels = labels_from_logits(logits)[0].cpu().numpy()
    return MaskPrediction(labels, low_res_masks[0].cpu().numpy(), geometry)


def predict_masks(
    model: AdaptedSam, image: np.ndarray, prompts: Prompts = NO_PROMPTS
) -> MaskPrediction:
    """Predict the masks of one slice: `encode_image`, then `decode_masks`."""
    return decode_masks(model, encode_image(model, image), prompts)


def labels_from_logits(logits: Tensor) -> Tensor:
    """Map logits (B, K, Y, X) to labels (B, Y, X), uint8: the likeliest class above 0, else 0."""
    highest, index = logits.max(dim=1)
    return torch.where(highest > 0, index + 1, 0).to(torch.uint8)


def check_class(model: AdaptedSam, prompts: Prompts) -> int:
    """Return the class that prompts mean.

    Raises
    ------
    PromptError
        If the model has no such class.
    """
    n_classes = model.settings.n_classes
    if not 0 <= prompts.class_index < n_classes:
        raise PromptError(
            f"The prompts are meant for class {prompts.class_index + 1}, but the model knows "
            f"{n_classes}: {', '.join(model.settings.class_names)}."
        )
    return prompts.class_index
