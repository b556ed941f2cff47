"""The dock opens whatever has become of the project it is to open."""

import json
import shutil

import pytest

from napari_sam_adapter.project.home import remember_folder
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.widgets.dock import SamAdapterDock
from tests.versions.adapter_files import adapter_file


@pytest.fixture
def open_dock(make_napari_viewer):
    """Return a function that opens the dock as napari does."""
    docks = []

    def open_one():
        docks.append(SamAdapterDock(make_napari_viewer()))
        return docks[-1]

    yield open_one
    for dock in docks:
        dock.shutdown()


def make_newer(path, kind):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"format": f"napari-sam-adapter {kind}", "schema_version": 99}))


@pytest.mark.parametrize("where", ["chosen", "default", "both"])
@pytest.mark.parametrize(
    ("name", "kind"), [("project.json", "project"), ("adapters/active.json", "version in use")]
)
def test_a_project_of_a_newer_program_is_named_and_another_one_is_open(
    open_dock, tmp_path, where, name, kind
):
    default, chosen = tmp_path / "home" / "projects" / "default", tmp_path / "chosen"
    broken = {"chosen": [chosen], "default": [default], "both": [chosen, default]}[where]
    for folder in broken:
        Project(folder).create()
        if folder == chosen:
            remember_folder(chosen)
        make_newer(folder / name, kind)
    dock = open_dock()
    said = dock.message.text()
    for folder in broken:
        assert str(folder / name) in said
    assert "schema version 99" in said
    assert "update napari-sam-adapter" in said
    open_now = dock.controller.session.project.folder
    assert open_now == (default if where == "chosen" else default.with_name("default-2"))
    assert dock.project_panel.name.text() == open_now.name
    assert f"{open_now} is open instead" in said
    # The advice can be followed.
    dock.project_panel.folder_requested.emit(tmp_path / "third")
    assert dock.controller.session.project.folder == tmp_path / "third"


def test_a_project_whose_drive_is_gone_is_named(open_dock, tmp_path):
    Project(tmp_path / "drive").create()
    remember_folder(tmp_path / "drive")
    shutil.rmtree(tmp_path / "drive")
    said = open_dock().message.text()
    assert f"There is nothing in {tmp_path / 'drive'}: is its drive connected?" in said


def test_a_project_that_cannot_be_opened_leaves_the_one_that_is_open(open_dock, tmp_path):
    dock = open_dock()
    before = dock.controller.session.project.folder
    Project(tmp_path / "newer").create()
    make_newer(tmp_path / "newer" / "adapters" / "active.json", "version in use")
    dock.project_panel.folder_requested.emit(tmp_path / "newer")
    assert "schema version 99" in dock.message.text()
    assert dock.controller.session.project.folder == before
    assert open_dock().controller.session.project.folder == before


@pytest.mark.parametrize("how", ["when the dock opens", "in the dock"])
def test_a_project_whose_version_has_an_unknown_base_model_is_open_and_says_what_predicts(
    open_dock, tmp_path, how
):
    project = Project(tmp_path / "newer")
    project.create()
    adapter_file(project.adapters.path_of(1), "id 1", base_model="sam2_tiny")
    if how == "when the dock opens":
        remember_folder(project.folder)
        dock = open_dock()
    else:
        dock = open_dock()
        dock.project_panel.folder_requested.emit(project.folder)
    assert dock.controller.session.project.folder == project.folder
    assert "base model 'sam2_tiny'" in dock.message.text()
    assert "update napari-sam-adapter" in dock.message.text()
    assert dock.versions_panel.list.topLevelItemCount() == 2, "the version is shown all the same"
    # What it would predict is asked for here, and refused in a sentence.
    dock.controller.versions.activate(1)
    assert "no base model named 'sam2_tiny'" in dock.message.text()
    assert open_dock().controller.session.project.folder == project.folder
