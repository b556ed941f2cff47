"""At what size, and how, predictions are compared with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sam_adapter.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class Protocol:
    """Rules of a comparison.

    Attributes
    ----------
    name : str
    at_network_size : bool
        Compare at the model's own S x S pixels instead of the image's size. The prediction is not
        brought to the image's size, and the truth is resized to S x S (`resize_nearest`), whatever
        its aspect ratio.
    rescale : bool
        Stretch each probability map to 0..1 before the saliency measures (`saliency.rescaled`).
        Masks, and so Dice, IoU and the balanced error rate, are cut before.
    weighted_f_beta : float
        See `saliency.saliency_scores`.
    views : int or None
        How many views of an image predictions average, unless told otherwise; None is what suits
        the model.
    """

    name: str
    at_network_size: bool
    rescale: bool
    weighted_f_beta: float
    views: int | None = None


ORIGINAL = Protocol("original", at_network_size=False, rescale=False, weighted_f_beta=1.0)
# What SAM-Adapter's code does (utils.py, sod_metric.py at github.com/tianrun-chen/
# SAM-Adapter-PyTorch): its input is squashed to S x S and so is the truth, and it predicts once.
PAPER = Protocol("paper", at_network_size=True, rescale=True, weighted_f_beta=0.3, views=1)

PROTOCOLS = {one.name: one for one in (ORIGINAL, PAPER)}


def protocol_named(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises
    ------
    EvaluationError
        If there is none of that name.
    """
    if name not in PROTOCOLS:
        raise EvaluationError(f"The protocol must be one of {', '.join(PROTOCOLS)}, got '{name}'.")
    return PROTOCOLS[name]


def resize_nearest(labels: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize labels (Y, X) of any integer or boolean type, each pixel taking the nearest label.

    By Pillow, as SAM-Adapter's truth: where two labels are equally near, the choice is the same.
    """
    from PIL import Image

    picture = Image.fromarray(labels.astype(np.int32))
    height, width = size_hw
    resized = picture.resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized).astype(labels.dtype)
