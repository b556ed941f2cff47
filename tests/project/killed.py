"""Work that is killed at a random moment, again and again; run by test_killed.py.

    python -m tests.project.killed FOLDER HOW_OFTEN

Each time a forked process works on the masks of an image until it is killed, telling in shared
memory which line it knows to be on the disk. Then the record is opened and compared with the same
work, made again from its seed up to the last line that was found. Prints how many there were.
"""

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from napari_sam_adapter.project import mask_files
from napari_sam_adapter.project.image_record import ImageIdentity, ImageRecord
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.mask_files import read_mask_file
from tests.project.work import SHAPE, Work

IDENTITY = ImageIdentity("frames", SHAPE, False, "|u1", "0123456789abcdef")


def main():
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    shared = mmap.mmap(-1, 8)
    mask_files.SECONDS_TO_SETTLE = 0.01  # so that masks are saved while it works
    moments = random.Random(0)
    lines = torn = 0
    for seed in range(times):
        record = folder / str(seed)
        shared[:] = bytes(8)
        child = os.fork()
        if child == 0:
            work_until_killed(record, seed, shared)
        time.sleep(moments.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        contents = read_journal(record / "journal.jsonl")
        torn += contents.torn
        lines += len(contents.events)
        check(record, seed, contents, int.from_bytes(shared[:], "little"))
    sys.stdout.write(f"{lines} lines, {torn} torn\n")


def work_until_killed(folder, seed, shared):
    record = ImageRecord(folder, IDENTITY)
    work = Work(seed, record.listen)
    while True:
        work.step()
        shared[:] = record.journal.acknowledged.to_bytes(8, "little")
        time.sleep(0.0005)


def check(folder, seed, contents, acknowledged):
    found = len(contents.events)
    assert [event.n for event in contents.events] == list(range(1, found + 1))
    assert not contents.damaged
    assert found >= acknowledged, f"seed {seed}: {acknowledged} were promised, {found} are there"
    if not (folder / "image.json").exists():
        assert found == 0
        return
    record = ImageRecord(folder, IDENTITY)
    restored = record.restore(np.dtype(np.uint8))
    there = {
        index: (h.seen.tobytes(), h.now.adapter, h.now.confidence, h.accepted)
        for index, h in restored.slices.items()
    }
    assert there == expected_after(found, seed), f"seed {seed}: not as it was at line {found}"
    for path in (folder / "masks").glob("[!.]*.tif"):
        assert read_mask_file(path) is not None, f"{path} is half written"
    work = Work(seed + 1, record.listen)  # and it can be worked on
    work.step()
    record.close()
    assert len(read_journal(folder / "journal.jsonl").events) > found


def expected_after(n_lines, seed):
    seen, lines = {}, []

    def listen(change):
        lines.append(change)
        if len(lines) <= n_lines:
            seen[change.index] = (
                change.labels.tobytes(),
                change.adapter,
                change.confidence,
                change.is_accepted,
            )

    work = Work(seed, listen)
    while len(lines) < n_lines:
        work.step()
    return seen


if __name__ == "__main__":
    main()
