"""What a computing process does with a request. Runs in the child only; imports torch."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.confidence import confidence
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.errors import EngineError
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.devices import choose_device, uses_bfloat16
from napari_sam_adapter.sam.encode import Encoder
from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.sam.feature_files import FeatureFiles, open_feature_files
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.samples import TrainingSample

MODELS_KEPT = 3
# Enough for the slices at hand; more would make memory grow with the length of a volume.
EMBEDDING_BYTES_KEPT = 64 * 1024 * 1024
PREFIX_BYTES_KEPT = 128 * 1024 * 1024


class _Loaded(NamedTuple):
    """A model, its adapter's card (None for the base model), and its encoder."""

    model: AdaptedSam
    card: AdapterCard | None
    encoder: Encoder


class _GaveWayError(Exception):
    """Leave a slice that is encoded ahead: the window waits for something else."""


class Worker:
    """Handles requests, keeping models and image embeddings between them.

    Parameters
    ----------
    send : callable
        Sends a message to the window.
    stop : Event
        Set when the window asks a training run to end.
    give_way : Event, optional
        Set when the window waits for something else than the slice that is encoded ahead.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        stop: threading.Event,
        give_way: threading.Event | None = None,
    ) -> None:
        self._send = send
        self._stop = stop
        self._give_way = give_way or threading.Event()
        self._models: OrderedDict[tuple[Any, ...], _Loaded] = OrderedDict()
        # By what an adapter does to the encoder, not by its name: versions of the quick gear share
        # their parent's embeddings, those of the late gear what comes before the late part.
        self._cache = FeatureCache({"embedding": EMBEDDING_BYTES_KEPT, "prefix": PREFIX_BYTES_KEPT})
        self._disk_bytes = 0
        self._open_files: FeatureFiles | None = None

    def handle(self, message: Message) -> None:
        """Answer one request.

        Raises
        ------
        SamAdapterError
            With a message for the person.
        """
        handlers = {
            "hello": self._hello,
            "predict": self._predict,
            "encode": self._encode,
            "train": self._train,
        }
        if message.kind not in handlers:
            raise EngineError(f"unknown request {message.kind!r}")
        handlers[message.kind](message)

    def _hello(self, message: Message) -> None:
        device = choose_device(message.values.get("device", "auto"))
        precision = "bf16" if uses_bfloat16(device) else "fp32"
        self._send(Message("ready", {"device": str(device), "precision": precision}))

    def _predict(self, message: Message) -> None:
        start = time.monotonic()
        values, image = message.values, message.arrays["image"]
        loaded = self._model(values)
        model, card = loaded.model, loaded.card
        adapter_id = "" if card is None else card.adapter_id
        prompts = _prompts_from(message)
        self._cache.files = self._files(values)
        embedding = loaded.encoder.image(image, values["views"])
        embedding = loaded.encoder.for_prompts(image, embedding, prompts)
        prediction = decode_masks(model, embedding, prompts)
        # Confidence was measured without prompts; with them it would say something untrue.
        sure = None
        if not prompts:
            sure = confidence(card, prediction.expected_dice, len(embedding.features))
        reply = {
            "adapter_id": adapter_id,
            "confidence": sure,
            "seconds": time.monotonic() - start,
            "cached": embedding.is_known,
        }
        wanted = {"labels": prediction.labels}
        if values.get("logits"):
            wanted = {"logits": prediction.logits()}
        self._send(Message("prediction", reply, wanted))

    def _encode(self, message: Message) -> None:
        """Encode a slice that may be asked for next, unless something is asked for now."""
        values, image = message.values, message.arrays["image"]
        try:
            self._check_way()
            loaded = self._model(values)
            self._cache.files = self._files(values)
            loaded.encoder.image(image, values["views"], self._check_way)
        except _GaveWayError:
            self._send(Message("encoded", {"done": False}))
        else:
            self._send(Message("encoded", {"done": True}))

    def _check_way(self) -> None:
        if self._give_way.is_set():
            raise _GaveWayError

    def _train(self, message: Message) -> None:
        job = _job_from(message)
        self._cache.files = self._files(message.values)
        for event in run_job(job, should_stop=self._stop.is_set, cache=self._cache):
            if isinstance(event, AdapterSaved):
                values = {"path": str(event.path), "adapter_id": event.card.adapter_id}
                self._send(Message("saved", values))
                continue
            if isinstance(event, TrainingFinished):
                event = replace(event, state={})
            self._send(Message("event", {"type": type(event).__name__, "fields": asdict(event)}))

    def _model(self, values: Any) -> _Loaded:
        """Return the model of a request, loaded once."""
        path, base = values["adapter"], values["base"]
        device = choose_device(values.get("device", "auto"))
        key = (base, values.get("input_size"), path, _stamp(path), str(device))
        if key not in self._models:
            if path is None:
                settings = ModelSettings.default(base, values.get("input_size"))
                model, card = build_adapted_sam(settings), None
            else:
                model, card = load_adapter(Path(path), base=base)
            model.to_device(device).eval()
            encoder = Encoder(model, self._cache, keeps_prefixes=True)
            self._models[key] = _Loaded(model, card, encoder)
            while len(self._models) > MODELS_KEPT:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

    def _files(self, values: Any) -> FeatureFiles | None:
        """Return the features on the disk with the bound of a request, which rarely changes."""
        n_bytes = int(values.get("disk_bytes", 0))
        if n_bytes != self._disk_bytes:
            self._disk_bytes, self._open_files = n_bytes, open_feature_files(n_bytes)
        return self._open_files


def _stamp(path: str | None) -> tuple[int, int] | None:
    """Tell a file from an older one of the same name."""
    if path is None or not Path(path).is_file():
        return None
    stat = Path(path).stat()
    return stat.st_mtime_ns, stat.st_size


def _prompts_from(message: Message) -> Prompts:
    if "boxes" not in message.arrays:
        return NO_PROMPTS
    arrays = message.arrays
    class_index = int(message.values["class_index"])
    return Prompts(arrays["boxes"], arrays["points"], arrays["is_object"].astype(bool), class_index)


def _job_from(message: Message) -> TrainingJob:
    values, arrays = message.values, message.arrays
    samples = [
        TrainingSample(arrays[f"image{i}"], arrays[f"labels{i}"], name, group)
        for i, (name, group) in enumerate(values["names"])
    ]
    init, adapter, names = values["init"], values["adapter"], values["class_names"]
    if init is not None:
        read_card(Path(init))  # a clear error before anything is computed
    return TrainingJob(
        samples=samples,
        out=Path(values["out"]),
        refuge=None if values.get("refuge") is None else Path(values["refuge"]),
        config=TrainingConfig.from_dict(values["config"]),
        base=values["base"],
        init=None if init is None else Path(init),
        input_size=values["input_size"],
        adapter=None if adapter is None else AdapterConfig.from_dict(adapter),
        class_names=None if names is None else tuple(names),
        class_colors=tuple(values["class_colors"]),
        device=values["device"],
        notes=values["notes"],
        checkpoint=_checkpoint_from(values["checkpoint"]),
    )


def _checkpoint_from(values: dict[str, Any] | None) -> RunCheckpoint | None:
    if values is None:
        return None
    belongs_to = None if values.get("belongs_to") is None else Path(values["belongs_to"])
    return RunCheckpoint(Path(values["path"]), values["every"], values["resume"], belongs_to)
