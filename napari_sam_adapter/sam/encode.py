"""Encode slices: in several views, and nothing twice that is in a cache.

An adapter trained on mirrored slices answers to a slice's mirror images, too, and the mean of the
answers is better than the answer to the slice alone (docs/recipe.md). These are the *views* of a
slice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from napari_sam_adapter.adapter.config import BUILT_IN_CONDITIONS
from napari_sam_adapter.adapter.module import has_zero_effect
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.base import EMBEDDING_WIDTH, go_on
from napari_sam_adapter.sam.devices import autocast
from napari_sam_adapter.sam.feature_cache import FeatureCache, Features, Kind, feature_key
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.late import (
    Prefix,
    can_be_cut,
    encode_after,
    encode_before,
    encoder_key,
    prefix_key,
)
from napari_sam_adapter.sam.preprocess import encoder_input, mirrored
from napari_sam_adapter.sam.prompts import Prompts

# The axes along which each view is mirrored. The first is the slice as it is.
VIEWS: tuple[tuple[int, ...], ...] = ((), (-2, -1), (-2,), (-1,))


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """What the encoder makes of one slice.

    Attributes
    ----------
    features : Tensor, shape (V, 256, h, w)
        Of the slice, then of its further views.
    geometry : InputGeometry
        Of each of them.
    base_features : Tensor, shape (1, 256, h, w), or None
        What the base model alone makes of the slice, where it is needed (`for_prompts`).
    is_known : bool
        Whether all views were in a cache.
    """

    features: Tensor
    geometry: InputGeometry
    base_features: Tensor | None = None
    is_known: bool = False


class Encoder:
    """The image encoder of a model as it is now.

    Parameters
    ----------
    model : AdaptedSam
        While this object is in use, its adapter stays as it is; the part after the encoder's
        `late_cut` may change if only `prefix` is asked for.
    cache : FeatureCache, optional
        Results are equal, bit by bit, whatever is in it.
    keeps_prefixes : bool
        Keep what enters the late part, too: after the ``late`` gear, only that part is computed.
    """

    def __init__(
        self, model: AdaptedSam, cache: FeatureCache | None = None, *, keeps_prefixes: bool = False
    ) -> None:
        self._model, self._cache = model, cache
        self._usual_threads = torch.get_num_threads()
        self._keeps_prefixes = cache is not None and keeps_prefixes and can_be_cut(model)
        # Once, not for each slice: the digest reads all weights of the adapter.
        self._adapter = "" if cache is None else encoder_key(model)
        self._adapter_before = prefix_key(model) if cache is not None and can_be_cut(model) else ""
        # What a condition of somebody else computes may be another thing tomorrow.
        names = {condition.name for condition in model.adapter.config.conditions}
        self._lasts = names <= set(BUILT_IN_CONDITIONS)

    def embedding(self, x: Tensor) -> Tensor:
        """Map one input (1, 3, S, S) to its image embedding (1, 256, h, w), float32, frozen."""
        return self._embedding(x)[0]

    def prefix(self, x: Tensor) -> Prefix:
        """Map one input (1, 3, S, S) to what enters the late part.

        Raises
        ------
        ValueError
            If the model cannot be cut.
        """
        keys = self._keys("prefix", x, self._adapter_before)
        known = self._find("prefix", keys)
        if known is not None and "features" in known:
            prefix = Prefix.of(known)
            if prefix.fits(self._model):
                return prefix
        with torch.no_grad(), autocast(self._model.device):
            prefix = encode_before(self._model, x.contiguous())
        self._add("prefix", keys, prefix.tensors())
        return prefix

    def embedding_after(self, prefix: Prefix) -> Tensor:
        """Map what enters the late part to the image embedding, as the adapter is now; frozen."""
        with torch.no_grad(), autocast(self._model.device):
            return encode_after(self._model, prefix).float()

    def image(
        self, image: np.ndarray, views: int = 1, before_block: Callable[[], None] = go_on
    ) -> ImageEmbedding:
        """Encode a slice; see `encode_image`."""
        x, geometry = self.input_of(image)
        features, known = [], []
        # One after the other: a batch of large inputs takes memory, and on a CPU saves no time.
        encoder = self._model.base.encoder
        encoder.before_block = before_block
        try:
            for axes in VIEWS[:views]:
                embedding, is_known = self._embedding(mirrored(x, axes, geometry))
                features.append(embedding)
                known.append(is_known)
        finally:
            encoder.before_block = go_on
        return ImageEmbedding(torch.cat(features), geometry, is_known=all(known))

    def input_of(self, image: np.ndarray) -> tuple[Tensor, InputGeometry]:
        """Return a slice as the model's input, on its device, as `preprocess.encoder_input`."""
        x, geometry = encoder_input(image, self._model.settings.input_format)
        return x.to(self._model.device), geometry

    def for_prompts(
        self, image: np.ndarray, embedding: ImageEmbedding, prompts: Prompts
    ) -> ImageEmbedding:
        """Return an embedding that can answer to prompts; see `for_prompts`."""
        if not answered_by_base(self._model, prompts) or embedding.base_features is not None:
            return embedding
        if has_zero_effect(self._model.adapter):
            return replace(embedding, base_features=embedding.features[:1])
        x, _ = self.input_of(image)
        keys = self._keys("embedding", x, "")
        features = self._known_embedding(keys)
        if features is None:
            with torch.no_grad(), autocast(self._model.device):
                features = self._model.encode_by_base(x.contiguous()).float()
            self._add("embedding", keys, {"features": features})
        return replace(embedding, base_features=features)

    def _embedding(self, x: Tensor) -> tuple[Tensor, bool]:
        """Return the embedding of an input, and whether it was known."""
        keys = self._keys("embedding", x, self._adapter)
        features = self._known_embedding(keys)
        if features is not None:
            return features, True
        if self._keeps_prefixes:
            features = self.embedding_after(self.prefix(x))
        else:
            with torch.no_grad(), autocast(self._model.device):
                features = self._model.encode(x.contiguous()).float()
        self._add("embedding", keys, {"features": features})
        return features, False

    def _known_embedding(self, keys: Sequence[str]) -> Tensor | None:
        known = self._find("embedding", keys)
        features = None if known is None else known.get("features")
        side = self._model.base.prompt_encoder.image_embedding_size
        if features is None or features.shape != (1, EMBEDDING_WIDTH, *side):
            return None
        return features

    def _find(self, kind: Kind, keys: Sequence[str]) -> Features | None:
        if self._cache is None:
            return None
        for key in keys:
            known = self._cache.find(kind, key, in_files=self._lasts)
            if known is not None:
                return {name: x.to(self._model.device) for name, x in known.items()}
        return None

    def _add(self, kind: Kind, keys: Sequence[str], features: Features) -> None:
        if self._cache is not None:
            self._cache.add(kind, keys[0], features, in_files=self._lasts)

    def _keys(self, kind: Kind, x: Tensor, adapter: str) -> list[str]:
        """Return the key of what is computed now, then others under which it may be known.

        A run that makes do with fewer threads for a while (`training.threads`) takes what the usual
        number of them has computed, too: how many it has depends on the moment anyway.
        """
        if self._cache is None:
            return []
        threads = dict.fromkeys((torch.get_num_threads(), self._usual_threads))
        return [feature_key(kind, x, self._base_sha256, adapter, n) for n in threads]

    @cached_property
    def _base_sha256(self) -> str:
        return self._model.base_sha256


def encode_image(
    model: AdaptedSam, image: np.ndarray, views: int = 1, before_block: Callable[[], None] = go_on
) -> ImageEmbedding:
    """Run the adapted image encoder on one slice.

    Parameters
    ----------
    model : AdaptedSam
    image : ndarray, shape (Y, X) or (Y, X, 3)
    views : int
        How many views to encode, 1 to 4; the time grows with them.
    before_block : callable
        Called before each block of the encoder; what it raises ends the work.

    Raises
    ------
    ImageError
        If the slice cannot be used; see `slice_source.check_slice`.
    """
    return Encoder(model).image(image, views, before_block)


def for_prompts(
    model: AdaptedSam, image: np.ndarray, embedding: ImageEmbedding, prompts: Prompts
) -> ImageEmbedding:
    """Return an embedding that can answer to prompts, encoding the slice by the base if need be."""
    return Encoder(model).for_prompts(image, embedding, prompts)


def answered_by_base(model: AdaptedSam, prompts: Prompts) -> bool:
    """Tell whether the base model answers to these prompts, which hold a box then."""
    return model.settings.box_answers == "base" and len(prompts.boxes) > 0
