"""Boxes, points and voxel sizes of an image: in a small file, which nothing half writes."""

import json
import os
import queue
import random
import signal
import threading
import time

import pytest

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import image_layers
from napari_sam_adapter.project.image_layers import ImageLayers, LayersFile
from napari_sam_adapter.project.project import Project

BOX = ("rectangle", ((2.0, 10.0, 20.0), (2.0, 10.0, 40.0), (2.0, 30.5, 40.0), (2.0, 30.5, 20.0)))
FLAT = ("polygon", ((10.0, 20.0), (10.0, 40.0), (30.0, 40.0)))
DRAWN = ImageLayers(
    (3.0, 0.5, 0.25),
    ("mm", "mm", "mm"),
    (BOX, FLAT),
    (((2.0, 11.0, 21.0), "object"), ((2.0, 1.0, 1.0), "background")),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "layers" / "abc.json"


def opened(path, **options):
    return LayersFile(path.parent, path.stem, "frames", **options)


def written(path, contents, **options):
    file = opened(path)
    file.put(contents, **options)
    file.close()


@pytest.mark.parametrize("drawn", [ImageLayers(), ImageLayers(boxes=(BOX,)), DRAWN])
def test_what_was_drawn_comes_back(path, drawn):
    written(path, drawn)
    file = opened(path)
    file.close()
    assert file.contents == drawn


def test_the_file_tells_what_it_is_and_of_which_image(path):
    written(path, DRAWN)
    values = json.loads(path.read_text())
    assert values["format"] == "napari-sam-adapter layers"
    assert (values["schema_version"], values["name"]) == (1, "frames")
    assert values["points"][1] == {"at": [2.0, 1.0, 1.0], "kind": "background"}


def test_an_open_file_is_refused_and_a_closed_one_is_not(path):
    file = opened(path)
    with pytest.raises(StorageError, match="open in another window"):
        opened(path)
    file.close()
    opened(path).close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema_version": 99}, r"schema version 99.*update napari-sam-adapter"),
        ({"format": "something else"}, "is no napari-sam-adapter layers"),
        ({"boxes": [{"type": "heart", "corners": [[0, 1], [2, 3]]}]}, "heart"),
        ({"points": [{"at": [1, "two"], "kind": "object"}]}, "damaged"),
        ({"points": [{"at": [1.0], "kind": "object"}]}, "no position"),
        ({"points": {}, "boxes": 3}, "damaged"),
        ({"scale": [1, float("nan"), 1]}, "no position"),
    ],
)
def test_a_newer_or_damaged_file_is_refused_and_left_alone(path, change, sentence):
    written(path, DRAWN)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = path.read_bytes()
    for _ in range(2):  # the first refusal leaves no lock behind
        with pytest.raises(StorageError, match=sentence):
            opened(path)
    assert path.read_bytes() == before


def test_what_others_drew_is_kept_beside_it(path):
    written(path, DRAWN)
    before = path.read_bytes()
    written(path, ImageLayers(boxes=(FLAT,)), keep_former=True)
    (former,) = path.parent.glob("abc.until-*.json")
    assert former.read_bytes() == before
    assert opened(path).contents == ImageLayers(boxes=(FLAT,))


def test_on_a_full_disk_it_waits_and_says_so(path, monkeypatch):
    is_full, said = threading.Event(), []
    is_full.set()
    write = image_layers.write_described

    def write_if_there_is_space(*arguments, **options):
        if is_full.is_set():
            raise StorageError("No space left on device.")
        write(*arguments, **options)

    monkeypatch.setattr(image_layers, "write_described", write_if_there_is_space)
    monkeypatch.setattr(image_layers, "SECONDS_BETWEEN_TRIES", 0.02)
    file = opened(path, told=said.append)
    file.put(DRAWN)
    time.sleep(0.1)
    assert len(said) == 1
    assert "No space left" in said[0]
    is_full.clear()
    wait_until(path.exists)
    wait_until(lambda: said[-1] == "")
    file.close()
    assert opened(path).contents == DRAWN


def test_closing_on_a_full_disk_says_what_is_lost(path, monkeypatch):
    def write(*arguments, **options):
        raise StorageError("No space left on device.")

    monkeypatch.setattr(image_layers, "write_described", write)
    file = opened(path)
    file.put(DRAWN)
    with pytest.raises(StorageError, match="frames are lost: No space left"):
        file.close()
    monkeypatch.undo()
    assert opened(path).contents == ImageLayers()


@pytest.mark.parametrize(
    ("is_full", "seconds", "reason"),
    [(False, 0.05, ""), (True, 0.05, "No space left"), (False, 0.5, "are still being written")],
)
def test_whoever_asks_waits_until_it_is_written_or_is_not(
    path, monkeypatch, is_full, seconds, reason
):
    write = image_layers.write_described

    def write_slowly(*arguments, **options):
        time.sleep(seconds)
        if is_full:
            raise StorageError("No space left on device.")
        write(*arguments, **options)

    monkeypatch.setattr(image_layers, "write_described", write_slowly)
    said = []
    file = opened(path, told=said.append)
    assert file.flush(), "nothing waits"
    file.put(DRAWN)
    assert file.flush(timeout=0.2) == (not reason)
    assert reason in file.problem
    if is_full:
        return
    file.close()
    assert file.problem == ""
    assert opened(path).contents == DRAWN
    assert said[1:] == ([""] if reason else [])


def test_a_folder_that_was_moved_is_not_made_again_and_gets_it_when_it_is_back(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(image_layers, "SECONDS_BETWEEN_TRIES", 0.01)
    path, said = tmp_path / "project" / "layers" / "abc.json", queue.Queue()
    file = opened(path, told=said.put)
    (tmp_path / "project").rename(tmp_path / "moved")
    file.put(DRAWN)
    assert "its folder is gone. If it was moved or renamed, bring it back" in said.get(timeout=60)
    assert not (tmp_path / "project").exists()
    (tmp_path / "moved").rename(tmp_path / "project")
    assert said.get(timeout=60) == ""
    file.close()
    assert opened(path).contents == DRAWN


def test_an_old_project_has_none_and_looking_writes_nothing(tmp_path, identity):
    project = Project(tmp_path / "project")
    assert not project.has_layers(identity)
    assert not (tmp_path / "project").exists()
    file = project.open_layers(identity)
    file.put(DRAWN)
    file.close()
    assert project.has_layers(identity)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked for each death")
def test_a_program_killed_while_it_writes_leaves_one_state_whole(path):
    def written():
        return path.stat().st_mtime_ns if path.exists() else None

    moments, found = random.Random(0), set()
    for _ in range(40):
        before = written()
        child = os.fork()
        if child == 0:
            file = opened(path)
            for number in range(10**6):
                file.put(ImageLayers(points=(((0.0, float(number)), "object"),) * 50))
                time.sleep(0.0005)
        wait_until(lambda before=before: written() != before, seconds=60)
        time.sleep(moments.uniform(0.0, 0.045))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        file = opened(path)  # the lock died with its process
        file.close()
        found.add(file.contents)
    assert all(len(set(contents.points)) <= 1 for contents in found)
    assert len(found) > 1  # it was indeed at work when it was killed


def wait_until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
