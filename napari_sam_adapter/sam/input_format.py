"""How slices are brought into an encoder's square input: plain data, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Normalisation = Literal["min-max", "imagenet"]
Fit = Literal["pad", "squash"]


@dataclass(frozen=True, slots=True)
class InputFormat:
    """What an encoder expects.

    Attributes
    ----------
    size : int
        Side S of the square input, in pixels.
    normalisation : {"min-max", "imagenet"}
        ``min-max``: each slice's own range becomes 0..1 (MedSAM). ``imagenet``: 8-bit values are
        divided by 255, other types by their slice's range, then ImageNet's mean and deviation are
        taken out per channel (SAM's pixel_mean and pixel_std).
    fit : {"pad", "squash"}
        ``pad``: the long side becomes S, the rest is zeros at the bottom or the right (SAM).
        ``squash``: both sides become S, whatever the aspect ratio (MedSAM, SAM-Adapter).
    """

    size: int
    normalisation: Normalisation = "min-max"
    fit: Fit = "pad"

    def __post_init__(self) -> None:
        if self.normalisation not in get_args(Normalisation):
            raise ValueError(f"unknown normalisation {self.normalisation!r}")
        if self.fit not in get_args(Fit):
            raise ValueError(f"unknown fit {self.fit!r}")

    def geometry(self, original_hw: tuple[int, int]) -> InputGeometry:
        """Return how a slice of a size lies in the input."""
        if self.fit == "squash":
            return InputGeometry(original_hw, (self.size, self.size), self.size)
        return InputGeometry.fit(original_hw, self.size)


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
