"""Where a training step gets its image embedding from: through the encoder, or from a cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.preprocess import InputGeometry, normalised, resize
from napari_sam_adapter.training.augment import N_ORIENTATIONS, View, apply_view, draw_view
from napari_sam_adapter.training.samples import TrainingSample

Fed = tuple[Tensor, Tensor, InputGeometry]
CACHE_TIME_SHARE = 0.4


class PreparedSample:
    """A sample as tensors, at up to twice the input size so that crops keep their detail."""

    def __init__(self, sample: TrainingSample, input_size: int) -> None:
        x = normalised(sample.image)
        y = torch.from_numpy(sample.mask.astype(np.float32))[None, None]
        side = min(2 * input_size, max(sample.mask.shape))
        size = InputGeometry.fit(sample.mask.shape, side).content_hw
        self.image, self.target = resize(x, size), resize(y, size)


class _Feed:
    """What both feeds hold: the model, the prepared samples, and an endless random order."""

    def __init__(
        self, model: AdaptedSam, samples: Sequence[TrainingSample], rng: np.random.Generator
    ) -> None:
        self._model = model
        self._rng = rng
        size = model.settings.input_size
        self._samples = [PreparedSample(sample, size) for sample in samples]
        self._order = _endless_shuffle(len(samples), rng)


class ImageFeed(_Feed):
    """Encode a fresh random view each step (the full gear)."""

    def next(self) -> Fed:
        """Return the embedding (1, 256, h, w) of a view, its target (1, 1, S, S) and geometry."""
        sample = self._samples[next(self._order)]
        size = self._model.settings.input_size
        image, target, geometry = apply_view(
            sample.image, sample.target, draw_view(self._rng), size
        )
        device = self._model.device
        return self._model.encode(image.to(device)), target.to(device), geometry


class EmbeddingFeed(_Feed):
    """Draw from embeddings that were computed once (the quick gear).

    Each slice is first encoded as it is. While less than ``CACHE_TIME_SHARE`` of the time has gone
    into encoding, a step adds another orientation of its slice to the cache instead of reusing one.
    """

    def __init__(
        self, model: AdaptedSam, samples: Sequence[TrainingSample], rng: np.random.Generator
    ) -> None:
        super().__init__(model, samples, rng)
        self._cache: list[dict[int, Fed]] = [{} for _ in samples]
        self._start = time.monotonic()
        self._encoding_seconds = 0.0

    def next(self) -> Fed:
        """Return a cached embedding (1, 256, h, w), its target (1, 1, S, S) and geometry."""
        index = next(self._order)
        cached = self._cache[index]
        missing = [o for o in range(N_ORIENTATIONS) if o not in cached]
        share = self._encoding_seconds / max(time.monotonic() - self._start, 1e-9)
        if not cached or (missing and share < CACHE_TIME_SHARE):
            orientation = missing[0] if not cached else int(self._rng.choice(missing))
            cached[orientation] = self._encode(index, orientation)
            return cached[orientation]
        return cached[int(self._rng.choice(list(cached)))]

    def _encode(self, index: int, orientation: int) -> Fed:
        start = time.monotonic()
        sample, size = self._samples[index], self._model.settings.input_size
        image, target, geometry = apply_view(
            sample.image, sample.target, View(orientation=orientation), size
        )
        device = self._model.device
        with torch.no_grad():
            features = self._model.encode(image.to(device)).float()
        self._encoding_seconds += time.monotonic() - start
        return features, target.to(device), geometry


def _endless_shuffle(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(count).tolist()
