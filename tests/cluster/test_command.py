"""``predict --scheduler`` and ``--workers`` as a person types them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam_adapter.cluster import connection
from napari_sam_adapter.sam.checkpoint import save_adapter
from tests.cli.test_cli import run
from tests.cli.test_interrupt import TERMINAL, wait_for


@pytest.fixture
def stack(tmp_path, noise):
    tifffile.imwrite(tmp_path / "stack.tif", noise)
    return tmp_path / "stack.tif"


def test_a_cluster_writes_the_same_files_as_a_plain_run(address, stack, tmp_path, tuned_sam):
    adapter = tmp_path / "a.safetensors"
    save_adapter(adapter, tuned_sam, gear="full", training={"n_slices": 5})
    for name, options in {"plain": (), "spread": ("--scheduler", address)}.items():
        out = ("--out", tmp_path / name, "--confidence", tmp_path / f"{name}.csv", "--instances")
        assert run("predict", stack, "--adapter", adapter, *out, *options) == 0
    assert (tmp_path / "plain.csv").read_text() == (tmp_path / "spread.csv").read_text()
    files = [(tmp_path / name / "stack.tif").read_bytes() for name in ("plain", "spread")]
    assert files[0] == files[1]
    assert tifffile.imread(tmp_path / "plain" / "stack.tif").any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--scheduler tcp://127.0.0.1:9", "No Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        ("--scheduler odd://here:1", "No Dask scheduler answers at 'odd://here:1'"),
        ("--scheduler tcp://127.0.0.1:9 --workers 2", "give one of the two"),
        ("--workers 2 --smooth 1", "leave them out, or predict without"),
        ("--workers 2 --three-axes", "leave them out, or predict without"),
        ("--workers 2 --corrected stack.tif", "leave them out, or predict without"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(options, message, stack, tmp_path, capsys):
    assert run("predict", stack, "--out", tmp_path / "out", *options.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_weights_that_no_worker_can_use_are_refused_before_images_are_read(tmp_path, capsys):
    for name in ("own.pth", "frame.png"):
        (tmp_path / name).write_text("neither weights nor a picture")
    where = (tmp_path / "frame.png", "--out", tmp_path / "out")
    model = f"lite_medsam@{tmp_path / 'own.pth'}"
    assert run("predict", *where, "--workers", 1, "--model", model) == 2
    assert "own.pth was not loaded: it is no file that torch.save" in capsys.readouterr().err


def test_without_distributed_the_command_to_install_it_is_said(
    stack, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run("predict", stack, "--out", tmp_path / "out", "--workers", 2) == 2
    assert 'pip install "napari-sam-adapter[cluster]"' in capsys.readouterr().err


def test_a_cluster_without_workers_is_waited_for_and_said(
    stack, tmp_path, capsys, caplog, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(connection, "WORKERS_SECONDS", 0.5)
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
        where = ("--scheduler", cluster.scheduler_address)
        assert run("predict", stack, "--out", tmp_path / "out", *where) == 2
    assert "has no workers yet; waiting" in caplog.text
    assert "has no workers. Start some" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
def test_ctrl_c_ends_the_workers_and_leaves_no_half_file(tmp_path, noise):
    tifffile.imwrite(tmp_path / "long.tif", np.tile(noise, (100, 1, 1)))
    mark = f"predict-{tmp_path.name}-{os.getpid()}"
    command = [sys.executable, "-m", "napari_sam_adapter", "predict", "long.tif", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, **TERMINAL, "MARK_OF_THIS_TEST": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_for(process, rb"Predicting", seconds=600)
        until(lambda: list(tmp_path.glob("out/.long.tif.*")))
        assert len(processes_with(mark)) >= 3
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        _, errors = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode not in (0, -signal.SIGKILL)
    assert b"Traceback" not in errors, errors.decode()
    assert list((tmp_path / "out").iterdir()) == []
    until(lambda: not processes_with(mark))


def until(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def processes_with(mark):
    """Return the processes that have a mark in their environment."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{number}/environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in environment:
            found.append(number)
    return found
