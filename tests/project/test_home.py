"""Where projects are when nobody says."""

import pytest

from napari_sam_adapter.project.home import HOME_VARIABLE, default_folder, remember_folder
from napari_sam_adapter.project.project import Project


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_environment_moves_the_default_project(home, monkeypatch):
    assert default_folder() == home / "projects" / "default"
    monkeypatch.delenv(HOME_VARIABLE)
    assert home not in default_folder().parents


def test_the_project_chosen_last_is_opened_again_as_long_as_it_is_there(home, tmp_path):
    (tmp_path / "chosen").mkdir()
    remember_folder(tmp_path / "chosen")
    assert default_folder() == tmp_path / "chosen"
    (tmp_path / "chosen").rmdir()
    assert default_folder() == home / "projects" / "default"


def test_adapters_of_the_first_version_are_in_the_default_project(home):
    (home / "adapters").mkdir(parents=True)
    (home / "adapters" / "adapter-0001.safetensors").write_bytes(b"one")
    project = Project(default_folder())
    assert project.adapters.path_of(1).read_bytes() == b"one"
    assert project.folder == home / "projects" / "default"
