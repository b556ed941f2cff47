"""Score a model on image and mask pairs: per image, at original size."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.data.files import read_image, read_labels
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.metrics import dice, iou

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam


@dataclass(frozen=True, slots=True)
class ImageScore:
    """Scores of one image."""

    name: str
    dice: float
    iou: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a set: means over images of the per-image values."""

    per_image: tuple[ImageScore, ...]

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.per_image)

    @property
    def dice(self) -> float:
        """Mean Dice."""
        return float(np.mean([score.dice for score in self.per_image]))

    @property
    def iou(self) -> float:
        """Mean IoU."""
        return float(np.mean([score.iou for score in self.per_image]))

    @property
    def seconds_per_image(self) -> float:
        """Median prediction time, reading aside; the median forgives the first, cold image."""
        return float(np.median([score.seconds for score in self.per_image]))


def evaluate_pairs(model: AdaptedSam, pairs: Iterable[tuple[Path, Path]]) -> Iterator[ImageScore]:
    """Predict each image and score it against its mask.

    Parameters
    ----------
    model : AdaptedSam
    pairs : iterable of (image path, mask path)

    Yields
    ------
    ImageScore

    Raises
    ------
    ImageError
        If a pair cannot be read or its sizes differ.
    """
    for image_path, mask_path in pairs:
        image, truth = read_pair(image_path, mask_path)
        try:
            yield evaluate_image(model, image, truth, image_path.name)
        except ImageError as error:
            raise ImageError(f"{image_path.name}: {error}") from error


def evaluate_image(
    model: AdaptedSam, image: np.ndarray, truth: np.ndarray, name: str
) -> ImageScore:
    """Predict and score one slice that is in memory."""
    from napari_sam_adapter.sam.predict import predict_masks

    start = time.perf_counter()
    mask = predict_masks(model, image).mask
    seconds = time.perf_counter() - start
    return ImageScore(name, dice(mask, truth), iou(mask, truth), seconds)


def read_pair(
    image_path: Path, mask_path: Path, class_names: Sequence[str] = ("object",)
) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its mask and check that they fit.

    Returns
    -------
    image : ndarray, shape (Y, X) or (Y, X, 3)
    mask : ndarray of bool or unsigned int, shape (Y, X)
        Value k is the k-th class; for a single class, any value but 0.

    Raises
    ------
    ImageError
        If a file cannot be read, holds a stack, or the sizes differ.
    """
    image, mask = read_image(image_path), read_labels(mask_path, class_names)
    if image.ndim > 3 or (image.ndim == 3 and image.shape[-1] != 3):
        raise ImageError(
            f"{image_path.name} holds a stack of shape {image.shape}; one picture per file is "
            "expected here."
        )
    if image.shape[:2] != mask.shape:
        raise ImageError(
            f"{image_path.name} is {image.shape[0]} x {image.shape[1]} pixels but its mask "
            f"{mask_path.name} is {mask.shape[0]} x {mask.shape[1]}; they must be alike."
        )
    return image, mask
