"""Names of images, folders and versions may hold brackets, which rich takes for its markup."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.cli import console, main
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.volumes.slice_source import SliceSource

NAMES = ("scan [left] T1", "scan [/left]", "[bold]a[/]")


@pytest.mark.parametrize("name", NAMES)
def test_a_line_keeps_every_name_as_it_is(name, capsys):
    console.output.print(f"Wrote {name}.")
    console.errors.print(f"Wrote {name}.")
    assert list(capsys.readouterr()) == [f"Wrote {name}.\n"] * 2


@pytest.mark.parametrize("columns", [None, "200"], ids=["as wide as it needs", "in columns"])
@pytest.mark.parametrize("name", NAMES)
def test_a_table_keeps_every_name_as_it_is(name, columns, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    table = Table(f"{name} head", title=f"{name} title", caption=f"{name} caption")
    table.add_row(f"{name} and a cell that is wider than the title")
    console.print_table(table)
    shown = capsys.readouterr().out
    for part in ("head", "title", "caption", "and a cell"):
        assert f"{name} {part}" in shown


@pytest.mark.parametrize("name", NAMES)
def test_a_progress_bar_keeps_every_name_as_it_is(name, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(console, "errors", Console(file=screen, force_terminal=True, width=200))
    with console.progress_bar("{task.fields[note]}") as bar:
        bar.add_task(f"{name} now", total=1.0, note=f"{name} next")
        bar.refresh()
    assert f"{name} now" in screen.getvalue()
    assert f"{name} next" in screen.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_project_is_shown_and_replayed_whatever_its_images_are_called(name, tmp_path, capsys):
    project, pixels = Project(tmp_path / "project"), np.arange(768, dtype=np.uint16)
    source = SliceSource(pixels.reshape(3, 16, 16), is_colour=False)
    record = project.open_record(ImageIdentity.of(source, name))
    tracker = SliceTracker((16, 16))
    tracker.listener = record.listen
    tracker.observe((1,), np.ones((16, 16), np.uint8), painted=True)
    record.close()
    for command in (["show"], ["replay", "--out", str(tmp_path / "again")]):
        with pytest.raises(SystemExit) as ended:
            main(["project", *command, str(project.folder)])
        assert ended.value.code == 0
        assert name in capsys.readouterr().out


@pytest.mark.parametrize("variable", ["RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"])
def test_of_processes_that_share_a_run_the_first_one_speaks(variable, monkeypatch):
    assert console.is_first_process()
    monkeypatch.setenv(variable, "0")
    assert console.is_first_process()
    monkeypatch.setenv(variable, "3")
    assert not console.is_first_process()
    assert console.which_process() == " in process 3"


def test_a_name_that_a_pipe_cannot_show_ends_nothing(tmp_path):
    """As on Windows, where what is redirected knows few letters."""
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "napari_sam_adapter", "predict", str(tmp_path / "肿瘤.png")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert rb"There is no file" in done.stderr
    assert rb"\u80bf\u7624.png" in done.stderr
