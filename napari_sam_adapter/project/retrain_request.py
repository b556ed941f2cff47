"""What a retraining in the window is asked to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.adapter.config import AdapterConfig, Condition
from napari_sam_adapter.engine.predictor import ModelReference
from napari_sam_adapter.errors import ImageError, TrainingError
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import TrainingJob
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource, check_slice


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
    patient : str or None
        Alike for images of one patient; None where it is not known.
    file : str or None
        Where it was opened from; None where nobody tells.
    as_predicted : set of slice index
        See `TrainingSample.is_as_predicted`.
    """

    source: SliceSource
    masks: Mapping[SliceIndex, np.ndarray]
    name: str
    key: str
    patient: str | None = None
    file: str | None = None
    as_predicted: Set[SliceIndex] = frozenset()

    def samples(self) -> Iterator[TrainingSample]:
        """Read the slices one by one.

        All are of one group: a volume at another time, or seen through another channel, is hardly
        a new one. So are those of other images of the same patient, or file: its channels, or
        the same volume in another orientation.

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
            group = self.patient or self.file or self.key
            yield TrainingSample(image, mask, name, group, index in self.as_predicted)


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
    run : str
        Its name in the journal, for the adapter's card; "" where nothing is recorded.
    """

    images: tuple[MarkedImage, ...]
    config: TrainingConfig
    input_size: int | None = None
    classes: Classes = field(default_factory=Classes)
    conditions: tuple[Condition, ...] | None = None
    checkpoint: RunCheckpoint | None = None
    run: str = ""

    def samples(self) -> Iterator[TrainingSample]:
        """Read the slices of all images one by one.

        Raises
        ------
        ImageError
            Naming the slice that cannot be used.
        """
        for image in self.images:
            yield from image.samples()

    def job(
        self, model: ModelReference, is_new: bool, out: Path, refuge: Path, device: str
    ) -> TrainingJob:
        """Return the training job; reads all slices.

        Parameters
        ----------
        model : ModelReference
            What it starts from.
        is_new : bool
            Whether that is the base model; a version in use keeps its own conditions.
        out, refuge : Path
            The adapter file to write, and where if its project is gone by then.
        device : str

        Raises
        ------
        ImageError
            Naming the slice that cannot be used.
        TrainingError
            If the conditions cannot be used.
        """
        notes = {"image": ", ".join(image.name for image in self.images)}
        if self.run:
            notes["run"] = self.run
        return TrainingJob(
            samples=list(self.samples()),
            out=out,
            refuge=refuge,
            config=self.config,
            base=model.base,
            init=model.adapter,
            input_size=self.input_size,
            device=device,
            adapter=self._adapter_on(model.base) if is_new else None,
            class_names=self.classes.names,
            class_colors=self.classes.colors,
            checkpoint=self.checkpoint,
            notes=notes,
        )

    def _adapter_on(self, base: str) -> AdapterConfig | None:
        """Return the shape of a new adapter; None is the base model's own."""
        if self.conditions is None:
            return None
        try:
            return replace(base_model(base).adapter, conditions=self.conditions)
        except ValueError as error:
            raise TrainingError(f"The conditions cannot be used: {error}.") from error
