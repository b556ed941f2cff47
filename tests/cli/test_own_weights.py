"""Base weights that cannot be used are refused before any image is read, and nothing is written."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_sam_adapter.cli import main
from napari_sam_adapter.sam.registry import LITE_MEDSAM, MOBILE_SAM
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE

TRAIN = "train --images images --masks masks --out a.safetensors --steps 1"
OTHERS = ("predict images --out out", "evaluate --images images --masks masks")
COMMANDS = (TRAIN, *OTHERS)
State = dict[str, Tensor]


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_short(state: State, path: Path) -> None:
    torch.save(state, path)
    half(path)


def cut_short_of_old(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)
    half(path)


def cut_short_safetensors(state: State, path: Path) -> None:
    save_file(state, path)
    half(path)


def with_a_tensor_missing(end: str) -> Callable[[State, Path], None]:
    def save(state: State, path: Path) -> None:
        del state[next(key for key in state if key.endswith(end))]
        torch.save(state, path)

    return save


def with_a_tensor_changed(end: str, change: Callable[[Tensor], Tensor]):
    def save(state: State, path: Path) -> None:
        key = next(key for key in state if key.endswith(end))
        torch.save(state | {key: change(state[key])}, path)

    return save


def safetensors_with_one_missing(state: State, path: Path) -> None:
    del state["mask_decoder.iou_token.weight"]
    save_file(state, path)


def text(state: State, path: Path) -> None:
    path.write_text("these are the weights")


def of_another_method(state: State, path: Path) -> None:
    torch.save({"w_a_000": torch.zeros(2), "mask_decoder.iou_token.weight": torch.zeros(2)}, path)


DAMAGES = {
    "cut short": (cut_short, "it is damaged, or only a part of the file"),
    "cut short, as torch wrote once": (cut_short_of_old, "damaged, or only a part of the file"),
    "cut short safetensors": (cut_short_safetensors, "damaged, or only a part of the file"),
    "text": (text, "it is no file that torch.save wrote"),
    "another method": (of_another_method, "looks like a checkpoint of SAMed"),
    "a tensor missing": (with_a_tensor_missing("iou_token.weight"), "iou_token.weight"),
    "a norm not whole": (with_a_tensor_missing(".bn.weight"), "do not fit .*bn.weight is missing"),
    "a norm of another width": (
        with_a_tensor_changed(".bn.weight", lambda x: x[:3]),
        "do not fit the base model lite_medsam",
    ),
    "a tensor of another shape": (
        with_a_tensor_changed("iou_token.weight", lambda x: x[:, :3]),
        "size mismatch for mask_decoder.iou_token.weight",
    ),
    "safetensors with one missing": (safetensors_with_one_missing, "iou_token.weight"),
}


@pytest.fixture
def where(tmp_path, monkeypatch) -> Path:
    """Work where no image can be read, so that whoever reads one says so."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "frame.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("command", "damage"),
    [(TRAIN, damage) for damage in DAMAGES]
    + [(command, damage) for command in OTHERS for damage in ("cut short", "a norm not whole")],
)
def test_weights_of_ones_own_are_refused_before_images_are_read(where, capsys, command, damage):
    make, words = DAMAGES[damage]
    weights = where / "own.pth"
    make(torch.load(LITE_MEDSAM.weights.locate(), weights_only=True), weights)
    before = weights.read_bytes()
    said = refusal(f"{command} --model lite_medsam@own.pth", capsys)
    assert re.search(words, said), said
    assert weights.read_bytes() == before
    assert {path.name for path in where.iterdir()} == {"images", "masks", "own.pth"}


@pytest.mark.parametrize("command", COMMANDS)
def test_weights_of_another_model_are_named_before_images_are_read(where, capsys, command):
    said = refusal(f"{command} --model mobile_sam@{LITE_MEDSAM.weights.locate()}", capsys)
    assert "holds the weights of lite_medsam, and mobile_sam was asked for" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_download_is_refused_before_images_are_read(where, monkeypatch, capsys, command):
    monkeypatch.setenv(MODELS_VARIABLE, str(where))
    (where / MOBILE_SAM.weights.name).write_bytes(b"half of it")
    said = refusal(f"{command} --model mobile_sam", capsys)
    assert "are not the published ones" in said
    assert (where / MOBILE_SAM.weights.name).read_bytes() == b"half of it"


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("command", OTHERS)
def test_weights_that_are_no_numbers_predict_nothing(capsys, command):
    state = torch.load(LITE_MEDSAM.weights.locate(), weights_only=True)
    with_a_tensor_changed("iou_token.weight", lambda x: x * torch.nan)(state, Path("own.pth"))
    said = refusal(f"{command} --model lite_medsam@own.pth", capsys)
    assert "own.pth was not loaded: its tensor mask_decoder.iou_token.weight holds values" in said
