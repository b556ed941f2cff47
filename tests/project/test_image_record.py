"""The record of an image: what was known of its masks comes back whole."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.mask_files import read_mask_file
from napari_sam_adapter.volumes.slice_source import SliceSource
from tests.project.work import Work, brought_back, known_of


def worked_on(folder, identity, seed, steps=60):
    record = ImageRecord(folder, identity)
    work = Work(seed, record.listen)
    for _ in range(steps):
        work.step()
    record.close()
    return work


@pytest.mark.parametrize("seed", range(12))
def test_labels_states_adapters_and_the_persons_pixels_come_back(tmp_path, identity, seed):
    work = worked_on(tmp_path / "record", identity, seed)
    record = ImageRecord(tmp_path / "record", identity)
    restored = record.restore(np.dtype(np.uint8))
    record.close()
    tracker, labels = brought_back(restored)
    assert known_of(tracker, labels) == known_of(work.tracker, work.labels)
    assert not restored.troubles


def test_work_goes_on_after_coming_back(tmp_path, identity):
    """Undo starts anew, but all else is as if nothing had happened in between."""
    folder = tmp_path / "record"
    worked_on(folder, identity, 3)
    for _ in range(3):
        record = ImageRecord(folder, identity)
        tracker, labels = brought_back(record.restore(np.dtype(np.uint8)))
        work = Work(99)
        work.tracker, work.labels = tracker, labels
        tracker.listener = record.listen
        for _ in range(20):
            work.step()
        record.close()
    record = ImageRecord(folder, identity)
    again = brought_back(record.restore(np.dtype(np.uint8)))
    record.close()
    assert known_of(*again) == known_of(tracker, labels)


def test_masks_lie_in_the_folder_as_tiffs_that_anything_can_read(tmp_path, identity):
    work = worked_on(tmp_path / "record", identity, 1)
    for path in (tmp_path / "record" / "masks").iterdir():
        _, labels = read_mask_file(path)
        assert np.array_equal(labels, work.labels[int(path.stem)])
    assert len(list((tmp_path / "record" / "masks").iterdir())) == 5


def test_where_the_journal_is_damaged_the_mask_file_stands_in(tmp_path, identity):
    work = worked_on(tmp_path / "record", identity, 1)
    journal = tmp_path / "record" / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join(lines[:20] + [b"rubbish"] * 10 + lines[30:]))
    record = ImageRecord(tmp_path / "record", identity)
    restored = record.restore(np.dtype(np.uint8))
    record.close()
    _, labels = brought_back(restored)
    assert np.array_equal(labels, work.labels)
    assert len([line for line in restored.troubles if "damaged" in line]) == 10
    assert any("taken from its mask file" in line for line in restored.troubles)


def test_a_record_that_is_open_is_refused_with_who_has_it(tmp_path, identity):
    record = ImageRecord(tmp_path / "record", identity)
    with pytest.raises(StorageError, match=r"open in another window \(process \d+ on "):
        ImageRecord(tmp_path / "record", identity)
    record.close()
    ImageRecord(tmp_path / "record", identity).close()


def test_an_image_is_known_by_its_pixels_and_not_by_its_name():
    pixels = np.random.default_rng(0).integers(0, 255, (7, 12, 14)).astype(np.uint8)

    def digest(data):
        return ImageIdentity.of(SliceSource(data, is_colour=False), "any").digest

    other = pixels.copy()
    other[3, 5, 5] += 1
    assert digest(pixels) == digest(pixels.copy())
    assert digest(other) != digest(pixels)
    assert digest(pixels[:, :, ::-1]) != digest(pixels)
    assert digest(pixels.astype(np.int16)) != digest(pixels)


@pytest.mark.parametrize("seed", range(6))
def test_a_slice_can_be_stated_whole_whatever_was_written_before(tmp_path, identity, seed):
    worked_on(tmp_path / "record", identity, seed, steps=30)
    other = Work(seed + 50)
    for _ in range(60):
        other.step()
    record = ImageRecord(tmp_path / "record", identity)
    for index in range(5):
        if other.tracker.history_of((index,)) is not None:
            record.state((index,), other.tracker.history_of((index,)))
    record.close()
    record = ImageRecord(tmp_path / "record", identity)
    tracker, labels = brought_back(record.restore(np.dtype(np.uint8)))
    record.close()
    wanted = known_of(other.tracker, other.labels)
    assert {index: known_of(tracker, labels)[index] for index in wanted} == wanted


def test_a_record_keeps_of_which_patient_its_image_is(tmp_path, identity):
    ImageRecord(tmp_path, replace(identity, patient="0123456789ab")).close()
    assert json.loads((tmp_path / "image.json").read_text())["patient"] == "0123456789ab"
    record = ImageRecord(tmp_path, identity)  # opened from a copy, say, that does not tell
    record.close()
    assert record.identity.patient == ImageIdentity.read(tmp_path).patient == "0123456789ab"


def test_a_record_of_before_patients_were_told_apart_learns_of_its_own(tmp_path, identity):
    ImageRecord(tmp_path, identity).close()
    values = json.loads((tmp_path / "image.json").read_text())
    del values["patient"]
    (tmp_path / "image.json").write_text(json.dumps(values))
    assert ImageIdentity.read(tmp_path) == identity
    ImageRecord(tmp_path, replace(identity, name="other", patient="0123456789ab")).close()
    assert ImageIdentity.read(tmp_path) == replace(identity, patient="0123456789ab")


@pytest.fixture
def left(tmp_path, identity):
    """The mark of a record with work, as it was closed."""
    record = ImageRecord(tmp_path / "record", identity)
    work = Work(1, record.listen)
    for _ in range(20):
        work.step()
    assert not record.goes_on_from(record.mark), "it is open still"
    record.close()
    return record.mark


def goes_on(mark, identity, folder=None):
    record = ImageRecord(folder or mark.folder, identity)
    record.close()
    return record.goes_on_from(mark)


def test_a_record_goes_on_where_it_was_closed_though_a_training_was_noted_meanwhile(left, identity):
    assert goes_on(left, identity)
    record = ImageRecord(left.folder, identity)
    record.note("training", {"run": "one"})
    record.close()
    assert goes_on(left, identity)


def test_a_record_does_not_go_on_where_another_window_has_worked_on_it(left, identity):
    worked_on(left.folder, identity, 2, steps=3)
    assert not goes_on(left, identity)


def test_a_record_that_was_moved_goes_on_and_a_copy_of_it_does_not(left, identity, tmp_path):
    shutil.copytree(left.folder, tmp_path / "copy")
    assert not goes_on(left, identity, tmp_path / "copy")
    left.folder.rename(tmp_path / "moved")
    assert goes_on(left, identity, tmp_path / "moved")


def test_a_record_that_was_closed_empty_goes_on_until_something_is_done_to_a_slice(
    tmp_path, identity
):
    record = ImageRecord(tmp_path / "record", identity)
    record.close()
    assert goes_on(record.mark, identity)
    worked_on(record.folder, identity, 2, steps=3)
    assert not goes_on(record.mark, identity)
