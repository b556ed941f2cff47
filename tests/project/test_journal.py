"""The journal: what is written comes back; damage costs the damaged line."""

import json
import queue
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest

from napari_sam_adapter.annotations.packed_labels import PackedLabels
from napari_sam_adapter.annotations.slice_history import LabelChange
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import journal
from napari_sam_adapter.project.events import Event, now
from napari_sam_adapter.project.journal import JournalWriter, last_event, read_journal
from napari_sam_adapter.project.replay import replayed
from napari_sam_adapter.project.runs import runs_of, runs_of_labels, written


def event(number):
    return Event("painted", now(), slice=(number,), runs=(number, 3, 1), prediction=2)


def write(path, numbers):
    path.parent.mkdir(exist_ok=True)
    writer = JournalWriter(path, read_journal(path))
    for number in numbers:
        writer.append(event(number))
    writer.close()


def _with_key(key, n):
    """A line of an event with one more key, its checksum right."""
    values = json.loads(event(1).to_line(n)) | {key: 1}
    del values["crc"]
    body = json.dumps(values, separators=(",", ":"))
    return f'{body[:-1]},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def test_runs_lead_from_one_slice_to_the_other():
    random = np.random.default_rng(0)
    for _ in range(50):
        before = random.integers(0, 3, (9, 11)).astype(np.uint16)
        after = np.where(random.random((9, 11)) < random.random(), 700, before).astype(np.uint16)
        runs = runs_of(LabelChange.between(before, after))
        assert np.array_equal(written(before, runs), after)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint64])
def test_runs_of_packed_labels_are_what_leads_there_from_an_empty_slice(dtype):
    random = np.random.default_rng(0)
    for share in np.linspace(0, 1, 30):
        labels = np.where(random.random((9, 11)) < share, random.integers(-2, 3, (9, 11)), 0)
        labels = np.abs(labels).astype(dtype) if dtype is np.uint64 else labels.astype(dtype)
        runs = runs_of_labels(PackedLabels.of(labels))
        assert runs == runs_of(LabelChange.between(np.zeros_like(labels), labels))
        assert all(type(number) is int for number in runs), "JSON holds no others"


@pytest.mark.parametrize("runs", [(0, 3), (-1, 2, 1), (90, 20, 1), (0, 0, 1), (0, 2, 256)])
def test_runs_that_do_not_fit_are_refused(runs):
    with pytest.raises(ValueError, match=r"numbers|outside|fit"):
        written(np.zeros((9, 11), np.uint8), runs)


def test_many_strokes_in_a_large_slice_cost_little_more_to_bring_back_than_one():
    def seconds(n_strokes):
        strokes = [
            Event("painted", now(), n, (0,), runs=(1000 * n, 300, 1))
            for n in range(1, n_strokes + 1)
        ]
        start = time.process_time()
        (history,) = dict(replayed(strokes, (2048, 2048), np.dtype(np.int64))).values()
        taken = time.process_time() - start
        assert history.seen.unpacked().sum() == 300 * n_strokes
        return taken

    one = min(seconds(1) for _ in range(3))
    assert seconds(500) < 5 * one  # 20 and more where each makes a copy of the slice


def test_what_is_appended_is_read_again_with_its_numbers(tmp_path):
    path = tmp_path / "deep" / "journal.jsonl"
    write(path, [5, 6])
    write(path, [7])
    contents = read_journal(path)
    assert [(one.n, one.slice, one.runs) for one in contents.events] == [
        (1, (5,), (5, 3, 1)),
        (2, (6,), (6, 3, 1)),
        (3, (7,), (7, 3, 1)),
    ]
    assert not contents.torn
    assert not contents.damaged


def test_a_torn_last_line_costs_that_line_only_and_is_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path, [1, 2, 3])
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last + 1, len(whole)):
        path.write_bytes(whole[:cut])
        contents = read_journal(path)
        assert contents.torn
        assert [one.n for one in contents.events] == [1, 2]
    write(path, [9])
    assert [one.slice for one in read_journal(path).events] == [(1,), (2,), (9,)]


@pytest.mark.parametrize("tail", range(1, 300, 7))
def test_the_last_whole_line_is_read_from_the_end_wherever_the_end_is_cut(
    tmp_path, monkeypatch, tail
):
    monkeypatch.setattr(journal, "_TAIL", tail)
    path = tmp_path / "journal.jsonl"
    for numbers in ([4], [4, 5, 6]):
        path.unlink(missing_ok=True)
        write(path, numbers)
        whole = path.read_bytes()
        for torn in (b"", b'{"n":'):
            path.write_bytes(whole + torn)
            assert last_event(path).slice == (numbers[-1],)
    for content in (b"", b"torn", whole + b"damaged\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="checksum"):
            last_event(path)


def test_a_damaged_line_in_the_middle_is_named_and_the_others_come_back(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path, [1, 2, 3])
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b"[2,3,1]", b"[2,9,1]")
    path.write_bytes(b"\n".join(lines))
    contents = read_journal(path)
    assert [one.n for one in contents.events] == [1, 3]
    assert "line 2 is damaged: its checksum is wrong" in contents.damaged[0]


@pytest.mark.parametrize(
    ("newer", "what"),
    [
        (Event("merged", now()).to_line(4), "line 3 says 'merged'"),
        (_with_key("depth", 4), "line 3 has the key 'depth'"),
    ],
    ids=["an unknown deed", "an unknown key"],
)
def test_a_line_of_a_newer_version_is_no_damage_and_its_number_is_not_given_again(
    tmp_path, newer, what
):
    path = tmp_path / "journal.jsonl"
    write(path, [1, 2])
    path.write_bytes(path.read_bytes() + newer)
    contents = read_journal(path)
    assert not contents.damaged
    assert contents.last == 4
    assert f"{what}, which this version does not know. Nothing was changed" in contents.newer
    with pytest.raises(StorageError, match="update napari-sam-adapter to open it"):
        contents.check_version()


def test_the_number_of_a_damaged_last_line_is_not_given_again(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path, [1, 2, 3])
    path.write_bytes(path.read_bytes()[:-9] + b"damaged\n")
    write(path, [4])
    assert [one.n for one in read_journal(path).events] == [1, 2, 4]


def test_flush_waits_until_the_line_is_in_the_file(tmp_path):
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path, read_journal(path))
    for number in range(20):
        writer.append(event(number))
        assert writer.flush(5)
        assert len(read_journal(path).events) == number + 1 == writer.acknowledged
    writer.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import journal
from napari_sam_adapter.project.events import Event, now
from napari_sam_adapter.project.journal import JournalWriter, last_event, read_journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write past the limit fails like a full disk
path, said = Path(sys.argv[1]), []
writer = JournalWriter(path, read_journal(path), said.append)
resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
for number in range(40):
    writer.append(Event("painted", now(), slice=(number,), runs=(number, 3, 1)))
assert not writer.flush(1.0)
on_disk = read_journal(path)
assert not on_disk.torn and len(on_disk.events) == writer.acknowledged < 40
assert "free some space" in said[0], said
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert writer.flush(60.0)
writer.close()
assert said[1:] == [""], said
assert [event.slice for event in read_journal(path).events] == [(n,) for n in range(40)]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_full_disk_loses_nothing_and_is_told(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "journal.jsonl")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr


class Told:
    """What a writer says from its thread, to be waited for."""

    def __init__(self):
        self._said = queue.Queue()

    def __call__(self, sentence):
        self._said.put(sentence)

    def next(self):
        return self._said.get(timeout=60)


@pytest.fixture
def _tried_at_once(monkeypatch):
    monkeypatch.setattr(journal, "SECONDS_BETWEEN_TRIES", 0.01)


@pytest.mark.usefixtures("_tried_at_once")
@pytest.mark.parametrize("written_before", [0, 2])
def test_lines_wait_while_the_folder_is_elsewhere_and_no_other_journal_is_begun(
    tmp_path, written_before
):
    path = tmp_path / "project" / "record" / "journal.jsonl"
    path.parent.mkdir(parents=True)
    told = Told()
    writer = JournalWriter(path, read_journal(path), told)
    for number in range(written_before):
        writer.append(event(number))
    assert writer.flush(60)
    (tmp_path / "project").rename(tmp_path / "moved")
    for number in range(written_before, 5):
        writer.append(event(number))
    assert "moved or renamed, bring it back" in told.next()
    assert writer.acknowledged == written_before
    assert not (tmp_path / "project").exists()
    (tmp_path / "moved").rename(tmp_path / "project")
    assert writer.flush(60)
    assert told.next() == ""
    writer.close()
    assert [one.slice for one in read_journal(path).events] == [(n,) for n in range(5)]


@pytest.mark.usefixtures("_tried_at_once")
@pytest.mark.parametrize("written_before", [[], [1]])
@pytest.mark.parametrize("begun_anew", [b"another\n", b"another\n" * 200])
def test_another_journal_in_its_place_is_left_alone(tmp_path, written_before, begun_anew):
    path = tmp_path / "journal.jsonl"
    write(path, written_before)
    told = Told()
    writer = JournalWriter(path, read_journal(path), told)
    path.unlink(missing_ok=True)
    path.write_bytes(begun_anew)
    writer.append(event(2))
    assert "not as it was left" in told.next()
    assert path.read_bytes() == begun_anew
    with pytest.raises(StorageError, match=r"1 change was not written down: .*journal\.jsonl"):
        writer.close()
    assert path.read_bytes() == begun_anew
