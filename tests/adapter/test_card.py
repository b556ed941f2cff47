"""The card inside an adapter file, and what is refused before any tensor is read."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_sam_adapter.adapter.card import FORMAT_VERSION, AdapterCard, read_card
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.errors import CheckpointError

CARD = AdapterCard(
    adapter_id="a1",
    base_model="lite_medsam",
    base_sha256="00",
    gear="full",
    input_size=128,
    normalisation="min-max",
    standing_prompt="whole_image_box",
    class_names=("polyp", "später"),
    adapter=AdapterConfig(stages=(1, 3), reduction=4),
    training={"n_slices": 3, "held_out_dice_after": None},
    created="2026-01-02T03:04:05+00:00",
    parent_id="a0",
)


def written(path: Path, metadata: dict[str, str] | None) -> Path:
    save_file({"x": np.zeros(2, np.float32)}, path, metadata=metadata)
    return path


def test_a_card_is_read_as_it_was_written(tmp_path):
    assert read_card(written(tmp_path / "a.safetensors", CARD.to_metadata())) == CARD


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no adapter file at .*nowhere\.safetensors"):
        read_card(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("look", ["stat", "open"])
def test_a_file_that_may_not_be_read_is_told_in_a_sentence(tmp_path, monkeypatch, look):
    path = written(tmp_path / "closed.safetensors", CARD.to_metadata())

    def refuse(path, *args, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, look, refuse)
    with pytest.raises(CheckpointError, match=r"closed.* not be read \(Permission denied\)\."):
        read_card(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_safetensors_file_of_another_program_is_refused(tmp_path, metadata):
    with pytest.raises(CheckpointError, match="not an adapter of napari-sam-adapter"):
        read_card(written(tmp_path / "foreign.safetensors", metadata))


@pytest.mark.parametrize("version", [str(FORMAT_VERSION + 1), "", "1.5", "new"])
def test_a_newer_or_unknown_format_version_asks_for_an_update(tmp_path, version):
    metadata = {**CARD.to_metadata(), "format_version": version}
    with pytest.raises(CheckpointError, match="Update napari-sam-adapter"):
        read_card(written(tmp_path / "newer.safetensors", metadata))


def without(key: str) -> str:
    values = json.loads(CARD.to_metadata()["card"])
    del values[key]
    return json.dumps(values)


@pytest.mark.parametrize(
    "part_of",
    [
        lambda card: card,
        lambda card: card["adapter"],
        lambda card: card["adapter"]["conditions"][0],
    ],
    ids=["card", "adapter", "condition"],
)
def test_a_card_that_says_more_than_is_known_here_asks_for_an_update(tmp_path, part_of):
    metadata = CARD.to_metadata()
    values = json.loads(metadata["card"])
    part_of(values)["resampling"] = "lanczos"
    metadata["card"] = json.dumps(values)
    with pytest.raises(CheckpointError, match=r"newer version .* also has resampling\. Update"):
        read_card(written(tmp_path / "newer.safetensors", metadata))


@pytest.mark.parametrize(
    "card",
    [
        "",
        "{",
        "[]",
        "{}",
        without("base_model"),
        without("adapter"),
        CARD.to_metadata()["card"].replace('"stages": [1, 3]', '"stages": []'),
    ],
)
def test_a_damaged_card_is_refused(tmp_path, card):
    metadata = {**CARD.to_metadata(), "card": card}
    with pytest.raises(CheckpointError, match=r"card inside .* is damaged"):
        read_card(written(tmp_path / "damaged.safetensors", metadata))


def test_the_card_of_a_file_without_a_card_entry_is_damaged(tmp_path):
    metadata = CARD.to_metadata()
    del metadata["card"]
    with pytest.raises(CheckpointError, match="is damaged"):
        read_card(written(tmp_path / "damaged.safetensors", metadata))


def test_the_training_summary_may_hold_any_json(tmp_path):
    card = replace(CARD, training={"slices": ["a", "ü"], "config": {"max_steps": None}})
    assert read_card(written(tmp_path / "a.safetensors", card.to_metadata())) == card
