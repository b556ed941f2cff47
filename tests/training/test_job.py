"""A whole run: from the base model or an adapter to a new adapter file."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.errors import StorageError, TrainingError, WeightsError
from napari_sam_adapter.sam.checkpoint import load_adapter, save_adapter
from napari_sam_adapter.sam.devices import bfloat16_decided
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE
from napari_sam_adapter.training import step
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import StepReport, TrainingFinished, TrainingStarted
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.summary import Curve


def job(samples, out: Path, *, gear: str = "quick", steps: int = 2, **values) -> TrainingJob:
    config = TrainingConfig(gear=gear, max_seconds=math.inf, max_steps=steps)
    return TrainingJob(samples=samples, out=out, config=config, base="lite_medsam", **values)


@pytest.fixture
def parent(tmp_path, tuned_sam) -> Path:
    path = tmp_path / "parent.safetensors"
    save_adapter(path, tuned_sam, gear="full")
    return path


def test_a_run_ends_with_a_file_that_holds_its_result(samples, tmp_path):
    started, *_, finished, saved = run_job(job(samples[:2], tmp_path / "a.safetensors"))
    assert isinstance(started, TrainingStarted)
    assert isinstance(finished, TrainingFinished)
    assert isinstance(saved, AdapterSaved)
    model, card = load_adapter(saved.path)
    assert card == saved.card
    for key, value in model.state_dict().items():
        assert torch.equal(value, finished.state[key])


def test_the_summary_in_the_file_tells_what_was_done(samples, tmp_path):
    *_, saved = run_job(job(samples[:7], tmp_path / "a.safetensors", notes={"source": "tests"}))
    summary = saved.card.training
    assert (summary["n_slices"], summary["n_training"], summary["n_held_out"]) == (7, 6, 1)
    assert (summary["steps"], summary["ended"], summary["source"]) == (2, "completed", "tests")
    assert summary["slices"] == [sample.name for sample in samples[:7]]
    digests = [[sample.digest, sample.labels_digest] for sample in samples[:7]]
    assert summary["masks"] == digests
    assert [step for step, _ in summary["curve"]["loss"]] == [1, 2]
    assert summary["curve"]["held_out_dice"][0] == [0, summary["held_out_scores"][0][1]]
    ((name, before, after),) = summary["held_out_scores"]
    assert name in summary["slices"]
    assert before == pytest.approx(summary["held_out_dice_before"], abs=1e-4)
    assert after == pytest.approx(summary["held_out_dice_after"], abs=1e-4)


def test_the_card_is_json_that_any_program_can_read(samples, tmp_path):
    *_, saved = run_job(job(samples[:2], tmp_path / "a.safetensors"))

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    json.loads(saved.card.to_metadata()["card"], parse_constant=refuse)


def test_the_card_says_where_and_in_which_precision_a_run_was_computed(samples, tmp_path):
    said = []
    for in_bf16 in (False, True):
        with bfloat16_decided(in_bf16):
            *_, saved = run_job(job(samples[:1], tmp_path / f"{in_bf16}.safetensors", steps=1))
        said.append((saved.card.training["device"], saved.card.training["precision"]))
    assert said == [("cpu", "fp32"), ("cpu", "bf16")]


def test_a_run_continues_from_an_adapter(samples, tmp_path, parent, tuned_sam):
    *_, saved = run_job(job(samples[:1], tmp_path / "child.safetensors", init=parent, steps=1))
    assert saved.card.parent_id == load_adapter(parent)[1].adapter_id
    child, image = load_adapter(saved.path)[0], samples[0].image
    found, expected = (predict_masks(model, image).low_res_masks for model in (child, tuned_sam))
    # One step at the small first learning rate: the child is still close to its parent.
    assert 0 < np.abs(found - expected).max() < 0.2 * np.abs(expected).max()


def test_a_quick_run_on_a_full_adapter_is_still_a_full_adapter(samples, tmp_path, parent):
    *_, saved = run_job(job(samples[:1], tmp_path / "child.safetensors", init=parent, steps=1))
    assert saved.card.gear == "full"
    assert saved.card.training["gear_of_this_run"] == "quick"


def test_an_adapter_is_trained_on_at_another_input_size(samples, tmp_path, parent):
    out = tmp_path / "child.safetensors"
    *_, saved = run_job(job(samples[:1], out, init=parent, input_size=192, steps=1))
    assert saved.card.input_size == 192
    assert saved.card.parent_id == read_card(parent).adapter_id


def test_an_input_size_that_is_not_offered_is_refused(samples, tmp_path, parent):
    wanted = job(samples[:1], tmp_path / "child.safetensors", init=parent, input_size=130)
    with pytest.raises(WeightsError, match=r"takes input sizes .* not 130"):
        list(run_job(wanted))


def test_a_file_that_is_no_adapter_is_never_replaced(samples, tmp_path):
    out = tmp_path / "mask.png"
    out.write_bytes(b"somebody's work")
    with pytest.raises(StorageError, match=r"mask\.png is there already and is not an adapter"):
        list(run_job(job(samples[:1], out)))
    assert out.read_bytes() == b"somebody's work"


def test_a_run_stopped_before_its_first_step_writes_nothing(samples, tmp_path):
    out = tmp_path / "a.safetensors"
    with pytest.raises(TrainingError, match="stopped before its first step"):
        list(run_job(job(samples[:1], out), should_stop=lambda: True))
    assert not out.exists()


def test_a_stopped_run_keeps_its_adapter(samples, tmp_path):
    looks = iter([False, False, True])
    wanted = job(samples[:1], tmp_path / "a.safetensors", steps=50)
    *_, saved = run_job(wanted, should_stop=lambda: next(looks))
    assert saved.card.training["ended"] == "stopped"
    assert load_adapter(saved.path)[1].training["steps"] == 2


def test_a_weights_file_that_goes_away_meanwhile_costs_nothing(samples, tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    drive = tmp_path / "drive.pth"
    drive.write_bytes(LITE_MEDSAM.weights.locate().read_bytes() + b" ")
    asked = replace(job(samples[:2], tmp_path / "a.safetensors"), base=f"lite_medsam@{drive}")
    events = run_job(asked)
    next(events)
    drive.unlink()
    *_, saved = events
    assert saved.card.base_model == "lite_medsam"


def test_a_checkpoint_that_cannot_be_removed_costs_no_adapter(samples, tmp_path, monkeypatch):
    checkpoint = RunCheckpoint(tmp_path / "a.checkpoint", every=1)

    def refuse(path: Path, **given: object) -> None:
        raise PermissionError(path)

    for event in run_job(job(samples[:2], tmp_path / "a.safetensors", checkpoint=checkpoint)):
        if isinstance(event, TrainingFinished):
            monkeypatch.setattr(Path, "unlink", refuse)  # as a virus scanner that reads it
    monkeypatch.undo()
    assert isinstance(event, AdapterSaved)
    assert read_card(event.path) == event.card


def test_what_a_full_disk_does_not_take_is_saved_elsewhere(samples, tmp_path, full_disk):
    elsewhere = tmp_path / "elsewhere" / "a.safetensors"
    full_disk.add(tmp_path)
    *_, saved = run_job(job(samples[:1], tmp_path / "a.safetensors", refuge=elsewhere))
    assert saved.path == elsewhere
    assert load_adapter(elsewhere)[1] == saved.card
    assert not list(tmp_path.glob("*.safetensors*"))


def test_a_drive_that_does_not_answer_for_a_moment_ends_no_run(samples, tmp_path, silent_drive):
    (tmp_path / "run").mkdir()
    owner = tmp_path / "run" / "run.json"
    owner.touch()
    checkpoint = RunCheckpoint(tmp_path / "run" / "state", belongs_to=owner)
    elsewhere = tmp_path / "elsewhere" / "a.safetensors"
    wanted = job(
        samples[:1], tmp_path / "a.safetensors", steps=4, checkpoint=checkpoint, refuge=elsewhere
    )
    for event in run_job(wanted):
        silent_drive.clear()
        if isinstance(event, StepReport) and event.step == 2:
            silent_drive.add(tmp_path)
            assert not wanted.is_homeless
            assert wanted.places == (wanted.out, elsewhere)
    assert isinstance(event, AdapterSaved)
    assert event.path == wanted.out
    assert event.card.training["steps"] == 4
    owner.unlink()
    assert wanted.is_homeless


def test_where_nothing_can_be_saved_the_run_can_be_resumed(samples, tmp_path, full_disk):
    (tmp_path / "run").mkdir()
    checkpoint = RunCheckpoint(tmp_path / "run" / "state", every=1, resume=True)
    places = {"out": tmp_path / "a.safetensors", "refuge": tmp_path / "b.safetensors"}
    wanted = job(samples[:1], checkpoint=checkpoint, **places)
    full_disk.add(tmp_path)
    with pytest.raises(StorageError) as seen:
        list(run_job(wanted))
    for path in places.values():
        assert f"{path}: No space left on device" in str(seen.value)
    assert "resume the run" in str(seen.value)
    assert checkpoint.path.exists()


def test_a_run_whose_checkpoints_do_not_fit_goes_on(samples, tmp_path, full_disk, caplog):
    (tmp_path / "run").mkdir()
    full_disk.add(tmp_path / "run")
    checkpoint = RunCheckpoint(tmp_path / "run" / "state", every=1)
    *_, saved = run_job(job(samples[:1], tmp_path / "a.safetensors", checkpoint=checkpoint))
    assert saved.path.exists()
    assert "goes on without a new checkpoint" in caplog.text


def test_full_memory_is_told_in_words(samples, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(step, "mask_loss", full)
    with pytest.raises(TrainingError, match="choose a smaller input size"):
        list(run_job(job(samples[:1], tmp_path / "a.safetensors")))


def test_a_run_that_diverges_at_once_says_so(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "mask_loss", lambda logits, *_: logits.sum() * math.nan)
    words = r"no longer a number at step 1 \(slice 0\)\. No adapter was made\.$"
    with pytest.raises(TrainingError, match=words):
        list(run_job(job(samples[:1], tmp_path / "a.safetensors")))


def test_a_long_curve_is_kept_as_a_hundred_means():
    curve = Curve()
    for number in range(1, 1001):
        curve.add(StepReport(number, loss=number, progress=0.0, seconds=0.0, seconds_left=0.0))
    losses = curve.described()["loss"]
    assert len(losses) == 100
    assert losses[0] == [10, 5.5]
    assert losses[-1] == [1000, 995.5]
