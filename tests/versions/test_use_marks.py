"""Versions that windows use, and files that several windows change."""

import json
import subprocess
import sys

import pytest
from filelock import FileLock

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.errors import CheckpointError, StorageError, TrainingError
from napari_sam_adapter.project.project import PROJECT_FILE, Project
from napari_sam_adapter.versions.adapter_store import AdapterStore
from tests.versions.adapter_files import adapter_file

WINDOW = """
import sys
from pathlib import Path
from napari_sam_adapter.versions.adapter_store import AdapterStore

store = AdapterStore(Path(sys.argv[1]))
store.use(2)
print("uses it", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def filled(tmp_path) -> AdapterStore:
    store = AdapterStore(tmp_path / "store")
    for number in (1, 2, 3):
        adapter_file(store.path_of(number), f"id {number}")
    return store


def numbers(store: AdapterStore) -> list[int]:
    return [version.number for version in store.versions()]


def test_a_version_that_another_window_uses_is_not_deleted_until_that_uses_another(filled):
    other = AdapterStore(filled.folder)
    other.use(2)
    filled.set_active(3)
    with pytest.raises(TrainingError, match="v2 is in use in another window"):
        filled.delete(2)
    other.set_active(1)
    filled.delete(2)
    assert numbers(filled) == [1, 3]


def test_what_this_window_uses_is_not_deleted_whatever_was_chosen_in_another(filled):
    other = AdapterStore(filled.folder)
    filled.set_active(2)
    other.set_active(3)
    with pytest.raises(TrainingError, match="v2 is in use, so"):
        filled.delete(2)
    other.use(None)
    with pytest.raises(TrainingError, match="v3 was chosen last"):
        filled.delete(3)
    filled.set_active(2)
    filled.delete(3)
    assert numbers(filled) == [1, 2]


def test_a_window_that_was_killed_uses_nothing(filled):
    command = [sys.executable, "-c", WINDOW, str(filled.folder)]
    window = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert window.stdout.readline() == "uses it\n"
        with pytest.raises(TrainingError, match="v2 is in use in another window"):
            filled.delete(2)
    finally:
        window.kill()
        window.communicate()
    filled.delete(2)
    assert numbers(filled) == [1, 3]
    assert list((filled.folder / "in-use").iterdir()) == []


def test_a_version_that_is_gone_cannot_be_used(filled):
    filled.use(1)
    with pytest.raises(CheckpointError, match="no version 9"):
        filled.use(9)
    with pytest.raises(TrainingError, match="v1 is in use"):
        filled.delete(1)


def test_windows_change_the_choice_and_the_names_one_at_a_time(filled):
    filled._notes._lock.timeout = 0
    with FileLock(filled.folder / "lock"):
        for act in (
            lambda: filled.set_active(1),
            lambda: filled.describe(1, "mine", ""),
            lambda: filled.delete(1),
        ):
            with pytest.raises(StorageError, match="Another window is changing"):
                act()
    assert not (filled.folder / "active.json").exists()
    assert numbers(filled) == [1, 2, 3]
    filled.set_active(1)
    assert filled.active.number == 1


def test_windows_change_the_classes_one_at_a_time(tmp_path):
    project = Project(tmp_path)
    project.create()
    before = json.loads((tmp_path / PROJECT_FILE).read_text())
    project._lock.timeout = 0
    with (
        FileLock(tmp_path / "lock"),
        pytest.raises(StorageError, match="Another window is changing"),
    ):
        project.keep_classes(Classes().with_one_more())
    assert json.loads((tmp_path / PROJECT_FILE).read_text()) == before
    project.keep_classes(Classes().with_one_more())
    assert len(project.classes) == 2
