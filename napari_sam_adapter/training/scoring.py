"""Dice of the same slices, again and again, while a model learns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from napari_sam_adapter.errors import ConditionError
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.encode import VIEWS, Encoder, ImageEmbedding
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.late import Prefix
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.sam.preprocess import mirrored
from napari_sam_adapter.training.config import Gear
from napari_sam_adapter.training.samples import TrainingSample, naming
from napari_sam_adapter.training.workers import Workers

Scores = tuple[float, ...]


class SliceScorer:
    """Predicts slices with a model as it is now, and encodes once what its gear does not change.

    Parameters
    ----------
    model : AdaptedSam
    slices : sequence of TrainingSample
    gear : {"quick", "late", "full"}
        What of the model changes from one scoring to the next.
    encoder : Encoder
        The encoder of the model as it was when the run began.
    workers : Workers
        The processes that share the work.
    views : int
        How many views of a slice to average.
    n_classes : int, optional
        Only the first so many classes count; by default all.

    Attributes
    ----------
    refusal : str
        Why this process could not score a slice, with the slice's name.
    """

    def __init__(
        self,
        model: AdaptedSam,
        slices: Sequence[TrainingSample],
        gear: Gear,
        encoder: Encoder,
        workers: Workers,
        views: int = 1,
        n_classes: int | None = None,
    ) -> None:
        self._model, self._gear, self._encoder = model, gear, encoder
        self._n_classes = n_classes
        self.slices, self._workers, self._views = slices, workers, views
        self.refusal = ""
        self._embeddings: dict[int, ImageEmbedding] = {}
        self._prefixes: dict[int, tuple[list[Prefix], InputGeometry]] = {}

    def scores(self, n_slices: int | None = None, *, learned: bool = True) -> Scores:
        """Score the slices; each worker takes its share of them.

        Parameters
        ----------
        n_slices : int, optional
            Only so many, the first ones.
        learned : bool
            Whether the model may have changed since the run began.

        Returns
        -------
        tuple of float
            Mean Dice of the classes of each slice, at original size; nan where a condition cannot
            be computed of it (`refusal`).
        """
        slices = self.slices[:n_slices]
        found = [0.0] * len(slices)
        for index in range(self._workers.rank, len(slices), self._workers.count):
            sample = slices[index]
            try:
                with naming(sample):
                    embedding = self._embedding(index, sample.image, learned)
            except ConditionError as error:
                # No exception: the other processes wait for this one's scores.
                self.refusal, found[index] = str(error), math.nan
                continue
            found[index] = self._dice(decode_masks(self._model, embedding).labels, sample.labels)
        return tuple(self._workers.sums(*found)) if found else ()

    def _dice(self, labels: np.ndarray, truth: np.ndarray) -> float:
        n_classes, counted = self._model.settings.n_classes, self._n_classes
        if counted is not None and counted < n_classes:
            labels, truth = (np.where(one <= counted, one, 0) for one in (labels, truth))
            n_classes = counted
        return mean_class_dice(labels, truth, n_classes)

    def _embedding(self, index: int, image: np.ndarray, learned: bool) -> ImageEmbedding:
        if self._gear == "full":
            # What is in the encoder's cache is of the model as it was.
            encoder = Encoder(self._model) if learned else self._encoder
            return encoder.image(image, self._views)
        if self._gear == "late":
            if index not in self._prefixes:
                x, geometry = self._encoder.input_of(image)
                views = [mirrored(x, axes, geometry) for axes in VIEWS[: self._views]]
                self._prefixes[index] = [self._encoder.prefix(view) for view in views], geometry
            prefixes, geometry = self._prefixes[index]
            features = [self._encoder.embedding_after(prefix) for prefix in prefixes]
            return ImageEmbedding(torch.cat(features), geometry)
        if index not in self._embeddings:
            self._embeddings[index] = self._encoder.image(image, self._views)
        return self._embeddings[index]
