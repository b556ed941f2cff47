"""Masks that nobody can paint in, of a file that stays on the disk, become an array in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError, SamAdapterError
from napari_sam_adapter.widgets.jobs import Job

if TYPE_CHECKING:
    import napari

PART_BYTES = 2**26


class MasksIntoMemory(QObject):
    """Copies one Labels layer at a time, in the background.

    Attributes
    ----------
    arrived : Signal(object, object)
        The layer that was asked for, and the one to paint in: the same one, or, where it had
        several resolutions, another in its place.
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    arrived = Signal(object, object)
    said = Signal(str, bool)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._labels: Labels | None = None
        self._job: Job | None = None

    @property
    def is_running(self) -> bool:
        """Whether a layer is being copied."""
        return self._job is not None

    def start(self, labels: Labels) -> None:
        """Copy a layer, instead of the one that was asked for before.

        Raises
        ------
        ImageError
            If it does not fit into the memory that is free.
        """
        if self._labels is labels:
            return
        data = labels.data[0] if labels.multiscale else labels.data
        needed = int(np.prod(data.shape, dtype=int)) * np.dtype(data.dtype).itemsize
        free = psutil.virtual_memory().available
        if needed > free:
            raise ImageError(
                f"The masks layer {labels.name!r} takes {needed / 2**30:.1f} GiB of memory to be "
                f"painted in, and {free / 2**30:.1f} GiB are free. Choose masks of a part of the "
                "volume, or (new masks layer)."
            )
        self._labels = labels
        self.said.emit(f"Reading {labels.name!r} into memory, to be painted in…", False)
        job = Job(
            lambda: _copy(data, lambda: self._labels is not labels),
            "reading masks into memory",
            self.cancel,
            self,
        )
        job.event_reported.connect(lambda event: self._on_event(labels, event))
        job.failed.connect(lambda sentence: self._on_failed(labels, sentence))
        job.finished.connect(lambda: self._on_finished(job))
        self._job = job
        job.start()

    def cancel(self) -> None:
        """Leave what is being copied as it is."""
        self._labels = None

    def _is_wanted(self, labels: Labels) -> bool:
        return self._labels is labels and labels in self._viewer.layers

    def _on_event(self, labels: Labels, event: float | np.ndarray) -> None:
        if not self._is_wanted(labels):
            return
        if isinstance(event, float):
            self.said.emit(f"Reading {labels.name!r} into memory: {event:.0%}…", False)
            return
        self._labels = None
        self.arrived.emit(labels, self._in_its_place(labels, event))

    def _in_its_place(self, labels: Labels, array: np.ndarray) -> Labels:
        if not labels.multiscale:
            labels.data = array
            return labels
        _, state, _ = labels.as_layer_data_tuple()
        copied = Labels(array, **{**state, "multiscale": False})
        layers = self._viewer.layers
        position = layers.index(labels)
        layers.remove(labels)  # first, or the other could not have its name
        layers.insert(position, copied)
        return copied

    def _on_failed(self, labels: Labels, sentence: str) -> None:
        if self._is_wanted(labels):
            self._labels = None
            self.said.emit(f"{labels.name!r} cannot be painted in: {sentence}", True)

    def _on_finished(self, job: Job) -> None:
        if self._job is job:
            self._job = None


def _copy(data: Any, should_stop: Callable[[], bool]) -> Iterator[float | np.ndarray]:
    """Yield how much is copied, by and by, and at last the copy."""
    copied = np.empty(data.shape, data.dtype)
    n_rows = copied.shape[0]
    step = max(1, PART_BYTES * n_rows // max(1, copied.nbytes))
    for start in range(0, n_rows, step):
        if should_stop():
            return
        if start:
            yield start / n_rows
        try:
            copied[start : start + step] = np.asarray(data[start : start + step])
        except SamAdapterError:
            raise
        except Exception as error:  # a lazy array fails with whatever its source does
            raise ImageError(f"it could not be read: {error}") from error
    yield copied
