"""What a computing process does with a request. Runs in the child only; imports torch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.confidence import confidence
from napari_sam_adapter.engine.job_message import job_in
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.errors import EngineError
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.devices import choose_device, precision_on, uses_bfloat16
from napari_sam_adapter.sam.encode import Encoder
from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.sam.feature_files import FeatureFiles, open_feature_files
from napari_sam_adapter.sam.late import prepare_late
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.training.encode_ahead import encode_ahead
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.job import AdapterSaved, run_job

MODELS_KEPT = 3
# Enough for the slices at hand; more would make memory grow with the length of a volume.
EMBEDDING_BYTES_KEPT = 64 * 1024 * 1024
PREFIX_BYTES_KEPT = 128 * 1024 * 1024
# What is prepared is used by the run that follows, and gone with its process.
PREPARED_BYTES_KEPT = 256 * 1024 * 1024


class _Loaded(NamedTuple):
    """A model, its adapter's card (None for the base model), and its encoder."""

    model: AdaptedSam
    card: AdapterCard | None
    encoder: Encoder


class _GaveWayError(Exception):
    """Leave what is done ahead: the window waits for something else."""


class Worker:
    """Handles requests, keeping models and image embeddings between them.

    Parameters
    ----------
    send : callable
        Sends a message to the window.
    stop : Event
        Set when the window asks a training run to end.
    give_way : Event, optional
        Set when the window waits for something else than what is done ahead.
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
            "prepare": self._prepare,
        }
        if message.kind not in handlers:
            raise EngineError(f"unknown request {message.kind!r}")
        handlers[message.kind](message)

    def _hello(self, message: Message) -> None:
        device = choose_device(message.values["device"])
        ready = {"device": str(device), "precision": precision_on(device)}
        self._send(Message("ready", ready))

    def _predict(self, message: Message) -> None:
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
            "cached": embedding.is_known,
            "bf16": uses_bfloat16(model.device),
        }
        wanted = {"labels": prediction.labels}
        if values.get("logits"):
            wanted = {"logits": prediction.logits()}
        self._send(Message("prediction", reply, wanted))

    def _encode(self, message: Message) -> None:
        """Encode a slice that may be asked for next, unless something is asked for now."""
        values, image = message.values, message.arrays["image"]
        with self._giving_way():
            self._check_way()
            loaded = self._model(values)
            self._cache.files = self._files(values)
            loaded.encoder.image(image, values["views"], self._check_way)

    def _prepare(self, message: Message) -> None:
        """Encode what a run may ask for, unless one is asked for now."""
        with self._giving_way():
            self._check_way()
            # torch's optimizers load it when the first one is made, which takes a second.
            import torch._dynamo  # noqa: F401

            self._cache.files = self._files(message.values)
            if message.values["begins_anew"]:
                for kind in ("embedding", "prefix"):
                    self._cache.begin_anew(kind, PREPARED_BYTES_KEPT)
            job = job_in(message)
            encode_ahead(job, self._cache, message.values["n_views"], self._check_way)

    @contextmanager
    def _giving_way(self) -> Iterator[None]:
        """Answer whether work that is done ahead came to its end."""
        done = True
        try:
            yield
        except _GaveWayError:
            done = False
        self._send(Message("worked_ahead", {"done": done}))

    def _check_way(self) -> None:
        if self._give_way.is_set():
            raise _GaveWayError

    def _train(self, message: Message) -> None:
        job = job_in(message)
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
            prepare_late(model)  # so that what enters the late part is there when it is trained
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
