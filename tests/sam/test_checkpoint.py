"""Adapter files: an exact round trip, and a clear refusal of everything that is not one."""

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.errors import CheckpointError, StorageError
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.checkpoint import load_adapter, save_adapter
from napari_sam_adapter.sam.predict import predict_masks

TENSOR = "adapter.stages.1.mlp_up.weight"


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.fixture
def path(tmp_path, tuned_sam) -> Path:
    path = tmp_path / "tuned.safetensors"
    save_adapter(path, tuned_sam, gear="full", training={"steps": 3}, parent_id="p")
    return path


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(str(path), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, file.metadata()


def with_card(path: Path, **changes: object) -> Path:
    tensors, metadata = read(path)
    card = {**json.loads(metadata["card"]), **changes}
    save_file(tensors, path, metadata={**metadata, "card": json.dumps(card)})
    return path


def with_tensors(path: Path, change) -> Path:
    tensors, metadata = read(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata)
    return path


def predictions_equal(one: AdaptedSam, other: AdaptedSam, image: np.ndarray) -> bool:
    pair = (predict_masks(model, image).low_res_masks for model in (one, other))
    return np.array_equal(*pair)


def test_a_loaded_adapter_predicts_exactly_what_was_saved(path, tuned_sam, lite_medsam, stack):
    loaded, _ = load_adapter(path)
    assert predictions_equal(loaded, tuned_sam, stack.frames[0])
    assert not predictions_equal(loaded, lite_medsam, stack.frames[0])


def test_the_card_tells_what_was_saved(path, tuned_sam):
    model, card = load_adapter(path, base="lite_medsam")
    assert model.settings == tuned_sam.settings
    spec = tuned_sam.spec
    assert (card.base_model, card.base_sha256) == (spec.name, spec.weights.sha256)
    assert (card.gear, card.parent_id, dict(card.training)) == ("full", "p", {"steps": 3})


def test_two_files_of_one_model_have_two_ids(path, tmp_path, tuned_sam):
    other = save_adapter(tmp_path / "other.safetensors", tuned_sam, gear="full")
    assert load_adapter(path)[1].adapter_id != other.adapter_id


def test_an_adapter_is_refused_on_another_base_and_both_are_named(path):
    with pytest.raises(
        CheckpointError, match=r"'lite_medsam' and cannot be loaded on 'mobile_sam'"
    ):
        load_adapter(path, base="mobile_sam")


def test_an_adapter_of_a_base_that_this_program_lacks_names_those_it_has(path):
    with pytest.raises(CheckpointError, match=r"'sam3'.*known are: lite_medsam"):
        load_adapter(with_card(path, base_model="sam3"))


def test_an_adapter_of_other_base_weights_is_refused(path):
    with pytest.raises(CheckpointError, match=r"hash ffffffffffff.*would compute"):
        load_adapter(with_card(path, base_sha256="f" * 64))


def test_an_input_size_that_the_base_does_not_offer_is_refused(path):
    with pytest.raises(CheckpointError, match=r"cannot be used.*input sizes"):
        load_adapter(with_card(path, input_size=100))


def test_an_adapter_for_stages_that_the_base_lacks_is_refused(path):
    config = AdapterConfig(stages=(1, 9)).to_dict()
    with pytest.raises(CheckpointError, match=r"cannot be used.*names stage 9"):
        load_adapter(with_card(path, adapter=config))


def test_a_newer_format_version_is_refused(path):
    tensors, metadata = read(path)
    save_file(tensors, path, metadata={**metadata, "format_version": "99"})
    with pytest.raises(CheckpointError, match="adapter format 99"):
        load_adapter(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_adapter(path)


def test_a_text_file_with_the_right_name_is_refused(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_text("These are my notes, and there are quite a few of them.")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_adapter(path)


def test_a_folder_with_the_right_name_is_refused(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="no adapter file"):
        load_adapter(tmp_path / "folder.safetensors")


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not an adapter of napari-sam-adapter"):
        load_adapter(path)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_is_refused_and_not_executed(tmp_path, write):
    target = tmp_path / "executed"
    path = tmp_path / "pickle.safetensors"
    with path.open("wb") as stream:
        write(Malicious(target), stream)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_adapter(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(TENSOR), f"missing {TENSOR}"),
        (lambda t: t.update(extra=torch.zeros(2)), "unexpected extra"),
        (
            lambda t: t.update({TENSOR: torch.zeros(3, 5)}),
            rf"{TENSOR} has shape \(3, 5\), expected",
        ),
        (lambda t: t[TENSOR].view(-1)[7].fill_(float("nan")), f"{TENSOR}.*not numbers"),
        (lambda t: t[TENSOR].view(-1)[7].fill_(float("inf")), f"{TENSOR}.*not numbers"),
        (lambda t: t.update({TENSOR: t[TENSOR].to(torch.int32)}), f"{TENSOR}.*not numbers"),
    ],
    ids=["missing", "unexpected", "wrong shape", "NaN", "infinite", "integer"],
)
def test_tensors_that_do_not_fit_are_refused_and_named(path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_adapter(with_tensors(path, change))


def test_many_wrong_tensors_are_counted_rather_than_listed(path):
    _, metadata = read(path)
    save_file({"extra": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"and \d+ more") as caught:
        load_adapter(path)
    assert len(str(caught.value)) < 1000


def test_a_full_disk_keeps_the_old_file_and_leaves_no_other(path, lite_medsam, monkeypatch):
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        save_adapter(path, lite_medsam, gear="quick")
    assert path.read_bytes() == before
    assert load_adapter(path)[1].gear == "full"
    assert list(path.parent.iterdir()) == [path]
