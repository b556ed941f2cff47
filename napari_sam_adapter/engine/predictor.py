"""Predict in a process of its own; restarted when it has died."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.errors import EngineError, ImageError, SamAdapterError
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.volume import SliceIndex, SliceSource, check_slice
from napari_sam_adapter.volume_help import VolumeHelp, predict_helped


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Which model is to predict.

    Attributes
    ----------
    base : str
    adapter : Path or None
        None is the base model alone.
    input_size : int or None
        For the base model alone; an adapter brings its own.
    device : str
    views : int
        How many views of a slice to average.
    """

    base: str
    adapter: Path | None = None
    input_size: int | None = None
    device: str = "auto"
    views: int = 1


@dataclass(frozen=True, slots=True)
class SlicePredicted:
    """What a model makes of one slice.

    Attributes
    ----------
    index : tuple of int
    labels : ndarray of uint8, shape (Y, X)
    adapter_id : str
        Who predicted; "" is the base model, `slice_history.FILLED` interpolation.
    confidence : float or None
        The Dice to expect, see `confidence`; None from a base model, or with prompts.
    seconds : float
    prompts : Prompts
        What it was predicted from besides the image.
    cached : bool
        Whether the process had encoded the slice before.
    """

    index: SliceIndex
    labels: np.ndarray
    adapter_id: str
    confidence: float | None
    seconds: float
    prompts: Prompts = NO_PROMPTS
    cached: bool = False


@dataclass(frozen=True, slots=True)
class SliceSkipped:
    """A slice nothing could be predicted for, and why."""

    index: SliceIndex
    reason: str


class Predictor:
    """Owner of the prediction process. Its methods block; call them from a worker thread.

    Attributes
    ----------
    disk_bytes : int
        How much encoded slices may take on the disk (`sam.feature_files`); 0 keeps none there.
    """

    def __init__(self) -> None:
        self.disk_bytes = 0
        self._process: EngineProcess | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # How many wait for the lock or an answer, and the process that encodes ahead just now.
        self._n_asking = 0
        self._count_lock = threading.Lock()
        self._encoding: EngineProcess | None = None

    def start(self) -> dict[str, str]:
        """Start the process ahead of the first prediction.

        Returns
        -------
        dict
            ``device`` and ``precision``.
        """
        with self._asking():
            process = self._running()
            process.send("hello")
            return dict(process.receive().values)

    def predict(
        self,
        index: SliceIndex,
        image: np.ndarray,
        model: ModelReference,
        prompts: Prompts = NO_PROMPTS,
    ) -> SlicePredicted:
        """Predict one slice.

        Raises
        ------
        EngineError
            With a message for the person.
        """
        reply = self._ask(image, model, prompts)
        return SlicePredicted(index, reply.arrays["labels"], **reply.values, prompts=prompts)

    def predict_logits(self, image: np.ndarray, model: ModelReference) -> tuple[np.ndarray, str]:
        """Predict a slice, or a part of one, without prompts.

        Returns
        -------
        logits : ndarray of float32, shape (K, Y, X)
            At the slice's own size.
        adapter_id : str
            Who predicted; "" is the base model.

        Raises
        ------
        EngineError
            With a message for the person.
        """
        reply = self._ask(image, model, NO_PROMPTS, logits=True)
        return reply.arrays["logits"], str(reply.values["adapter_id"])

    def encode_ahead(self, image: np.ndarray, model: ModelReference) -> bool:
        """Encode a slice that may be asked for next, so that its prediction takes less time.

        It gives way: it does nothing where something else is asked for, and ends after the view at
        hand when something is asked for meanwhile.

        Returns
        -------
        bool
            Whether the slice is encoded now.

        Raises
        ------
        EngineError
            If it cannot be encoded.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._is_wanted():
                return False
            process = self._running()
            process.send("encode", self._values_of(model), {"image": image})
            self._encoding = process
            if self._is_wanted():  # since the look above; later ones see that it is encoding
                process.send("give_way")
            return bool(process.receive().values["done"])
        finally:
            self._encoding = None
            self._lock.release()

    def close(self) -> None:
        """End the process; safe from any thread, also while a prediction waits."""
        self._closed.set()
        process = self._process
        if process is not None:
            process.kill()

    def _ask(
        self, image: np.ndarray, model: ModelReference, prompts: Prompts, *, logits: bool = False
    ) -> Message:
        values = self._values_of(model) | {"logits": logits}
        arrays = {"image": image}
        if prompts:
            values["class_index"] = prompts.class_index
            arrays |= {
                "boxes": prompts.boxes,
                "points": prompts.points,
                "is_object": prompts.is_object,
            }
        with self._asking():
            process = self._running()
            process.send("predict", values, arrays)
            return process.receive()

    def _values_of(self, model: ModelReference) -> dict[str, Any]:
        return {
            "base": model.base,
            "adapter": None if model.adapter is None else str(model.adapter),
            "input_size": model.input_size,
            "device": model.device,
            "views": model.views,
            "disk_bytes": self.disk_bytes,
        }

    def _is_wanted(self) -> bool:
        return self._n_asking > 0

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Have the process to oneself; a slice that is encoded ahead is not waited for."""
        with self._count_lock:
            self._n_asking += 1
        try:
            encoding = self._encoding
            if encoding is not None:
                with contextlib.suppress(EngineError):  # it has died, and is restarted below
                    encoding.send("give_way")
            with self._lock:
                yield
        finally:
            with self._count_lock:
                self._n_asking -= 1

    def _running(self) -> EngineProcess:
        if self._closed.is_set():
            raise EngineError("The prediction process was stopped.")
        if self._process is None or not self._process.is_running:
            if self._process is not None:
                self._process.close()
            self._process = EngineProcess("prediction")
            if self._closed.is_set():  # while it was being started
                self._process.kill()
        return self._process


def predict_slices(
    predictor: Predictor,
    source: SliceSource,
    indices: Sequence[SliceIndex],
    model: ModelReference,
    should_stop: Callable[[], bool],
    prompts: Prompts = NO_PROMPTS,
) -> Iterator[SlicePredicted | SliceSkipped]:
    """Predict slices one after the other, reading each only when its turn comes.

    Prompts belong to a single slice, so they are given with one index only.

    Yields
    ------
    SlicePredicted or SliceSkipped
        Skipped: a slice without contrast, or one that could not be read, among several.

    Raises
    ------
    SamAdapterError
        If the model cannot be used, or the only slice asked for cannot be predicted.
    """
    for index in indices:
        if should_stop():
            return
        try:
            image = source.read(index)
            check_slice(image)
        except ImageError as error:
            if len(indices) == 1:
                raise
            yield SliceSkipped(index, str(error))
            continue
        try:
            yield predictor.predict(index, image, model, prompts)
        except SamAdapterError as error:
            raise EngineError(f"{source.describe(index)}: {error}") from error


class _StoppedError(Exception):
    """Leave a slice that is half predicted."""


def predict_slices_helped(
    predictor: Predictor,
    source: SliceSource,
    indices: Sequence[SliceIndex],
    model: ModelReference,
    n_classes: int,
    help_: VolumeHelp,
    should_stop: Callable[[], bool],
    on_predicted: Callable[[], None] = lambda: None,
) -> Iterator[SlicePredicted | SliceSkipped]:
    """Predict slices with the help of what lies around them, see `volume_help`.

    ``should_stop`` is asked before each slice or tile that is sent to the process, ``on_predicted``
    is called after it. Predictions have no confidence, which was measured without help.

    Yields
    ------
    SlicePredicted or SliceSkipped

    Raises
    ------
    SamAdapterError
        As `predict_slices`.
    """
    adapter_id = ""

    def predict_logits(image: np.ndarray) -> np.ndarray:
        nonlocal adapter_id
        if should_stop():
            raise _StoppedError
        logits, adapter_id = predictor.predict_logits(image, model)
        on_predicted()
        return logits

    try:
        for index, found in predict_helped(
            source, indices, predict_logits, n_classes, help_, should_stop
        ):
            if not isinstance(found, ImageError):
                yield SlicePredicted(index, found, adapter_id, None, 0.0)
            elif len(indices) == 1:
                raise found
            else:
                yield SliceSkipped(index, str(found))
    except _StoppedError:
        return
