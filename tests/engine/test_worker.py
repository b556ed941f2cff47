"""What the computing process keeps between predictions: equal results, for less work."""

import threading

import numpy as np
import pytest
import torch

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine import worker as worker_module
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.engine.worker import Worker
from napari_sam_adapter.sam import predict as predict_module
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter

SIZE = 112


@pytest.fixture
def image() -> np.ndarray:
    return synthetic_polyps(1, (64, 64), seed=5).frames[0]


@pytest.fixture
def adapters(tmp_path):
    """Write an adapter, and three made from it that differ where a gear trains: file by gear."""
    model = build_adapted_sam(ModelSettings.default("lite_medsam", SIZE))
    generator = torch.Generator().manual_seed(1)

    def change(parameters, amount: float) -> None:
        with torch.no_grad():
            for p in parameters:
                p.add_(torch.randn(p.shape, generator=generator) * amount)

    change(model.adapter.parameters(), 0.02)
    paths = {"parent": tmp_path / "parent.safetensors"}
    save_adapter(paths["parent"], model, gear="full")
    late = model.adapter.parts_after(model.base.encoder.late_cut)
    changes = {
        "quick": [p for p in model.decoder_parameters() if p.ndim > 1],
        "late": [p for part in late for p in part.parameters()],
        "full": list(model.adapter.parameters()),
    }
    for gear, parameters in changes.items():
        change(parameters, 0.02)
        paths[gear] = tmp_path / f"{gear}.safetensors"
        save_adapter(paths[gear], model, gear=gear)
    return paths


def predicted(worker_sent: list[Message], worker: Worker, image, path) -> np.ndarray:
    values = {
        "base": "lite_medsam",
        "adapter": None if path is None else str(path),
        "input_size": SIZE,
        "device": "cpu",
        "views": 2,
        "logits": True,
    }
    worker.handle(Message("predict", values, {"image": image}))
    return worker_sent[-1].arrays["logits"]


@pytest.fixture
def counted(monkeypatch) -> dict[str, int]:
    counts = {"encode_image_before": 0, "encode_image_after": 0}
    for name in counts:
        original = getattr(worker_module, name)

        def count(*given, _original=original, _name=name):
            counts[_name] += 1
            return _original(*given)

        monkeypatch.setattr(worker_module, name, count)
    return counts


def new_worker() -> tuple[list[Message], Worker]:
    sent: list[Message] = []
    return sent, Worker(sent.append, threading.Event())


@pytest.mark.parametrize(
    ("gear", "before", "after"), [("quick", 0, 0), ("late", 0, 1), ("full", 1, 1)]
)
def test_a_slice_seen_before_is_encoded_as_far_as_the_new_version_differs(
    adapters, image, counted, gear, before, after
):
    parent = {"quick": "parent", "late": "quick", "full": "late"}[gear]
    sent, worker = new_worker()
    old = predicted(sent, worker, image, adapters[parent])
    counted.update(dict.fromkeys(counted, 0))
    found = predicted(sent, worker, image, adapters[gear])
    assert counted == {"encode_image_before": before, "encode_image_after": after}
    assert not np.allclose(found, old, atol=1e-3)
    np.testing.assert_array_equal(found, predicted(*new_worker(), image, adapters[gear]))


def test_another_image_of_the_same_size_is_not_taken_for_the_first(adapters, image, counted):
    sent, worker = new_worker()
    predicted(sent, worker, image, adapters["late"])
    other = predicted(sent, worker, image[::-1].copy(), adapters["late"])
    assert counted["encode_image_before"] == 2
    np.testing.assert_array_equal(
        other, predicted(*new_worker(), image[::-1].copy(), adapters["late"])
    )


def test_memory_for_encoded_slices_has_a_bound(adapters, image, monkeypatch):
    monkeypatch.setattr(worker_module, "PREFIX_BYTES_KEPT", 1)
    monkeypatch.setattr(worker_module, "EMBEDDING_BYTES_KEPT", 1)
    sent, worker = new_worker()
    for shift in range(3):
        predicted(sent, worker, np.roll(image, shift, 0), adapters["late"])
    assert len(worker._prefixes) == len(worker._embeddings) == 1


def encode(worker: Worker, image, path) -> None:
    values = {"base": "lite_medsam", "adapter": str(path), "device": "cpu", "views": 2}
    worker.handle(Message("encode", values, {"image": image}))


def test_a_slice_encoded_ahead_is_predicted_without_encoding_it_again(adapters, image, counted):
    sent, worker = new_worker()
    encode(worker, image, adapters["late"])
    assert (sent[-1].kind, sent[-1].values) == ("encoded", {"done": True})
    counted.update(dict.fromkeys(counted, 0))
    found = predicted(sent, worker, image, adapters["late"])
    assert sent[-1].values["cached"]
    assert counted == dict.fromkeys(counted, 0)
    fresh_sent, fresh = new_worker()
    np.testing.assert_array_equal(found, predicted(fresh_sent, fresh, image, adapters["late"]))
    assert not fresh_sent[-1].values["cached"]


def test_encoding_ahead_ends_between_two_views_when_the_window_wants_something(
    adapters, image, monkeypatch
):
    sent, give_way = [], threading.Event()
    worker = Worker(sent.append, threading.Event(), give_way)
    n_views = 0

    def encode_one_view(*given):
        nonlocal n_views
        n_views += 1
        give_way.set()  # meanwhile
        return original(*given)

    original = predict_module.encode_before
    monkeypatch.setattr(predict_module, "encode_before", encode_one_view)
    encode(worker, image, adapters["late"])
    assert (sent[-1].values, n_views) == ({"done": False}, 1)
    encode(worker, image, adapters["late"])
    assert n_views == 1, "it was told already, and begins nothing"
