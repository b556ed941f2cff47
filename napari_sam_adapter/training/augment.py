"""Random views of a training slice: what a person would call the same picture.

A view is drawn first and applied second, so that the quick gear can name the views it caches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.sam.input_format import InputFormat, InputGeometry
from napari_sam_adapter.sam.preprocess import pad_to_square, resize, standardised
from napari_sam_adapter.training.config import Augmentation

N_ORIENTATIONS = 8
SMALLEST_CROP = 0.6


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a slice.

    Attributes
    ----------
    orientation : int
        0..7: quarter turns (``orientation % 4``), mirrored from 4 on.
    crop : tuple of float
        Top, left and side of the kept part as shares of the slice; (0, 0, 1) keeps all.
    contrast, brightness : float
        Pixel values v become ``(v - 0.5) * contrast + 0.5 + brightness``, clipped to 0..1.
    gamma : float
        Exponent applied to the values first.
    """

    orientation: int = 0
    crop: tuple[float, float, float] = (0.0, 0.0, 1.0)
    contrast: float = 1.0
    brightness: float = 0.0
    gamma: float = 1.0

    @property
    def is_repeatable(self) -> bool:
        """Whether it shows all of the slice as it is, turned or mirrored at most.

        Only such a view comes again: in the next run, and in predictions.
        """
        return self == View(orientation=self.orientation)


def draw_view(rng: np.random.Generator, augmentation: Augmentation = "views") -> View:
    """Draw a random view: flips, quarter turns, a crop half of the time, brightness, contrast.

    Less of that for another ``augmentation``, see `TrainingConfig`.
    """
    if augmentation not in ("views", "upright"):
        mirrored = augmentation == "flip" and rng.random() < 0.5
        return View(orientation=4 if mirrored else 0)
    crop = (0.0, 0.0, 1.0)
    if rng.random() < 0.5:
        side = float(rng.uniform(SMALLEST_CROP, 1.0))
        top, left = rng.uniform(0.0, 1.0 - side, size=2).tolist()
        crop = (top, left, side)
    return View(
        orientation=int(rng.choice(orientations(augmentation))),
        crop=crop,
        contrast=float(rng.uniform(0.8, 1.2)),
        brightness=float(rng.uniform(-0.1, 0.1)),
        gamma=float(np.exp(rng.uniform(-0.25, 0.25))),
    )


def orientations(augmentation: Augmentation) -> tuple[int, ...]:
    """Return the orientations in which slices are seen, as they are first."""
    if augmentation == "views":
        return tuple(range(N_ORIENTATIONS))
    return (0, 4) if augmentation == "flip" else (0,)


def apply_view(
    image: Tensor, target: Tensor, view: View, input_format: InputFormat
) -> tuple[Tensor, Tensor, InputGeometry]:
    """Render a view at the encoder's input size.

    Parameters
    ----------
    image : Tensor, shape (1, 3, h, w)
        Values in 0..1, unpadded, at any scale.
    target : Tensor, shape (1, K, h, w)
    view : View
    input_format : InputFormat

    Returns
    -------
    image : Tensor, shape (1, 3, S, S)
    target : Tensor, shape (1, K, S, S)
    geometry : InputGeometry
        Of the rendered view.
    """
    image, target = (_crop(_orient(x, view.orientation), view.crop) for x in (image, target))
    geometry = input_format.geometry((image.shape[-2], image.shape[-1]))
    image, target = (resize(x, geometry.content_hw) for x in (image, target))
    values = image.clamp(0, 1) ** view.gamma
    values = ((values - 0.5) * view.contrast + 0.5 + view.brightness).clamp(0, 1)
    values = standardised(values, input_format.normalisation)
    side = input_format.size
    return pad_to_square(values, side), pad_to_square(target, side), geometry


def turned(
    image: Tensor, target: Tensor, orientation: int, geometry: InputGeometry
) -> tuple[Tensor, Tensor, InputGeometry]:
    """Turn what lies in a padded square, its padding left at the bottom and the right.

    Parameters
    ----------
    image : Tensor, shape (1, 3, S, S)
        Of `preprocess.encoder_input`; turned by orientation 2 it is the second of `encode.VIEWS`.
    target : Tensor, shape (1, K, h, w)
        Without padding.
    orientation : int
        See `View`.
    geometry : InputGeometry
        How the slice lies in the square.

    Returns
    -------
    image, target, geometry
        As `apply_view`.
    """
    side, content = geometry.input_size, geometry.content_hw
    image = pad_to_square(_orient(image[..., : content[0], : content[1]], orientation), side)
    target = pad_to_square(_orient(target, orientation), side)
    if orientation % 2:
        geometry = InputGeometry(geometry.original_hw[::-1], content[::-1], side)
    return image, target, geometry


def _orient(x: Tensor, orientation: int) -> Tensor:
    if orientation >= 4:
        x = x.flip(-1)
    return torch.rot90(x, orientation % 4, dims=(-2, -1))


def _crop(x: Tensor, crop: tuple[float, float, float]) -> Tensor:
    top, left, side = crop
    height, width = x.shape[-2:]
    rows, columns = max(1, round(side * height)), max(1, round(side * width))
    y, x0 = round(top * height), round(left * width)
    return x[..., y : y + rows, x0 : x0 + columns]
