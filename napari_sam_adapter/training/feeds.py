"""Where a training step gets its image embedding from: through the encoder, or from a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.base import EMBEDDING_WIDTH
from napari_sam_adapter.sam.input_format import InputFormat, InputGeometry
from napari_sam_adapter.sam.preprocess import pixel_values, resize
from napari_sam_adapter.training.augment import N_ORIENTATIONS, View, apply_view, draw_view
from napari_sam_adapter.training.config import Augmentation
from napari_sam_adapter.training.samples import TrainingSample, class_masks

CACHE_BYTES = 1024**3
Fed = tuple[Tensor, Tensor, InputGeometry]


class PreparedSample:
    """A sample as tensors, at up to twice the input size so that crops keep their detail."""

    def __init__(self, sample: TrainingSample, n_classes: int, input_format: InputFormat) -> None:
        try:
            x = pixel_values(sample.image, input_format.normalisation)
        except ImageError as error:
            raise ImageError(f"{sample.name}: {error}") from error
        y = torch.from_numpy(class_masks(sample.labels, n_classes).astype(np.float32))[None]
        side = min(2 * input_format.size, max(sample.labels.shape))
        size = InputGeometry.fit(sample.slice_shape, side).content_hw
        self.image, self.target = resize(x, size), resize(y, size)


class _Feed:
    """What both feeds hold: the model, the prepared samples, and an endless random order."""

    def __init__(
        self, model: AdaptedSam, samples: Sequence[TrainingSample], rng: np.random.Generator
    ) -> None:
        self._model = model
        self._rng = rng
        settings = model.settings
        self._samples = [
            PreparedSample(sample, settings.n_classes, settings.input_format) for sample in samples
        ]
        self._order = _endless_shuffle(len(samples), rng)


class ImageFeed(_Feed):
    """Encode a fresh random view each step (the full gear)."""

    def __init__(
        self,
        model: AdaptedSam,
        samples: Sequence[TrainingSample],
        rng: np.random.Generator,
        augmentation: Augmentation = "views",
    ) -> None:
        super().__init__(model, samples, rng)
        self._augmentation = augmentation

    def next(self) -> Fed:
        """Return the embedding (1, 256, h, w) of a view, its target (1, K, S, S) and geometry."""
        sample = self._samples[next(self._order)]
        view = draw_view(self._rng, self._augmentation)
        input_format = self._model.settings.input_format
        image, target, geometry = apply_view(sample.image, sample.target, view, input_format)
        device = self._model.device
        return self._model.encode(image.to(device)), target.to(device), geometry


class EmbeddingFeed(_Feed):
    """Draw from embeddings that were computed once (the quick gear).

    Encoding costs more than a step of the decoder, so a slice is encoded in a new orientation at
    every other visit only, until all eight are there. The rule counts visits, not seconds: a run of
    so many steps is the same on any machine.
    """

    def __init__(
        self, model: AdaptedSam, samples: Sequence[TrainingSample], rng: np.random.Generator
    ) -> None:
        super().__init__(model, samples, rng)
        self._cache: list[dict[int, Fed]] = [{} for _ in samples]
        per_slice = CACHE_BYTES // (_embedding_bytes(model) * max(1, len(samples)))
        self._n_orientations = max(1, min(N_ORIENTATIONS, per_slice))
        self._visits = [0] * len(samples)

    def next(self) -> Fed:
        """Return a cached embedding (1, 256, h, w), its target (1, K, S, S) and geometry."""
        index = next(self._order)
        cached = self._cache[index]
        missing = [o for o in range(N_ORIENTATIONS) if o not in cached]
        encode = len(cached) < self._n_orientations and self._visits[index] % 2 == 0
        self._visits[index] += 1
        if not encode:
            return cached[int(self._rng.choice(list(cached)))]
        orientation = int(self._rng.choice(missing)) if cached else missing[0]
        cached[orientation] = self._encode(index, orientation)
        return cached[orientation]

    def _encode(self, index: int, orientation: int) -> Fed:
        sample, view = self._samples[index], View(orientation=orientation)
        image, target, geometry = apply_view(
            sample.image, sample.target, view, self._model.settings.input_format
        )
        device = self._model.device
        with torch.no_grad():
            features = self._model.encode(image.to(device)).float()
        return features, target.to(device), geometry


def _embedding_bytes(model: AdaptedSam) -> int:
    height, width = model.base.prompt_encoder.image_embedding_size
    return 4 * EMBEDDING_WIDTH * int(height) * int(width)


def _endless_shuffle(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(count).tolist()
