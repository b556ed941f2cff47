"""Which project is open when nobody says."""

import shutil

import pytest

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.home import HOME_VARIABLE, open_home, remember_folder
from napari_sam_adapter.project.project import PROJECT_FILE, Project


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def default(home):
    return home / "projects" / "default"


@pytest.fixture
def chosen(tmp_path):
    """A project that was chosen last."""
    Project(tmp_path / "chosen").create()
    remember_folder(tmp_path / "chosen")
    return tmp_path / "chosen"


def opened():
    project, trouble = open_home(Project)
    return project.folder, trouble


def test_the_environment_moves_the_default_project(home, default, monkeypatch):
    assert opened() == (default, "")
    monkeypatch.delenv(HOME_VARIABLE)
    assert home not in opened()[0].parents


def test_the_project_chosen_last_is_opened_again(chosen):
    assert opened() == (chosen, "")


@pytest.mark.parametrize("leaves_a_mount_point", [True, False])
def test_a_chosen_project_whose_drive_is_gone_is_named_and_opened_when_it_is_back(
    chosen, default, tmp_path, leaves_a_mount_point
):
    shutil.move(chosen, tmp_path / "drive")
    if leaves_a_mount_point:
        chosen.mkdir()
    folder, trouble = opened()
    assert folder == default
    assert str(chosen) in trouble
    assert f"{default} is open instead" in trouble
    if leaves_a_mount_point:
        chosen.rmdir()
    shutil.move(tmp_path / "drive", chosen)
    assert opened() == (chosen, "")


@pytest.mark.parametrize("content", ["{", '{"format": "napari-sam-adapter project", "schema_ver'])
def test_a_chosen_project_that_is_damaged_is_named(chosen, default, content):
    (chosen / PROJECT_FILE).write_text(content)
    folder, trouble = opened()
    assert folder == default
    assert str(chosen / PROJECT_FILE) in trouble
    assert "could not be read" in trouble


def test_where_the_default_project_cannot_be_opened_another_one_is(default):
    Project(default).create()
    (default / PROJECT_FILE).write_text("{")
    folder, trouble = opened()
    assert folder == default.with_name("default-2")
    assert str(default / PROJECT_FILE) in trouble
    assert f"{folder} is open instead" in trouble
    assert opened()[0] == folder, "what was done there is there tomorrow"


def test_where_nothing_of_ours_can_be_opened_there_is_a_place_all_the_same(home):
    def refuse_ours(folder):
        if home in folder.parents:
            raise StorageError(f"{folder} could not be read.")
        return folder

    folder, trouble = open_home(refuse_ours)
    assert "The default project is not open." in trouble
    assert f"{folder} is open instead" in trouble
    assert not folder.exists()


@pytest.mark.parametrize("content", ["", "chosen", "\x00"])
def test_a_torn_choice_is_none(home, default, content):
    home.mkdir()
    (home / "folder.txt").write_text(content)
    assert opened() == (default, "")


def test_adapters_of_the_first_version_are_in_the_default_project(home, default):
    (home / "adapters").mkdir(parents=True)
    (home / "adapters" / "adapter-0001.safetensors").write_bytes(b"one")
    project, _ = open_home(Project)
    assert project.adapters.path_of(1).read_bytes() == b"one"
    assert project.folder == default
