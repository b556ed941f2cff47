"""A training slice as tensors, from which its views are rendered."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.sam.input_format import InputFormat, InputGeometry
from napari_sam_adapter.sam.preprocess import encoder_input, pixel_values, resize
from napari_sam_adapter.training.augment import View, apply_view, turned
from napari_sam_adapter.training.samples import TrainingSample, class_masks


class PreparedSample:
    """A sample as tensors, at up to twice the input size so that crops keep their detail.

    Attributes
    ----------
    n_bytes : int
        Memory it takes at most.
    """

    def __init__(self, sample: TrainingSample, n_classes: int, input_format: InputFormat) -> None:
        self._sample, self._n_classes, self._format = sample, n_classes, input_format
        side = min(2 * input_format.size, max(sample.slice_shape))
        self._size = InputGeometry.fit(sample.slice_shape, side).content_hw
        content = input_format.geometry(sample.slice_shape).content_hw
        large, upright = math.prod(self._size), math.prod(content)
        channels = 3 + n_classes
        self.n_bytes = 4 * (channels * large + n_classes * upright + 3 * input_format.size**2)

    @cached_property
    def image(self) -> Tensor:
        """(1, 3, h, w), values in 0..1."""
        return resize(pixel_values(self._sample.image, self._format.normalisation), self._size)

    @cached_property
    def target(self) -> Tensor:
        """(1, K, h, w)."""
        return resize(self._masks(), self._size)

    def render(self, view: View) -> tuple[Tensor, Tensor, InputGeometry]:
        """Return a view's input, target and geometry, as `apply_view`.

        A view that comes again is made of the slice itself, as in prediction: equal pixels have
        equal features, which are computed once.
        """
        if view.is_repeatable:
            image, target, geometry = self._upright
            return turned(image, target, view.orientation, geometry)
        return apply_view(self.image, self.target, view, self._format)

    @cached_property
    def _upright(self) -> tuple[Tensor, Tensor, InputGeometry]:
        image, geometry = encoder_input(self._sample.image, self._format)
        return image, resize(self._masks(), geometry.content_hw), geometry

    def _masks(self) -> Tensor:
        masks = class_masks(self._sample.labels, self._n_classes)
        return torch.from_numpy(masks.astype(np.float32))[None]
