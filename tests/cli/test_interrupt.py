"""Ctrl+C while training keeps what was learnt, and while predicting leaves no half file."""

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.checkpoint import load_adapter

# Made to believe in a terminal, rich shows the progress bar.
TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}


def wait_for(process: subprocess.Popen, pattern: bytes, seconds: float) -> bytes:
    """Read the process's standard error until a pattern appears in it."""
    seen, end = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while not re.search(pattern, seen):
            if not selector.select(max(0.0, end - time.monotonic())):
                pytest.fail(f"no {pattern!r} within {seconds} seconds; got {seen[-2000:]!r}")
            chunk = os.read(process.stderr.fileno(), 65536)
            if not chunk:
                pytest.fail(f"ended without {pattern!r}: {seen[-2000:]!r}")
            seen += chunk
    return seen


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process alone")
def test_ctrl_c_while_training_keeps_a_loadable_adapter(tmp_path: Path):
    stack = synthetic_polyps(2, (40, 48), seed=6)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for index, (frame, mask) in enumerate(zip(stack.frames, stack.masks, strict=True)):
        Image.fromarray(frame).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(255 * mask).save(tmp_path / "masks" / f"{index}.png")
    out = tmp_path / "adapter.safetensors"
    command = [sys.executable, "-m", "napari_sam_adapter", "train", "--gear", "quick"]
    command += ["--images", "images", "--masks", "masks", "--out", str(out), "--minutes", "10"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, **TERMINAL},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(process, rb"loss \d", seconds=600)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert b"Stopping after this step" in errors
    assert b"stopped" in output
    _, card = load_adapter(out)
    assert card.training["ended"] == "stopped"
    assert card.training["steps"] >= 1
    assert [path.name for path in tmp_path.glob("*adapter*")] == [out.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process alone")
def test_ctrl_c_while_predicting_ends_soon_and_leaves_no_half_file(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64), dtype=np.uint8)
    for name in ("first", "second"):
        slices = noise if name == "first" else np.tile(noise, (50, 1, 1))
        tifffile.imwrite(tmp_path / f"{name}.tif", slices)
    command = [sys.executable, "-m", "napari_sam_adapter", "predict", "first.tif", "second.tif"]
    process = subprocess.Popen(
        [*command, "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, **TERMINAL},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(process, rb"Predicting", seconds=600)
        end = time.monotonic() + 600
        while not list(tmp_path.glob("out/.second.tif.*")) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode not in (0, -signal.SIGKILL)
    assert b"Traceback" not in errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first.tif"]
    assert tifffile.imread(tmp_path / "out" / "first.tif").shape == noise.shape
