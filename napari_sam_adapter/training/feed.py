"""What every gear's feed has in common: which slice comes at a position, and its tensors.

What comes at a position of the run depends on the seed and the position alone. So a run continues
after a crash as if nothing had happened, and several processes share one run by taking turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.training.augment import View
from napari_sam_adapter.training.config import Augmentation
from napari_sam_adapter.training.prepared_sample import PreparedSample
from napari_sam_adapter.training.samples import TrainingSample, naming
from napari_sam_adapter.volumes.slice_source import check_slice

CACHE_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Fed:
    """What a step trains on.

    Attributes
    ----------
    embedding : Tensor, shape (1, 256, h, w)
    target : Tensor, shape (1, K, S, S)
    geometry : InputGeometry
    name : str
        Of the slice, for messages.
    rng : Generator
        For whatever else is drawn at this position.
    """

    embedding: Tensor
    target: Tensor
    geometry: InputGeometry
    name: str
    rng: np.random.Generator

    def content(self, x: Tensor) -> Tensor:
        """Cut (..., S, S) to where the slice is: what is padded there teaches nothing."""
        height, width = self.geometry.content_hw
        return x[..., :height, :width]

    def mask(self, probability: Tensor, index: int) -> np.ndarray:
        """Cut a class of (1, K, S, S) at 0.5, only where the slice is; bool (h, w)."""
        found: np.ndarray = (self.content(probability)[0, index] > 0.5).cpu().numpy()
        return found


@dataclass(eq=False)
class Feed:
    """Slices in a random order, each once before any comes again.

    Parameters
    ----------
    model : AdaptedSam
    samples : sequence of TrainingSample
    seed : int
    augmentation : {"views", "upright", "flip", "none"}
        See `TrainingConfig`.
    cache : FeatureCache, optional
        Where features of earlier runs and of predictions are; what is fed is the same without it.

    Raises
    ------
    ImageError
        Naming the first slice that cannot be used.
    """

    model: AdaptedSam
    samples: Sequence[TrainingSample]
    seed: int
    augmentation: Augmentation = "views"
    cache: FeatureCache | None = None

    def __post_init__(self) -> None:
        self._prepared: dict[int, PreparedSample] = {}
        self._bytes_left = CACHE_BYTES
        for sample in self.samples:
            with naming(sample):
                check_slice(sample.image)

    def at(self, position: int) -> Fed:
        """Return what comes at a position, counted over all slices of the run from 0 on.

        Raises
        ------
        ConditionError
            If a condition cannot be computed of it, with the slice's name.
        """
        raise NotImplementedError

    def encode_ahead(self, n_views: int) -> Iterator[None]:
        """Compute what the first visits of each slice will ask for, into the cache.

        Parameters
        ----------
        n_views : int
            Of each slice, at most.

        Yields
        ------
        None
            After each view.
        """
        yield from ()

    def _turn(self, position: int) -> tuple[int, int, np.random.Generator]:
        """Return which slice comes, how often it came before, and the position's generator."""
        visit, place = divmod(position, len(self.samples))
        order = np.random.default_rng([self.seed, 1, visit]).permutation(len(self.samples))
        return int(order[place]), visit, np.random.default_rng([self.seed, 2, position])

    def _sample(self, index: int) -> PreparedSample:
        """Prepare a sample, and keep it while there is room: thousands would fill the memory."""
        if index in self._prepared:
            return self._prepared[index]
        settings = self.model.settings
        prepared = PreparedSample(self.samples[index], settings.n_classes, settings.input_format)
        if prepared.n_bytes <= self._bytes_left:
            self._bytes_left -= prepared.n_bytes
            self._prepared[index] = prepared
        return prepared

    def _render(self, index: int, view: View) -> tuple[Tensor, Tensor, InputGeometry]:
        """Return the encoder's input, the target and the geometry of a view, on the device."""
        image, target, geometry = self._sample(index).render(view)
        device = self.model.device
        return image.to(device), target.to(device), geometry
