"""Several processes share a run: same weights on all, and those of one process with it all."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from napari_sam_adapter.cli import main
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.errors import SamAdapterError, TrainingError
from napari_sam_adapter.sam.devices import decide_bfloat16, uses_bfloat16
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.training.config import GEARS, TrainingConfig
from napari_sam_adapter.training.launch import check_launch
from napari_sam_adapter.training.workers import (
    PRECISION_VARIABLE,
    AcceleratedWorkers,
    start_workers,
)

# As `accelerate launch --gradient_accumulation_steps` says it.
ACCUMULATION_VARIABLE = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"

# Each rank trains the same way as the command does, one gear after the other, and writes down its
# own weights: a start of the processes takes longer than the steps of a gear. And the gradient of
# its last step before it is clipped: neither the clipping nor AdamW sees how large it is.
SCRIPT = """
import math, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from napari_sam_adapter.data.stacks import read_slices
from napari_sam_adapter.data.files import pair_by_stem
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import StepReport
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.run_options import RunOptions
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.workers import start_workers

root, out, batch = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
resumes = sys.argv[4] == "resume"
torch.set_num_threads(1)
workers, device = start_workers("cpu")
average, gradients = workers.average_gradients, []

def noted(parameters):
    average(parameters)
    found = [p.grad.flatten() for p in parameters if p.grad is not None]
    gradients.append(torch.cat(found))

workers.average_gradients = noted
pairs = pair_by_stem(root / "images", root / "masks")
samples = [TrainingSample(*one) for one in read_slices(pairs)]
for gear in sys.argv[5:]:
    model = build_adapted_sam(ModelSettings.default("lite_medsam", 112))
    # By steps alone: else the learning rate would follow the clock.
    limits = {"max_seconds": math.inf, "max_steps": 3}
    config = TrainingConfig(gear=gear, batch_size=batch, **limits)
    # A disk of its own for each process: only the first one's holds the checkpoint.
    checkpoint = RunCheckpoint(out / f"{gear}-rank{workers.rank}.checkpoint", 2, resumes)
    options = RunOptions(workers=workers, checkpoint=checkpoint)
    steps = [event.step for event in train_adapter(model, samples, config, options)
             if isinstance(event, StepReport)]
    assert steps == ([3] if resumes else [1, 2, 3]), steps
    end = "-resumed" if resumes else ""
    found = model.state_dict() | {"gradient": gradients[-1]}
    save_file(found, out / f"{gear}-rank{workers.rank}-of-{workers.count}{end}.safetensors")
"""

# The command, with a loss that breaks in the second process alone; each one notes how it ended.
BREAKING = """
import json, os, sys
from pathlib import Path
from safetensors.torch import save_file
from napari_sam_adapter.cli import main
from napari_sam_adapter.training import loop, step

out, kind, rank = Path(sys.argv[1]), sys.argv[2], os.environ["RANK"]
mask_loss, train_adapter = step.mask_loss, loop.train_adapter
backward, names = step.Stepper._backward, []

def broken_loss(logits, target, kind_of_loss):
    value = mask_loss(logits, target, kind_of_loss)
    if rank == "0" or len(names) < 4:
        return value
    (out / "broken").write_text(names[-1])
    # The root has the value 0 and an infinite slope there: a number whose gradient is none.
    return value * float("nan") if kind == "loss" else value + (0 * value).sqrt()

def named(stepper, fed, size):
    names.append(fed.name)
    return backward(stepper, fed, size)

def noted(*arguments):
    for event in train_adapter(*arguments):
        yield event
    (out / f"{rank}.json").write_text(json.dumps([event.reason, event.steps, event.message]))
    save_file(event.state, out / f"{rank}.safetensors")

step.mask_loss, step.Stepper._backward, loop.train_adapter = broken_loss, named, noted
main(sys.argv[3:])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("shared")
    stack = synthetic_polyps(8, (64, 64), seed=6)
    for name, pictures in (("images", stack.frames), ("masks", 255 * stack.masks)):
        (root / name).mkdir()
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(root / name / f"{index}.png")
    (root / "train.py").write_text(SCRIPT)
    (root / "breaking.py").write_text(BREAKING)
    return root


def environment() -> dict[str, str]:
    return {**os.environ, "NAPARI_SAM_ADAPTER_BF16": "0", "OMP_NUM_THREADS": "1"}


def alone(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def torchrun(*arguments: str) -> list[str]:
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    return [*launcher, "--nproc-per-node", "2", *arguments]


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Train every gear alone and with two processes; return where the weights are.

    By how many batches each process adds up before a step; with one, also stopped and resumed.
    """
    script, places = str(folder / "train.py"), {}
    for accumulation, gears in ((1, GEARS), (2, ("quick",))):
        places[accumulation] = out = tmp_path_factory.mktemp(f"accumulation{accumulation}")

        def run(launch, batch, begin, out=out, gears=gears, accumulation=accumulation):
            asked = {ACCUMULATION_VARIABLE: str(accumulation)}
            call = launch(script, str(folder), str(out), str(batch), begin, *gears)
            subprocess.run(call, check=True, capture_output=True, env=environment() | asked)

        run(alone, 4, "new")
        run(torchrun, 2 // accumulation, "new")
        if accumulation == 1:
            run(torchrun, 2, "resume")
    return places


def weights(place, gear: str, rank: int, count: int, end: str = "") -> dict[str, np.ndarray]:
    return load_file(place / f"{gear}-rank{rank}-of-{count}{end}.safetensors")


@pytest.mark.parametrize(
    ("gear", "accumulation"), [("quick", 1), ("quick", 2), ("late", 1), ("full", 1)]
)
def test_two_processes_take_the_steps_of_one_with_the_whole_batch(trained, gear, accumulation):
    place = trained[accumulation]
    one, first, second = (
        weights(place, gear, rank, count) for rank, count in ((0, 1), (0, 2), (1, 2))
    )
    for key, expected in one.items():
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)
        np.testing.assert_allclose(first[key], expected, rtol=1e-4, atol=1e-5, err_msg=key)
        if "output_hypernetworks_mlps.2" in key:  # no loss reaches it, and no weight decay may
            np.testing.assert_array_equal(first[key], expected, err_msg=key)
    assert any(np.abs(value).max() > 0 for key, value in one.items() if "mlp_up" in key) == (
        gear != "quick"
    )


@pytest.mark.parametrize("gear", GEARS)
def test_two_processes_that_resume_end_with_the_weights_of_three_steps_at_once(trained, gear):
    """Of two, a kill, and the third."""
    expected = weights(trained[1], gear, 0, 2)
    for rank in range(2):
        resumed = weights(trained[1], gear, rank, 2, "-resumed")
        for key, value in expected.items():
            np.testing.assert_allclose(resumed[key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_what_is_no_number_in_one_process_ends_the_run_in_all_and_the_image_is_named(
    folder, tmp_path, kind
):
    out, where = tmp_path / "a.safetensors", ("--images", "images", "--masks", "masks")
    how = ("--steps", "9", "--gear", "quick", "--augmentation", "none", "--device", "cpu", "--json")
    call = torchrun("breaking.py", str(tmp_path), kind, "train", *where, "--out", str(out), *how)
    done = subprocess.run(
        call, check=True, capture_output=True, text=True, env=environment(), cwd=folder, timeout=300
    )
    ends = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert ends[0] == ends[1]
    reason, steps, message = ends[0]
    assert (reason, steps) == ("diverged", 3)
    name = (tmp_path / "broken").read_text()
    assert (folder / "images" / name).is_file()
    assert f"no longer a number at step 4 ({name}); the last good state" in message
    assert " ".join(done.stderr.split()).count(message) == 1
    states = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    saved, untouched = load_file(out), LITE_MEDSAM.build(128).state_dict()
    for key, value in states[0].items():
        assert np.isfinite(value).all(), key
        np.testing.assert_array_equal(states[1][key], value, err_msg=key)
    decoder = {key: value for key, value in saved.items() if key.startswith("mask_decoder.")}
    assert all(np.array_equal(value, states[0][key]) for key, value in decoder.items())
    assert any(not np.array_equal(value, untouched[key]) for key, value in decoder.items())


@pytest.fixture
def no_process_group(monkeypatch):
    from accelerate.state import AcceleratorState

    yield monkeypatch
    AcceleratorState._reset_state(reset_partial_state=True)
    decide_bfloat16(None)


@pytest.mark.parametrize(("asked", "expected"), [("bf16", True), ("no", False)])
def test_the_precision_given_to_accelerate_is_used(no_process_group, asked, expected):
    no_process_group.setenv(PRECISION_VARIABLE, asked)
    AcceleratedWorkers("cpu")
    assert uses_bfloat16(torch.device("cpu")) is expected


def test_numbers_of_a_single_process_never_go_to_the_device(no_process_group):
    """Apple's GPUs have no double precision."""
    no_process_group.setenv(PRECISION_VARIABLE, "no")
    workers = AcceleratedWorkers("cpu")
    no_process_group.setattr(workers, "_accelerator", None)
    assert workers.sums(0.1, 2) == [0.1, 2]


def test_a_precision_that_is_not_offered_is_refused(no_process_group):
    no_process_group.setenv(PRECISION_VARIABLE, "fp16")
    with pytest.raises(TrainingError, match="'bf16' or 'no'"):
        AcceleratedWorkers("cpu")


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("ACCELERATE_USE_FSDP", "FSDP"),
        ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed"),
        ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "a parallelism configuration"),
    ],
)
def test_settings_that_share_parameters_out_are_refused_before_anything_is_read(
    monkeypatch, capsys, variable, name
):
    monkeypatch.setenv(variable, "true")
    with pytest.raises(TrainingError, match=f"set to {name}, .* plain data parallelism"):
        AcceleratedWorkers("cpu")
    with pytest.raises(SystemExit):
        main(["train", "--images", "nowhere", "--masks", "nowhere", "--out", "a.safetensors"])
    assert f"accelerate is set to {name}" in capsys.readouterr().err


def test_settings_of_accelerate_that_are_off_are_no_trouble(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_launch()


def test_a_device_that_is_not_there_is_refused_under_a_launcher_too(monkeypatch):
    monkeypatch.setenv(PRECISION_VARIABLE, "no")
    with pytest.raises(SamAdapterError, match="no device 'gpu'"):
        start_workers("gpu")


def test_processes_that_would_each_train_alone_are_refused(no_process_group, monkeypatch):
    alone = SimpleNamespace(num_processes=1)
    monkeypatch.setattr("accelerate.Accelerator", lambda cpu: alone)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="2 processes were started, and only 1 work together"):
        AcceleratedWorkers("cpu")


def test_an_epoch_is_shared_by_all_processes():
    config = TrainingConfig(max_epochs=3, batch_size=2)
    assert config.total_steps(16) == 24
    assert config.total_steps(16, n_batches=4) == 6


def accelerate_launch(*arguments: str) -> list[str]:
    launcher = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    how = ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
    return [*launcher, *how, "--main_process_port", "0", *arguments]


@pytest.mark.parametrize("launcher", [torchrun, accelerate_launch])
def test_train_runs_unchanged_under_a_launcher(folder, tmp_path, launcher):
    out = tmp_path / "a.safetensors"
    call = launcher(
        *("-m", "napari_sam_adapter", "train", "--images", str(folder / "images")),
        *("--masks", str(folder / "masks"), "--out", str(out), "--steps", "2", "--gear", "quick"),
        *("--json", "--resume"),
    )
    without_gpus = environment() | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(call, check=True, capture_output=True, text=True, env=without_gpus)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1, "only one process reports"
    assert json.loads(lines[0])["steps"] == 2
    assert done.stderr.count(f"no checkpoint {out}.checkpoint to go on from: the run begins") == 1
    assert out.is_file()
    assert torch.isfinite(torch.tensor(json.loads(lines[0])["last_loss"]))
