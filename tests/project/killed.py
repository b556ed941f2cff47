"""Work that is killed at a random moment, again and again; run by test_killed.py.

    python -m tests.project.killed FOLDER HOW_OFTEN

Each time a forked process works on the masks of an image, and takes new adapter versions into use,
until it is killed, telling in shared memory which line, and which version, it knows to be on the
disk. Then the project is opened, and compared with the same work, made again from its seed up to
the last line that was found. Prints what was found in all.
"""

import mmap
import os
import random
import shutil
import signal
import struct
import sys
import threading
import time
from pathlib import Path

import numpy as np

from napari_sam_adapter.project import mask_files
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.mask_files import mask_name, read_mask_file
from napari_sam_adapter.versions.adapter_store import AdapterStore
from tests.project.work import SHAPE, Work, brought_back
from tests.versions.adapter_files import adapter_file

IDENTITY = ImageIdentity("frames", SHAPE, False, "|u1", "0123456789abcdef")


class Promised:
    """Numbers of the last line and the last version that are on the disk, across a kill."""

    def __init__(self):
        self._shared = mmap.mmap(-1, 16)

    def reset(self):
        self._shared[:] = bytes(16)

    line = property(lambda self: struct.unpack_from("q", self._shared, 0)[0])
    version = property(lambda self: struct.unpack_from("q", self._shared, 8)[0])

    def set_line(self, number):
        struct.pack_into("q", self._shared, 0, number)

    def set_version(self, number):
        struct.pack_into("q", self._shared, 8, number)


def main():
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    adapter = adapter_file(folder / "adapter.safetensors", "id")
    promised = Promised()
    mask_files.SECONDS_TO_SETTLE = 0.01  # so that masks are saved while it works
    moments = random.Random(0)
    lines = torn = behind = versions = 0
    for seed in range(times):
        project = folder / str(seed)
        project.mkdir()
        promised.reset()
        child = os.fork()
        if child == 0:
            work_until_killed(project, seed, adapter, promised)
        time.sleep(moments.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        contents = read_journal(project / "record" / "journal.jsonl")
        torn += contents.torn
        lines += len(contents.events)
        behind += check_masks(project / "record", seed, contents, promised.line)
        versions += check_adapters(AdapterStore(project / "adapters"), promised.version)
    sys.stdout.write(
        f"{lines} lines, {torn} torn, {behind} mask files behind, {versions} versions\n"
    )


def work_until_killed(project, seed, adapter, promised):
    record = ImageRecord(project / "record", IDENTITY)
    threading.Thread(target=retrain, args=(project, adapter, promised), daemon=True).start()
    work = Work(seed, record.listen)
    while True:
        work.step()
        promised.set_line(record.journal.acknowledged)
        time.sleep(0.0005)


def retrain(project, adapter, promised):
    store = AdapterStore(project / "adapters")
    store.folder.mkdir()
    while True:
        version = store.adopt(Path(shutil.copyfile(adapter, store.working_path())))
        store.set_active(version.number)
        promised.set_version(version.number)
        time.sleep(0.005)


def check_masks(folder, seed, contents, promised):
    """Open the record; return how many mask files had to be brought up to date."""
    found = len(contents.events)
    assert [event.n for event in contents.events] == list(range(1, found + 1))
    assert not contents.damaged
    assert found >= promised, f"seed {seed}: {promised} were promised, {found} are there"
    if not (folder / "image.json").exists():
        assert found == 0
        return 0
    expected = AsItWas(seed, found)
    before = {path.name: read_mask_file(path) for path in (folder / "masks").glob("[!.]*.tif")}
    assert None not in before.values(), f"seed {seed}: a mask file is half written"
    record = ImageRecord(folder, IDENTITY)
    restored = record.restore(np.dtype(np.uint8))
    tracker, labels = brought_back(restored)
    there = {
        index: (
            labels[index].tobytes(),
            tracker.human_pixels(index, labels[index]).tobytes(),
            known.now.adapter,
            known.now.confidence,
            known.accepted,
        )
        for index, known in restored.slices.items()
    }
    assert there == expected.slices, f"seed {seed}: not as it was at line {found}"
    work = Work(seed + 1, record.listen)  # and it can be worked on
    record.close()
    assert len(read_journal(folder / "journal.jsonl").events) > found
    for index, n in expected.last_lines.items():
        after = read_mask_file(folder / "masks" / mask_name(index))
        if index != (4,):  # which the work that goes on has adopted
            assert after[0] == n, f"seed {seed}: {mask_name(index)} is not up to date"
            assert after[1].tobytes() == expected.slices[index][0]
    assert np.array_equal(read_mask_file(folder / "masks" / "0004.tif")[1], work.labels[4])
    return sum(
        mask_name(index) not in before or before[mask_name(index)][0] != n
        for index, n in expected.last_lines.items()
    )


class AsItWas(Work):
    """The same work again, up to a line."""

    def __init__(self, seed, n_lines):
        self.slices, self.last_lines = {}, {}
        self._line, self._n_lines = 0, n_lines
        super().__init__(seed, self._remember)
        while self._line < n_lines:
            self.step()

    def _remember(self, change):
        self._line += 1
        if self._line <= self._n_lines:
            self.slices[change.index] = (
                change.labels.tobytes(),
                self.tracker.human_pixels(change.index, change.labels).tobytes(),
                change.adapter,
                change.confidence,
                change.is_accepted,
            )
            if change.change.positions.size:
                self.last_lines[change.index] = self._line


def check_adapters(store, promised):
    """Every version that was promised is whole and in use, or a later one; return how many."""
    numbers = [version.number for version in store.versions()]
    assert not store.unreadable
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= promised
    if promised:
        assert store.active.number >= promised
    return len(numbers)


if __name__ == "__main__":
    main()
