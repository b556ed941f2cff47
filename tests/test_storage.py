"""A file holds the old content or the new, never half of one."""

import errno
import os
import stat

import pytest

from napari_sam_adapter import storage
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.storage import check_writable, write_atomically

IDENTITY = ImageIdentity("frames", (2, 8, 8), False, "|u1", "0123456789abcdef")


def failing(code: int):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_content_is_written_and_missing_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_folders_that_are_made_are_on_the_disk_by_name_before_anything_counts_as_written(
    tmp_path, monkeypatch
):
    on_disk = set()
    monkeypatch.setattr(storage, "sync_folder", lambda folder: on_disk.update(folder.iterdir()))
    write_atomically(tmp_path / "a" / "b" / "file.bin", b"new")
    record = ImageRecord(tmp_path / "images" / "frames", IDENTITY)
    record.close()
    folders = {path for path in tmp_path.rglob("*") if path.is_dir()}
    assert len(folders) == 4
    assert folders <= on_disk


def test_old_content_is_replaced(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"a much longer old content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("function", "code"),
    [("fsync", errno.ENOSPC), ("fsync", errno.EIO), ("replace", errno.EACCES)],
)
def test_a_failure_keeps_the_old_content_and_leaves_no_other_file(
    tmp_path, monkeypatch, function, code
):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, failing(code))
    with pytest.raises(StorageError, match=rf"file\.bin could not be written: {os.strerror(code)}"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_place_of_the_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "file.bin"
    path.mkdir()
    with pytest.raises(StorageError):
        write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "folder").write_bytes(b"a file")
    with pytest.raises(StorageError, match="choose another folder"):
        write_atomically(tmp_path / "folder" / "file.bin", b"new")


def test_a_closed_folder_is_told_before_minutes_of_work_depend_on_it(tmp_path, monkeypatch):
    monkeypatch.setattr(type(tmp_path), "is_dir", failing(errno.EACCES))
    with pytest.raises(StorageError, match=r"a\.tif could not be written: Permission denied\."):
        check_writable(tmp_path / "a.tif")


def test_an_interrupt_while_writing_leaves_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such permissions")
def test_a_written_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "written", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "written")}
    assert len(modes) == 1
