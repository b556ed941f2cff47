"""Where a training step gets its image embedding from: through the encoder, or from a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from torch import Tensor

from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.base import EMBEDDING_WIDTH
from napari_sam_adapter.sam.devices import autocast
from napari_sam_adapter.sam.encode import Encoder
from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.late import Prefix, encode_after, encode_before
from napari_sam_adapter.training.augment import View, draw_view, orientations
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.feed import CACHE_BYTES, Fed, Feed
from napari_sam_adapter.training.samples import TrainingSample, naming

LATE_VIEWS = 12


class ImageFeed(Feed):
    """Encode a fresh random view each time (the full gear)."""

    def at(self, position: int) -> Fed:
        """Return what comes at a position."""
        index, _, rng = self._turn(position)
        image, target, geometry = self._render(index, draw_view(rng, self.augmentation))
        with naming(self.samples[index]), autocast(self.model.device):
            embedding = self.model.encode(image)
        return Fed(embedding, target, geometry, self.samples[index].name, rng)


class EmbeddingFeed(Feed):
    """Draw from embeddings that were computed once (the quick gear).

    Encoding costs more than a step of the decoder, so a slice is seen in a new orientation at every
    other visit only, until all are there.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._encoder = Encoder(self.model, self.cache)
        self._orientations = orientations(self.augmentation)
        self._cache: dict[tuple[int, int], tuple[Tensor, Tensor, InputGeometry]] = {}
        self._n_kept = CACHE_BYTES // _bytes_kept(self.model)
        per_slice = self._n_kept // max(1, len(self.samples))
        self._n_orientations = max(1, min(len(self._orientations), per_slice))
        self._orders: dict[int, list[int]] = {}

    def at(self, position: int) -> Fed:
        """Return what comes at a position."""
        index, visit, rng = self._turn(position)
        offered = self._offered(index)
        seen = min(visit // 2 + 1, len(offered))
        is_new = visit % 2 == 0 and visit // 2 < len(offered)
        chosen = offered[seen - 1] if is_new else int(rng.choice(offered[:seen]))
        embedding, target, geometry = self._encoded(index, chosen)
        return Fed(embedding, target, geometry, self.samples[index].name, rng)

    def encode_ahead(self, n_views: int) -> Iterator[None]:
        """Compute the embeddings of the orientations that come first."""
        for number in range(min(n_views, self._n_orientations)):
            for index in range(len(self.samples)):
                self._encoded(index, self._offered(index)[number])
                yield

    def _offered(self, index: int) -> list[int]:
        """Return the orientations of a slice as they come, whatever slices there are besides."""
        if index not in self._orders:
            upright, *others = self._orientations
            of_slice = int(self.samples[index].digest[:8], 16)
            turned = np.random.default_rng([self.seed, 3, of_slice]).permutation(others)
            self._orders[index] = [upright, *map(int, turned)][: self._n_orientations]
        return self._orders[index]

    def _encoded(self, index: int, orientation: int) -> tuple[Tensor, Tensor, InputGeometry]:
        key = (index, orientation)
        if key in self._cache:
            return self._cache[key]
        image, target, geometry = self._render(index, View(orientation=orientation))
        with naming(self.samples[index]):
            encoded = self._encoder.embedding(image), target, geometry
        # Slices for which there is no room are encoded, or looked up on the disk, each time.
        if len(self._cache) < self._n_kept:
            self._cache[key] = encoded
        return encoded


class LateFeed(Feed):
    """Encode the late part from what was computed once of the frozen one (the late gear).

    Each slice has several random views, of which a new one is rendered at every second visit until
    all are there. Slices for which there is no room are seen in a new view each time.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._encoder = Encoder(self.model, self.cache)
        self._cache: dict[tuple[int, int], tuple[Prefix, Tensor, InputGeometry]] = {}

    def at(self, position: int) -> Fed:
        """Return what comes at a position."""
        index, visit, rng = self._turn(position)
        n_views = self._n_views
        if not n_views:
            prefix, target, geometry = self._encode(index, draw_view(rng, self.augmentation))
        else:
            seen = min(visit // 2 + 1, n_views)
            is_new = visit % 2 == 0 and visit // 2 < n_views
            number = seen - 1 if is_new else int(rng.integers(seen))
            prefix, target, geometry = self._known(index, number)
        with autocast(self.model.device):
            embedding = encode_after(self.model, prefix)
        return Fed(embedding, target, geometry, self.samples[index].name, rng)

    def _known(self, index: int, number: int) -> tuple[Prefix, Tensor, InputGeometry]:
        key = (index, number)
        if key in self._cache:
            return self._cache[key]
        drawn = np.random.default_rng([self.seed, 3, index, number])
        view = draw_view(drawn, self.augmentation) if number else View()
        self._cache[key] = self._encode(index, view)
        return self._cache[key]

    def encode_ahead(self, n_views: int) -> Iterator[None]:
        """Compute what enters the late part of each slice as it is: other views are random."""
        for index in range(len(self.samples)):
            self._encode(index, View())
            yield

    @cached_property
    def _n_views(self) -> int:
        """How many views of each slice there is room for; all take as much as one of the first."""
        prefix, target, _ = self._encode(0, View())
        size = prefix.n_bytes + target.numel() * target.element_size()
        wanted = 1 if self.augmentation == "none" else LATE_VIEWS
        return min(wanted, CACHE_BYTES // (size * len(self.samples)))

    def _encode(self, index: int, view: View) -> tuple[Prefix, Tensor, InputGeometry]:
        image, target, geometry = self._render(index, view)
        with naming(self.samples[index]), autocast(self.model.device):
            if view.is_repeatable:
                return self._encoder.prefix(image), target, geometry
            return encode_before(self.model, image), target, geometry


def feed_for(
    model: AdaptedSam,
    samples: Sequence[TrainingSample],
    config: TrainingConfig,
    cache: FeatureCache | None = None,
) -> Feed:
    """Return the feed of a configuration's gear."""
    feeds: dict[str, type[Feed]] = {"quick": EmbeddingFeed, "late": LateFeed, "full": ImageFeed}
    return feeds[config.gear](model, samples, config.seed, config.augmentation, cache)


def _bytes_kept(model: AdaptedSam) -> int:
    """Return what an embedding and its target take."""
    height, width = model.base.prompt_encoder.image_embedding_size
    target = model.settings.n_classes * model.settings.input_size**2
    return 4 * (EMBEDDING_WIDTH * int(height) * int(width) + target)
