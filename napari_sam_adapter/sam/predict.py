"""Predict masks: slice in, logits and mask at the slice's own size out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.confidence import expected_dice
from napari_sam_adapter.errors import PromptError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.click_correction import heed_clicks
from napari_sam_adapter.sam.devices import autocast
from napari_sam_adapter.sam.encode import (
    VIEWS,
    ImageEmbedding,
    answered_by_base,
    encode_image,
    for_prompts,
)
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.preprocess import (
    at_input_size,
    logits_at_original_size,
    mirrored,
)
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts

# Each takes the mask decoder 10 MB at an input of 128 pixels, and four times that at 256.
BOXES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class MaskPrediction:
    """Masks of one slice.

    Attributes
    ----------
    labels : ndarray of uint8, shape (Y, X)
        At the slice's own size: 0 is the background, k the k-th class.
    low_res_masks : ndarray of float32, shape (K, h, w)
        Logits of each class over the encoder's square input; of several views, of the mean of their
        probabilities.
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

    @property
    def expected_dice(self) -> float:
        """The Dice that the probabilities expect of the mask; see `confidence.expected_dice`."""
        height, width = (
            math.ceil(side * self.low_res_masks.shape[-1] / self.geometry.input_size)
            for side in self.geometry.content_hw
        )
        content = torch.from_numpy(self.low_res_masks[:, :height, :width])
        return expected_dice(content.sigmoid().numpy())

    def logits(self) -> np.ndarray:
        """Return the logits of each class at the slice's own size, float32 (K, Y, X)."""
        low_res_masks = torch.from_numpy(self.low_res_masks)[None]
        logits: np.ndarray = logits_at_original_size(low_res_masks, self.geometry)[0].numpy()
        return logits

    def probabilities(self) -> np.ndarray:
        """Return the probability of each class at the slice's own size, float32 (K, Y, X)."""
        probabilities: np.ndarray = torch.from_numpy(self.logits()).sigmoid().numpy()
        return probabilities


def decode_masks(
    model: AdaptedSam, embedding: ImageEmbedding, prompts: Prompts = NO_PROMPTS
) -> MaskPrediction:
    """Decode the masks of an encoded slice.

    Without prompts every class is predicted. Prompts replace the class they mean: by the objects in
    the boxes, which are of no other class then, or, where there are only points, by the whole
    slice's answer to those points; and points are heeded beyond what the decoder makes of them
    (`click_correction`), also against other classes.

    Parameters
    ----------
    model : AdaptedSam
    embedding : ImageEmbedding
        With prompts, of `for_prompts`.
    prompts : Prompts

    Raises
    ------
    PromptError
        If the model takes no prompts, or has no such class.
    """
    features, geometry = embedding.features.to(model.device), embedding.geometry
    with torch.inference_mode():
        with autocast(model.device):
            low_res_masks = mean_of_views(model.decode(features, geometry).float(), geometry)
            if prompts:
                low_res_masks = _prompted(model, embedding, prompts, low_res_masks)
        logits = logits_at_original_size(low_res_masks, geometry)
        labels = labels_from_logits(logits)[0].cpu().numpy()
    return MaskPrediction(labels, low_res_masks[0].cpu().numpy(), geometry)


def _prompted(
    model: AdaptedSam, embedding: ImageEmbedding, prompts: Prompts, low_res_masks: Tensor
) -> Tensor:
    """Put the answer to prompts in the place of the class they mean, (1, K, h, w)."""
    index = check_class(model, prompts)
    answer = _decoded(model, embedding, prompts, index).float()
    answer = at_input_size(answer, low_res_masks.shape[-1])
    result = low_res_masks.clone()
    # By how much other classes, or nothing, are likelier: a click says who wins where it is.
    result[:, index] = 0.0
    rival = result.amax(1, keepdim=True).clamp_min(0.0)
    if len(prompts.boxes):
        rival = torch.zeros_like(rival)
    if len(prompts.points):
        answer = rival + _heeded(model, embedding, prompts, answer - rival)
    if len(prompts.boxes):
        # Whatever the objects in boxes were taken for, they are of this class.
        result = torch.where(answer > 0, low_res_masks.minimum(-answer), low_res_masks)
    result[:, index] = answer[:, 0]
    return result


def _heeded(
    model: AdaptedSam, embedding: ImageEmbedding, prompts: Prompts, logits: Tensor
) -> Tensor:
    """Return the logits (1, 1, h, w) of one class, corrected by the points."""
    geometry, features = embedding.geometry, embedding.features[:1].to(model.device)
    points = torch.from_numpy(prompts.points_at_input(geometry)).to(model.device)
    is_object = torch.from_numpy(prompts.is_object).to(model.device)
    with torch.autocast(model.device.type, enabled=False):
        return heed_clicks(logits, features.float(), points, is_object, geometry)


def _decoded(model: AdaptedSam, embedding: ImageEmbedding, prompts: Prompts, index: int) -> Tensor:
    """Return what a decoder answers to prompts, the objects of all boxes taken together."""
    geometry = embedding.geometry
    if answered_by_base(model, prompts):
        if embedding.base_features is None:
            raise ValueError("the embedding was not made for these prompts; see for_prompts")
        # A base that knows boxes only is confused by points.
        known = prompts if model.spec.answers_points else prompts.boxes_alone()
        features = embedding.base_features.to(model.device)
        return _in_any_box(partial(model.decode_by_base, features, geometry), known)
    features = embedding.features.to(model.device)
    views = []
    for number, view in enumerate(features):
        seen = prompts.mirrored(VIEWS[number], geometry.original_hw)
        decode = partial(model.decode, view[None], geometry)
        views.append(_in_any_box(decode, seen)[:, index : index + 1])
    return mean_of_views(torch.cat(views).float(), geometry)


def _in_any_box(decode: Callable[[Prompts], Tensor], prompts: Prompts) -> Tensor:
    """Return the highest logits (1, K, h, w) of what is decoded for each box, some at a time."""
    parts = [decode(part).amax(0, keepdim=True) for part in prompts.in_parts(BOXES_AT_ONCE)]
    return torch.cat(parts).amax(0, keepdim=True)


def mean_of_views(low_res_masks: Tensor, geometry: InputGeometry) -> Tensor:
    """Average the masks of a slice's views.

    Parameters
    ----------
    low_res_masks : Tensor, shape (V, K, h, w)
        Logits of `VIEWS`, each over its own mirrored square.
    geometry : InputGeometry

    Returns
    -------
    Tensor, shape (1, K, h, w), or (1, K, S, S) for more than one view
        Logits of the mean probability.
    """
    if len(low_res_masks) == 1:
        return low_res_masks
    squares = at_input_size(low_res_masks, geometry.input_size)
    upright = [mirrored(squares[i : i + 1], VIEWS[i], geometry) for i in range(len(squares))]
    probability = torch.cat(upright).sigmoid().mean(0, keepdim=True)
    return probability.logit(eps=1e-6)


def predict_masks(
    model: AdaptedSam, image: np.ndarray, prompts: Prompts = NO_PROMPTS, views: int = 1
) -> MaskPrediction:
    """Predict the masks of one slice: `encode_image`, then `decode_masks`."""
    embedding = for_prompts(model, image, encode_image(model, image, views), prompts)
    return decode_masks(model, embedding, prompts)


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
