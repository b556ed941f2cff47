"""What the computing process keeps between predictions: equal results, for less work."""

import copy
import math
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine import worker as worker_module
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.engine.worker import Worker
from napari_sam_adapter.sam import encode as encode_module
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.sam.encode import Encoder
from napari_sam_adapter.sam.feature_files import FOLDER_VARIABLE
from napari_sam_adapter.sam.late import prepare_late
from napari_sam_adapter.sam.tiny_vit import MBConv
from napari_sam_adapter.training.config import TrainingConfig
from tests.sam.test_late import small_vit

SIZE, VIEWS = 112, 2


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


def predicted(
    worker_sent: list[Message], worker: Worker, image, path, disk_bytes: int = 0
) -> np.ndarray:
    values = {
        "base": "lite_medsam",
        "adapter": None if path is None else str(path),
        "input_size": SIZE,
        "device": "cpu",
        "views": VIEWS,
        "logits": True,
        "disk_bytes": disk_bytes,
    }
    worker.handle(Message("predict", values, {"image": image}))
    return worker_sent[-1].arrays["logits"]


@pytest.fixture
def counted(monkeypatch) -> dict[str, int]:
    counts = {"encode_before": 0, "encode_after": 0}
    for name in counts:
        original = getattr(encode_module, name)

        def count(*given, _original=original, _name=name):
            counts[_name] += 1
            return _original(*given)

        monkeypatch.setattr(encode_module, name, count)
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
    assert counted == {"encode_before": VIEWS * before, "encode_after": VIEWS * after}
    assert not np.allclose(found, old, atol=1e-3)
    np.testing.assert_array_equal(found, predicted(*new_worker(), image, adapters[gear]))


def test_so_it_is_after_the_first_late_run_of_a_plain_vit_which_forks_its_adapter(
    tmp_path, image, counted, monkeypatch
):
    models = {}

    def load(path, base):
        return copy.deepcopy(models[path.name]), None

    monkeypatch.setattr(worker_module, "load_adapter", load)
    models["quick"] = small_vit()
    models["late"] = copy.deepcopy(models["quick"])
    prepare_late(models["late"])
    with torch.no_grad():
        for parameter in models["late"].adapter.late.parameters():
            parameter.add_(0.1)
    sent, worker = new_worker()
    old = predicted(sent, worker, image, tmp_path / "quick")
    expected = Encoder(models["quick"]).image(image).features
    torch.testing.assert_close(
        Encoder(models["quick"], worker._cache).image(image).features, expected, rtol=0, atol=0
    )
    counted.update(dict.fromkeys(counted, 0))
    found = predicted(sent, worker, image, tmp_path / "late")
    assert counted == {"encode_before": 0, "encode_after": VIEWS}
    assert not np.allclose(found, old, atol=1e-3)
    np.testing.assert_array_equal(found, predicted(*new_worker(), image, tmp_path / "late"))


def test_another_image_of_the_same_size_is_not_taken_for_the_first(adapters, image, counted):
    sent, worker = new_worker()
    predicted(sent, worker, image, adapters["late"])
    other = predicted(sent, worker, image[::-1].copy(), adapters["late"])
    assert counted["encode_before"] == 2 * VIEWS
    np.testing.assert_array_equal(
        other, predicted(*new_worker(), image[::-1].copy(), adapters["late"])
    )


def test_memory_for_encoded_slices_has_a_bound(adapters, image, monkeypatch):
    monkeypatch.setattr(worker_module, "PREFIX_BYTES_KEPT", 1)
    monkeypatch.setattr(worker_module, "EMBEDDING_BYTES_KEPT", 1)
    sent, worker = new_worker()
    for shift in range(3):
        predicted(sent, worker, np.roll(image, shift, 0), adapters["late"])
    assert {kind: len(kept) for kind, kept in worker._cache.memory.items()} == {
        "embedding": 1,
        "prefix": 1,
    }


def encode(worker: Worker, image, path) -> None:
    values = {"base": "lite_medsam", "adapter": str(path), "device": "cpu", "views": VIEWS}
    worker.handle(Message("encode", values, {"image": image}))


def test_a_slice_encoded_ahead_is_predicted_without_encoding_it_again(adapters, image, counted):
    sent, worker = new_worker()
    encode(worker, image, adapters["late"])
    assert (sent[-1].kind, sent[-1].values) == ("worked_ahead", {"done": True})
    counted.update(dict.fromkeys(counted, 0))
    found = predicted(sent, worker, image, adapters["late"])
    assert sent[-1].values["cached"]
    assert counted == dict.fromkeys(counted, 0)
    fresh_sent, fresh = new_worker()
    np.testing.assert_array_equal(found, predicted(fresh_sent, fresh, image, adapters["late"]))
    assert not fresh_sent[-1].values["cached"]


def test_encoding_ahead_ends_before_the_next_block_when_the_window_wants_something(
    adapters, image, monkeypatch
):
    sent, give_way = [], threading.Event()
    worker = Worker(sent.append, threading.Event(), give_way)
    n_blocks = 0

    def one_block(*given):
        nonlocal n_blocks
        n_blocks += 1
        give_way.set()  # meanwhile
        return original(*given)

    original = MBConv.forward
    monkeypatch.setattr(MBConv, "forward", one_block)
    encode(worker, image, adapters["late"])
    assert (sent[-1].values, n_blocks) == ({"done": False}, 1)
    encode(worker, image, adapters["late"])
    assert n_blocks == 1, "it was told already, and begins nothing"
    predicted(sent, worker, image, adapters["late"])
    assert n_blocks > 2, "what is asked for does not give way"


DISK = 1024**3


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """Return the folder on the disk, where nothing is yet."""
    folder = tmp_path / "features"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


def test_a_new_process_finds_what_an_earlier_one_has_encoded(adapters, image, counted, disk):
    expected = predicted(*new_worker(), image, adapters["late"], DISK)
    assert len(list(disk.iterdir())) == 2 * VIEWS
    counted.update(dict.fromkeys(counted, 0))
    sent, worker = new_worker()
    found = predicted(sent, worker, image, adapters["late"], DISK)
    np.testing.assert_array_equal(found, expected)
    assert sent[-1].values["cached"]
    assert counted == dict.fromkeys(counted, 0)


def test_nothing_is_on_the_disk_unless_it_is_asked_for(adapters, image, counted, disk):
    sent, worker = new_worker()
    predicted(sent, worker, image, adapters["late"])
    assert not disk.exists()
    predicted(sent, worker, image[::-1].copy(), adapters["late"], DISK)
    n_files = len(list(disk.iterdir()))
    predicted(sent, worker, image[:, ::-1].copy(), adapters["late"])
    assert len(list(disk.iterdir())) == n_files == 2 * VIEWS


def train_message(frames, masks, out, init, gear: str, disk_bytes: int) -> Message:
    config = TrainingConfig(gear=gear, max_seconds=math.inf, max_steps=3)
    values = {
        "names": [(f"slice {i}", "") for i in range(len(frames))],
        "out": str(out),
        "config": config.to_dict(),
        "base": "lite_medsam",
        "init": str(init),
        "input_size": None,
        "adapter": None,
        "class_names": None,
        "class_colors": [],
        "device": "cpu",
        "notes": {},
        "checkpoint": None,
        "disk_bytes": disk_bytes,
    }
    arrays = {f"image{i}": frame for i, frame in enumerate(frames)}
    arrays |= {f"labels{i}": mask for i, mask in enumerate(masks)}
    return Message("train", values, arrays)


@pytest.fixture
def slices():
    stack = synthetic_polyps(7, (64, 64), seed=5)
    return list(stack.frames), [mask.astype(np.uint8) for mask in stack.masks]


@pytest.fixture
def n_encoded(monkeypatch) -> list[int]:
    """Count how often an encoder computes, all of it or its frozen part."""
    count = [0]
    for owner, name in ((AdaptedSam, "encode"), (encode_module, "encode_before")):
        original = getattr(owner, name)

        def counted(*given, _original=original):
            count[0] += 1
            return _original(*given)

        monkeypatch.setattr(owner, name, counted)
    return count


@pytest.mark.parametrize("gear", ["quick", "late"])
def test_training_takes_from_the_disk_what_predictions_have_encoded(
    adapters, slices, disk, tmp_path, n_encoded, gear
):
    """And ends with the same adapter as one that computes all by itself."""

    def trained(name: str, disk_bytes: int) -> tuple[dict, int]:
        n_encoded[0] = 0
        _, worker = new_worker()
        out = tmp_path / f"{name}.safetensors"
        worker.handle(train_message(*slices, out, adapters["parent"], gear, disk_bytes))
        return load_file(out), n_encoded[0]

    plain, n_plain = trained("plain", 0)
    sent, window = new_worker()
    for frame in slices[0]:
        predicted(sent, window, frame, adapters["parent"], DISK)
    shared, n_shared = trained("shared", DISK)
    again, n_again = trained("again", DISK)
    for name, tensor in plain.items():
        assert torch.equal(tensor, shared[name]), name
        assert torch.equal(tensor, again[name]), name
    # In the first three steps each slice is as it is: all that are learned from or held out had
    # been predicted. After the late gear, the held-out one is encoded by the new version.
    assert n_plain > 3
    assert n_shared == (1 if gear == "late" else 0) * VIEWS
    assert n_again <= n_shared


def prepared(message: Message, begins_anew: bool) -> Message:
    """Turn the request of a run into one to prepare for it."""
    values = {**message.values, "n_views": 8, "begins_anew": begins_anew}
    return Message("prepare", values, message.arrays)


@pytest.mark.parametrize("gear", ["quick", "late"])
def test_a_run_encodes_nothing_that_was_prepared_and_learns_the_same(
    adapters, slices, tmp_path, n_encoded, gear
):
    frames, masks = slices

    def trained(name: str, *prepared: Message) -> tuple[dict, int]:
        sent, worker = new_worker()
        for message in prepared:
            worker.handle(message)
            assert (sent[-1].kind, sent[-1].values) == ("worked_ahead", {"done": True})
        n_encoded[0] = 0
        out = tmp_path / f"{name}.safetensors"
        worker.handle(train_message(frames, masks, out, adapters["parent"], gear, 0))
        return load_file(out), n_encoded[0]

    def prepare(which: slice, begins_anew: bool) -> Message:
        """Some of the slices, as the person corrects them, with the masks of that moment."""
        other_masks = [mask[::-1].copy() for mask in masks[which]]
        message = train_message(
            frames[which], other_masks, tmp_path / "no.safetensors", adapters["parent"], gear, 0
        )
        return prepared(message, begins_anew)

    plain, n_plain = trained("plain")
    ahead, n_ahead = trained("ahead", prepare(slice(2, 7), True), prepare(slice(2), False))
    for name, tensor in plain.items():
        assert torch.equal(tensor, ahead[name]), name
    assert n_plain > 3
    # After the late gear, the held-out slice is encoded by the new version.
    assert n_ahead == (VIEWS if gear == "late" else 0)
    assert not (tmp_path / "no.safetensors").exists()


def test_what_comes_first_is_prepared_where_there_is_no_room_for_all(
    adapters, slices, tmp_path, n_encoded, monkeypatch
):
    """And what was prepared for an older version leaves its room."""
    message = train_message(*slices, tmp_path / "a", adapters["parent"], "quick", 0)
    sent, worker = new_worker()
    worker.handle(prepared(message, True))
    embeddings = worker._cache.memory["embedding"]
    assert n_encoded[0] == len(embeddings) == 7 * 8
    size = sum(x.numel() * x.element_size() for x in next(iter(embeddings.values())).values())
    monkeypatch.setattr(worker_module, "PREPARED_BYTES_KEPT", 9 * size)
    for begins_anew, n_more in ((True, 9), (False, 0)):
        n_encoded[0] = 0
        worker.handle(prepared(message, begins_anew))
        assert sent[-1].values == {"done": True}
        assert n_encoded[0] == n_more
    worker.handle(message)
    assert n_encoded[0] == 1, "the half turn of the slice that is held out"


def test_preparing_ends_before_the_next_block_when_a_run_is_asked_for(
    adapters, slices, tmp_path, n_encoded
):
    sent: list[Message] = []
    asked = threading.Event()
    worker = Worker(sent.append, threading.Event(), asked)
    message = train_message(*slices, tmp_path / "no", adapters["parent"], "quick", 0)
    asked.set()
    worker.handle(prepared(message, True))
    assert (sent[-1].kind, sent[-1].values) == ("worked_ahead", {"done": False})
    assert n_encoded[0] == 0


def test_a_version_that_was_trained_since_gets_no_features_of_its_parent(
    adapters, slices, disk, tmp_path
):
    frame = slices[0][0]
    sent, worker = new_worker()
    old = predicted(sent, worker, frame, adapters["parent"], DISK)
    for gear in ("quick", "late", "full"):
        out = tmp_path / f"trained {gear}.safetensors"
        new_worker()[1].handle(train_message(*slices, out, adapters["parent"], gear, DISK))
        found = predicted(sent, worker, frame, out, DISK)
        np.testing.assert_array_equal(found, predicted(*new_worker(), frame, out))
        assert not np.array_equal(found, old)
