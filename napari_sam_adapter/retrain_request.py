"""What a person asks to be trained on, copied out of the window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.adapter.config import Condition
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.volume import SliceIndex, SliceSource, check_slice


@dataclass(slots=True)
class RetrainRequest:
    """What the person asked to train on, copied out of the layers on the main thread.

    Attributes
    ----------
    source : SliceSource
        Images are read from it in the background, one by one.
    masks : mapping of slice index to ndarray of int, shape (Y, X)
        Labels: for a single class any label is the object, else label k is the k-th class.
    image_name : str
    config : TrainingConfig
    input_size : int or None
        None keeps that of the version it continues from, or suits the slices.
    classes : Classes
    conditions : tuple of Condition or None
        For the first version; None are the base model's own.
    checkpoint : RunCheckpoint or None
        Where the run writes its state, and goes on from if there is one.
    """

    source: SliceSource
    masks: Mapping[SliceIndex, np.ndarray]
    image_name: str
    config: TrainingConfig
    input_size: int | None = None
    classes: Classes = field(default_factory=Classes)
    conditions: tuple[Condition, ...] | None = None
    checkpoint: RunCheckpoint | None = None

    def samples(self) -> Iterator[TrainingSample]:
        """Read the images one by one.

        Raises
        ------
        ImageError
            Naming the slice that cannot be used.
        """
        for index, mask in self.masks.items():
            name = f"{self.image_name}, {self.source.describe(index)}"
            try:
                image = self.source.read(index)
                check_slice(image)
            except ImageError as error:
                raise ImageError(f"{name}: {error}") from error
            yield TrainingSample(image, mask, name)
