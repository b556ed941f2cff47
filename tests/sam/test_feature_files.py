"""Features on the disk: read as they were written, or not at all; never more than their bound."""

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import platformdirs
import pytest
import torch

from napari_sam_adapter.sam import feature_files
from napari_sam_adapter.sam.feature_files import (
    FOLDER_VARIABLE,
    FeatureFiles,
    delete_feature_files,
    open_feature_files,
)

KEY, OTHER = "ab" * 20, "cd" * 20
MEGABYTE = 1024**2


def features(seed: int = 0, n_floats: int = 1000) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"features": torch.randn(1, 4, 5, n_floats // 20, generator=generator)}


def same(found, expected) -> bool:
    return found is not None and all(torch.equal(found[n], x) for n, x in expected.items())


@pytest.fixture
def files(tmp_path) -> FeatureFiles:
    return FeatureFiles(tmp_path / "cache" / "features", 64 * MEGABYTE)


def path_of(files: FeatureFiles, key: str = KEY):
    return files.folder / f"{key}.safetensors"


def test_tensors_come_back_as_they_were_also_in_how_they_lie_in_memory(files):
    plain = torch.randn(1, 6, 5, 4)
    written = {
        "a": plain,
        "last": plain.contiguous(memory_format=torch.channels_last),
        "half": plain.permute(0, 2, 3, 1).bfloat16(),
    }
    files.write(KEY, written)
    found = files.read(KEY)
    assert set(found) == set(written)
    for name, x in written.items():
        assert torch.equal(found[name], x), name
        assert (found[name].dtype, found[name].stride()) == (x.dtype, x.stride())
        assert found[name].data_ptr() % 64 == 0
    assert files.read(OTHER) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_only_their_owner_can_read_them(files):
    files.write(KEY, features())
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path_of(files).stat().st_mode) == 0o600


def cut(content: bytes) -> bytes:
    return content[:-7]


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def noise(content: bytes) -> bytes:
    return bytes(torch.randint(256, (len(content),), generator=torch.Generator().manual_seed(1)))


def long_header(content: bytes) -> bytes:
    return b"\xff" * 8 + content[8:]


def no_metadata(content: bytes) -> bytes:
    from safetensors.torch import save

    return save(features())


@pytest.mark.parametrize("damage", [cut, flipped, noise, long_header, no_metadata, lambda _: b""])
def test_a_damaged_file_is_no_file_and_is_replaced(files, damage):
    files.write(KEY, features())
    path_of(files).write_bytes(damage(path_of(files).read_bytes()))
    assert files.read(KEY) is None
    files.write(KEY, features(1))
    assert same(files.read(KEY), features(1))


def test_a_file_under_the_name_of_another_is_not_taken_for_it(files):
    files.write(KEY, features())
    shutil.copy(path_of(files), path_of(files, OTHER))
    assert files.read(OTHER) is None


def test_a_folder_that_cannot_be_made_or_written_to_is_no_error(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    for folder in (in_the_way, in_the_way / "below"):
        files = FeatureFiles(folder, 64 * MEGABYTE)
        files.write(KEY, features())
        assert files.read(KEY) is None
        assert (files.size(), files.clear()) == (0, 0)
    assert in_the_way.read_text() == "not a folder"


def test_what_is_in_a_read_only_folder_is_read(files, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    files.write(KEY, features())
    for name in ("open", "replace", "utime", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    files.write(OTHER, features(1))
    assert same(files.read(KEY), features())
    assert files.read(OTHER) is None


def test_a_full_disk_leaves_nothing_behind(files, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        files.write(KEY, features())
    assert list(files.folder.iterdir()) == []
    free = SimpleNamespace(free=feature_files.FREE_BYTES_LEFT + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    FeatureFiles(files.folder, 64 * MEGABYTE).write(KEY, features())
    assert list(files.folder.iterdir()) == [], "the last of a disk is the person's"


def test_the_files_never_take_more_than_their_bound_and_the_oldest_go_first(tmp_path):
    files = FeatureFiles(tmp_path, MEGABYTE)
    keys = [f"{number:040x}" for number in range(60)]
    foreign = [tmp_path / "adapter.safetensors", tmp_path / "notes.txt"]
    for path in foreign:
        path.write_bytes(bytes(MEGABYTE))
    for number, key in enumerate(keys):
        files.write(key, features(number, 10_000))
        os.utime(path_of(files, key), (number, number))
        assert files.size() <= MEGABYTE
        if number >= 1:
            assert files.read(keys[0]) is not None, "it is read again and again"
            os.utime(path_of(files, keys[0]), (number + 0.5, number + 0.5))
    left = [number for number, key in enumerate(keys) if path_of(files, key).exists()]
    assert left[0] == 0
    assert left[1:] == list(range(left[1], 60))
    assert len(left) >= 15
    assert all(path.exists() for path in foreign)
    big = "f" * 40
    files.write(big, features(0, 30_000))
    assert files.read(big) is None, "it would push out a sixteenth of all"


def test_unfinished_files_of_a_process_that_was_killed_are_counted_and_deleted(files):
    files.write(KEY, features())
    left_over = files.folder / f".{OTHER}.safetensors.0123abcd"
    left_over.write_bytes(bytes(1000))
    assert files.size() == path_of(files).stat().st_size + 1000
    assert files.clear() == 2
    assert list(files.folder.iterdir()) == []


def test_processes_read_write_and_delete_at_the_same_time(tmp_path):
    """Two of them, in a folder so small that each deletes what the other reads."""
    program = textwrap.dedent("""
        import random, sys, torch
        from pathlib import Path
        from napari_sam_adapter.sam.feature_files import FeatureFiles
        torch.set_num_threads(1)
        files, chance = FeatureFiles(Path(sys.argv[1]), 1024**2), random.Random(sys.argv[2])
        largest = n_found = 0
        for _ in range(600):
            number = chance.randrange(50)
            key, expected = f"{number:040x}", torch.full((1, 10_000), float(number))
            found = files.read(key)
            if found is None:
                files.write(key, {"features": expected})
            else:
                n_found += 1
                assert torch.equal(found["features"], expected)
            largest = max(largest, files.size())
        print(largest, n_found)
    """)
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [
        subprocess.Popen([*command, seed], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for seed in "12"
    ]
    for process in running:
        said, problem = process.communicate()
        assert process.returncode == 0, problem.decode()
        largest, n_found = map(int, said.split())
        assert 0 < largest <= MEGABYTE
        assert n_found > 0


def test_the_folder_is_the_one_that_is_asked_for_or_none(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    opened = open_feature_files(MEGABYTE)
    opened.write(KEY, features(0, 100))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [path_of(opened).name]
    assert open_feature_files(0) is None
    assert delete_feature_files() == 1
    assert list((tmp_path / "mine").iterdir()) == []
    monkeypatch.setenv(FOLDER_VARIABLE, "off")
    assert open_feature_files(MEGABYTE) is None
    assert delete_feature_files() == 0
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    if sys.platform == "linux":
        usual = tmp_path / "home" / "napari-sam-adapter" / "features"
        assert open_feature_files(MEGABYTE).folder == usual


def test_without_a_home_folder_no_files_are_kept(monkeypatch):
    def homeless(*_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setattr(platformdirs, "user_cache_dir", homeless)
    assert open_feature_files(MEGABYTE) is None
    assert delete_feature_files() == 0
