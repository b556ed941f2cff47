"""Ctrl+C while training keeps what was learnt."""

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.checkpoint import load_adapter


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
    # Made to believe in a terminal, rich shows the progress bar with the loss of each step.
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, **terminal},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(process, rb"loss \d", seconds=90)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert b"Stopping after this step" in errors
    assert b"stopped" in output
    _, card = load_adapter(out)
    assert card.training["ended"] == "stopped"
    assert card.training["steps"] >= 1
    assert [path.name for path in tmp_path.glob("*adapter*")] == [out.name]
