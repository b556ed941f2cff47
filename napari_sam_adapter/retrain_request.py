"""What a retraining in the window is asked to do."""

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


@dataclass(frozen=True, slots=True)
class MarkedImage:
    """An image with the masks a person stands behind.

    Attributes
    ----------
    source : SliceSource
    masks : mapping of slice index to ndarray (Y, X)
    name : str
        For messages and for the adapter file.
    key : str
        Tells it from other images of any name.
    """

    source: SliceSource
    masks: Mapping[SliceIndex, np.ndarray]
    name: str
    key: str

    def samples(self) -> Iterator[TrainingSample]:
        """Read the slices one by one.

        Slices are of one group that differ on the last slider axis only: a volume, or a volume at
        one time.

        Raises
        ------
        ImageError
            Naming the slice that cannot be used.
        """
        for index, mask in self.masks.items():
            name = f"{self.name}, {self.source.describe(index)}"
            try:
                image = self.source.read(index)
                check_slice(image)
            except ImageError as error:
                raise ImageError(f"{name}: {error}") from error
            group = " ".join([self.key, *map(str, index[:-1])])
            # A single picture of a project is a group by itself; nothing tells of which patient.
            yield TrainingSample(image, mask, name, group)


@dataclass(slots=True)
class RetrainRequest:
    """What a retraining is asked to do.

    Attributes
    ----------
    images : tuple of MarkedImage
        The one that is open first; then others of the project, so that they are not forgotten.
    config : TrainingConfig
    input_size : int or None
        None is that of the version in use, or what suits the slices.
    classes : Classes
    conditions : tuple of Condition or None
        For the first version; None are the base model's own.
    checkpoint : RunCheckpoint or None
        Where the run writes its state, and goes on from if there is one.
    """

    images: tuple[MarkedImage, ...]
    config: TrainingConfig
    input_size: int | None = None
    classes: Classes = field(default_factory=Classes)
    conditions: tuple[Condition, ...] | None = None
    checkpoint: RunCheckpoint | None = None

    def samples(self) -> Iterator[TrainingSample]:
        """Read the slices of all images one by one.

        Raises
        ------
        ImageError
            Naming the slice that cannot be used.
        """
        for image in self.images:
            yield from image.samples()
