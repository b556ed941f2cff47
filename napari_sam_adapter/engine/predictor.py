"""Predict in a process of its own; restarted when it has died."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.engine.turns import Turns
from napari_sam_adapter.errors import EngineError
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.volumes.slice_source import SliceIndex


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
    prompts : Prompts
        What it was predicted from besides the image.
    cached : bool
        Whether the process had encoded the slice before.
    made_with : mapping
        What else it was made from, see `made_with`; for JSON.
    """

    index: SliceIndex
    labels: np.ndarray
    adapter_id: str
    confidence: float | None
    prompts: Prompts = NO_PROMPTS
    cached: bool = False
    made_with: Mapping[str, Any] = field(default_factory=dict)


class Predictor:
    """Owner of the prediction process. Its methods block; call them from a worker thread.

    Attributes
    ----------
    disk_bytes : int
        How much encoded slices may take on the disk (`sam.feature_files`); 0 keeps none there.
    uses_bfloat16 : bool
        Whether the last prediction was computed in bf16.
    """

    def __init__(self) -> None:
        self.disk_bytes = 0
        self.uses_bfloat16 = False
        self._process: EngineProcess | None = None
        self._turns = Turns()
        self._closed = threading.Event()

    def start(self, device: str) -> dict[str, str]:
        """Start the process ahead of the first prediction.

        Parameters
        ----------
        device : str
            The one that is to be computed on.

        Returns
        -------
        dict
            ``device`` and ``precision``.

        Raises
        ------
        EngineError
            If the device is not there.
        """
        with self._turns.asking():
            process = self._running()
            process.send("hello", {"device": device})
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
        values = {key: value for key, value in reply.values.items() if key != "bf16"}
        return SlicePredicted(index, reply.arrays["labels"], **values, prompts=prompts)

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

        It gives way: it does nothing where something else is asked for, and ends before the
        encoder's next block when something is asked for meanwhile.

        Returns
        -------
        bool
            Whether the slice is encoded now.

        Raises
        ------
        EngineError
            If it cannot be encoded.
        """
        with self._turns.ahead() as is_free:
            if not is_free:
                return False
            request = Message("encode", self._values_of(model), {"image": image})
            return self._turns.work_ahead(self._running(), request)

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
        with self._turns.asking():
            process = self._running()
            process.send("predict", values, arrays)
            reply = process.receive()
            self.uses_bfloat16 = bool(reply.values["bf16"])
            return reply

    def _values_of(self, model: ModelReference) -> dict[str, Any]:
        return {
            "base": model.base,
            "adapter": None if model.adapter is None else str(model.adapter),
            "input_size": model.input_size,
            "device": model.device,
            "views": model.views,
            "disk_bytes": self.disk_bytes,
        }

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
