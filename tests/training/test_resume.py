"""A run that was killed goes on as if nothing had happened; another run is not continued."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.errors import CheckpointError
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.workers import ALONE

STEPS = 10


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("polyps")
    stack = synthetic_polyps(8, (64, 64), seed=6)
    for name, pictures in (("images", stack.frames), ("masks", 255 * stack.masks)):
        (root / name).mkdir()
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(root / name / f"{index}.png")
    return root


LAUNCHERS = {
    "one process": [sys.executable],
    "two processes": [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", "2"),
    ],
}


def command(launcher, folders, out, *options) -> list[str]:
    return [
        *(*LAUNCHERS[launcher], "-m", "napari_sam_adapter", "train"),
        *("--images", str(folders / "images"), "--masks", str(folders / "masks")),
        *("--out", str(out), "--steps", str(STEPS), "--checkpoint-steps", "3", "--json"),
        *("--input-size", "112", "--device", "cpu", *options),
    ]


@pytest.mark.parametrize(
    ("launcher", "gear"), [("one process", "full"), ("two processes", "quick")]
)
def test_a_killed_run_ends_with_the_weights_it_would_have_had(folders, tmp_path, launcher, gear):
    whole, out = tmp_path / "whole.safetensors", tmp_path / "a.safetensors"
    subprocess.run(
        command(launcher, folders, whole, "--gear", gear), check=True, capture_output=True
    )
    checkpoint = tmp_path / "a.safetensors.checkpoint"
    run = subprocess.Popen(
        command(launcher, folders, out, "--gear", gear),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 600
    while not checkpoint.exists() and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)  # the launcher and all that it has started
    run.wait()
    assert checkpoint.exists()
    assert not out.exists()
    again = command(launcher, folders, out, "--gear", gear, "--resume")
    subprocess.run(again, check=True, capture_output=True)
    found, expected = load_file(out), load_file(whole)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=key)
    assert not checkpoint.exists()


def job(samples, folder, *, resume: bool, **config) -> TrainingJob:
    settings = {"gear": "quick", "max_seconds": math.inf, "max_steps": 4, **config}
    checkpoint = RunCheckpoint(folder / "run.checkpoint", every=2, resume=resume)
    return TrainingJob(
        samples=samples,
        out=folder / "a.safetensors",
        config=TrainingConfig(**settings),
        base="lite_medsam",
        checkpoint=checkpoint,
    )


def stopped_in_the_middle(one: TrainingJob) -> None:
    events = run_job(one)
    for event in events:
        if getattr(event, "step", 0) >= 3:
            events.close()  # as a kill: nothing after this happens
            return


def test_a_run_goes_on_at_its_last_checkpoint(samples, tmp_path):
    stopped_in_the_middle(job(samples[:3], tmp_path, resume=False))
    steps = [e.step for e in run_job(job(samples[:3], tmp_path, resume=True)) if hasattr(e, "step")]
    assert steps == [3, 4]


def test_a_run_that_goes_on_still_knows_where_it_started(samples, tmp_path):
    """What is kept lies between the start and the average: the start is not the checkpoint."""
    ends = []
    for name, stops in (("whole", False), ("stopped", True)):
        folder = tmp_path / name
        folder.mkdir()
        if stops:
            stopped_in_the_middle(job(samples[:3], folder, resume=False, start_share=0.5))
        *_, saved = run_job(job(samples[:3], folder, resume=stops, start_share=0.5))
        ends.append(load_file(saved.path))
    for name, values in ends[0].items():
        np.testing.assert_allclose(ends[1][name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_without_a_checkpoint_to_resume_the_run_begins(samples, tmp_path):
    assert isinstance(list(run_job(job(samples[:3], tmp_path, resume=True)))[-1], AdapterSaved)


CHANGES = {
    "slices": "the images or their masks",
    "masks": "the images or their masks",
    "settings": "that one are seed",
    "weights": "its weights",
    "batches": "how many batches a step takes",
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_is_not_continued_and_what_differs_is_said(
    samples, tmp_path, monkeypatch, change
):
    weights = tmp_path / "own.pth"
    content = LITE_MEDSAM.weights.locate().read_bytes()
    weights.write_bytes(content)
    first = replace(job(samples[:3], tmp_path, resume=False), base=f"lite_medsam@{weights}")
    stopped_in_the_middle(first)
    other = replace(first, checkpoint=replace(first.checkpoint, resume=True))
    if change == "slices":
        other = replace(other, samples=samples[:4])
    elif change == "masks":
        corrected = replace(samples[0], labels=~samples[0].labels)
        other = replace(other, samples=[corrected, *samples[1:3]])
    elif change == "settings":
        other = replace(other, config=replace(other.config, seed=1))
    elif change == "weights":
        weights.write_bytes(content + b" ")
    else:
        monkeypatch.setattr(ALONE, "accumulation", 2)
    with pytest.raises(CheckpointError, match=r"belongs to another run.*without --resume") as seen:
        list(run_job(other))
    assert CHANGES[change] in str(seen.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x02}q\x00."])
def test_a_damaged_checkpoint_is_refused_in_words(samples, tmp_path, content):
    (tmp_path / "run.checkpoint").write_bytes(content)
    with pytest.raises(CheckpointError, match="without --resume to begin again"):
        list(run_job(job(samples[:3], tmp_path, resume=True)))
