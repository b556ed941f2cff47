"""The mask files follow the journal, whatever happened in between."""

import json
import os
import queue
import shutil
import sys
import tracemalloc

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import mask_files
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.mask_files import MaskFiles, read_mask_file
from tests.project.work import Work

LABELS = np.ones((4, 5), np.uint8)


@pytest.fixture
def disk(monkeypatch):
    """A disk that can be full; tells of each try to write."""
    write = mask_files.write_mask

    class Disk:
        is_full = True
        tries = queue.Queue()

        def write(self, path, n, labels):
            try:
                if self.is_full:
                    raise StorageError("No space left on device.")
                write(path, n, labels)
            finally:
                self.tries.put(path.name)

    disk = Disk()
    monkeypatch.setattr(mask_files, "write_mask", disk.write)
    monkeypatch.setattr(mask_files, "SECONDS_TO_SETTLE", 0.01)
    return disk


def test_a_file_that_did_not_fit_is_tried_again(tmp_path, disk):
    files = MaskFiles(tmp_path / "masks", lambda: sys.maxsize)
    files.put((0,), 1, LABELS)
    files.put((1,), 2, LABELS)
    assert {disk.tries.get(timeout=60) for _ in range(2)} == {"0000.tif", "0001.tif"}
    disk.is_full = False
    while len(list((tmp_path / "masks").glob("*.tif"))) < 2:
        disk.tries.get(timeout=60)
    files.close()
    assert read_mask_file(tmp_path / "masks" / "0001.tif")[0] == 2


def test_what_a_killed_program_was_writing_goes_after_a_day(tmp_path):
    old, new, other = (tmp_path / name for name in (".1.tif.01234567", ".2.tif.01234567", ".git"))
    for path in (old, new, other):
        path.write_bytes(b"half a file")
    for path in (old, other):
        os.utime(path, (0, 0))
    MaskFiles(tmp_path, lambda: 0).close()
    assert set(tmp_path.iterdir()) == {new, other}


def test_closing_tries_once_more(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(mask_files, "SECONDS_BETWEEN_TRIES", 3600)
    files = MaskFiles(tmp_path / "masks", lambda: sys.maxsize)
    files.put((0,), 1, LABELS)
    disk.tries.get(timeout=60)
    disk.is_full = False
    files.close()
    assert read_mask_file(tmp_path / "masks" / "0000.tif")[0] == 1


def test_a_slice_that_is_painted_on_without_a_pause_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_files, "SECONDS_TO_SETTLE", 0.05)
    files, n = MaskFiles(tmp_path / "masks", lambda: sys.maxsize), 0
    while n < 10**6 and not (tmp_path / "masks" / "0000.tif").exists():
        files.put((0,), n := n + 1, LABELS)
    found = read_mask_file(tmp_path / "masks" / "0000.tif")
    assert found is not None
    files.close()
    assert read_mask_file(tmp_path / "masks" / "0000.tif")[0] == n


def test_a_file_waits_for_its_line_to_be_in_the_journal(tmp_path, disk):
    disk.is_full, written = False, [1]
    files = MaskFiles(tmp_path / "masks", lambda: written[0])
    files.put((0,), 2, LABELS)
    files.put((1,), 1, LABELS)
    assert disk.tries.get(timeout=60) == "0001.tif"
    written[0] = 2
    assert disk.tries.get(timeout=60) == "0000.tif"
    files.put((2,), 3, LABELS)
    files.close()
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"0000.tif", "0001.tif"}


def worked_on(folder, identity, work, steps=30):
    record = ImageRecord(folder, identity)
    work.tracker.listener = record.listen
    for _ in range(steps):
        work.step()
    record.close()


def test_the_slices_of_an_annotated_stack_wait_without_being_unpacked(tmp_path, identity):
    stack = SliceTracker((1024, 1024))
    labels = np.zeros((1024, 1024), np.uint8)
    labels[300:700, 300:700] = 1
    for z in range(20):
        stack.adopt((z,), labels)
    record = ImageRecord(tmp_path, identity)
    tracemalloc.start()
    try:
        for z in range(20):
            record.state((z,), stack.history_of((z,)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    record.close()
    assert peak < 20 * labels.nbytes / 2
    assert np.array_equal(read_mask_file(tmp_path / "masks" / "0019.tif")[1], labels)


def last_lines(folder):
    """Of each slice, the last line that changed its pixels."""
    lines = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    return {tuple(one["slice"]): one["n"] for one in lines if one["runs"]}


def test_files_that_a_killed_program_has_left_behind_are_brought_up_to_date(tmp_path, identity):
    work, folder = Work(5), tmp_path / "record"
    worked_on(folder, identity, work)
    shutil.copytree(folder / "masks", tmp_path / "before")
    worked_on(folder, identity, work)
    shutil.rmtree(folder / "masks")  # as if it had been killed before it wrote them
    shutil.copytree(tmp_path / "before", folder / "masks")
    (folder / "masks" / "0002.tif").unlink()
    (folder / "masks" / "0003.tif").write_bytes(b"half a file")
    record = ImageRecord(folder, identity)
    assert not record.restore(np.dtype(np.uint8)).troubles
    record.close()
    for index, n in last_lines(folder).items():
        found = read_mask_file(folder / "masks" / mask_files.mask_name(index))
        assert found[0] == n
        assert np.array_equal(found[1], work.labels[index])


def test_files_that_are_up_to_date_are_left_as_they_are(tmp_path, identity):
    worked_on(tmp_path, identity, Work(5))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").iterdir()}
    record = ImageRecord(tmp_path, identity)
    record.restore(np.dtype(np.uint8))
    record.close()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").iterdir()} == before
