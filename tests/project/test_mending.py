"""Where lines of a journal are lost, everybody sees the slices as their mask files have them."""

from pathlib import Path

import numpy as np
import pytest

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.mask_files import mask_name, read_mask_file, write_mask
from napari_sam_adapter.project.mending import read_record
from napari_sam_adapter.project.pixels import keep_copy
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.rerun import rerun
from napari_sam_adapter.project.retrain_request import RetrainRequest
from napari_sam_adapter.project.run_folder import RunPart, RunPlan
from napari_sam_adapter.project.run_request import with_other_images
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.volumes.slice_source import SliceSource
from tests.project.work import SHAPE, Work, brought_back

UINT8 = np.dtype(np.uint8)


def worked_on(project: Project, identity, seed=1, steps=60):
    record = project.open_record(identity)
    work = Work(seed, record.listen)
    for _ in range(steps):
        work.step()
    record.close()
    return work, record.folder


def damage(folder: Path, lines):
    """Make lines of a journal, counted from 0, unreadable."""
    path = folder / "journal.jsonl"
    content = path.read_bytes().split(b"\n")
    for line in lines:
        content[line] = b"rubbish"
    path.write_bytes(b"\n".join(content))


def labels_of(folder, identity):
    slices = read_record(folder, identity).slices(dtype=UINT8)
    return {index: history.seen.unpacked() for index, history in slices.items()}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.mark.parametrize("seed", range(8))
def test_window_training_and_replay_see_the_same_masks(project, identity, tmp_path, seed):
    work, folder = worked_on(project, identity, seed)
    damage(folder, range(20, 30))
    before = (folder / "journal.jsonl").read_bytes()
    seen = labels_of(folder, identity)
    for index, labels in seen.items():
        assert np.array_equal(labels, work.labels[index])
    line = read_journal(folder / "journal.jsonl").events[-1].n + 1
    part = RunPart(folder.name, line, tuple(seen), "|u1")
    for index, known in part.known(project.folder).items():
        assert known.seen.is_of(work.labels[index])
    said = [one.sentence for one in rerun(project, tmp_path / "again")]
    assert "line 21 is damaged" in said[0]
    assert "5 slices are as in their mask files" in said[0]
    assert (folder / "journal.jsonl").read_bytes() == before
    (again,) = Project(tmp_path / "again").records()
    for index, labels in labels_of(*again).items():
        assert np.array_equal(labels, work.labels[index])


def test_a_training_learns_what_the_window_would_show_of_other_images_and_names_the_damage(project):
    names, folders = ("here", "there"), []
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 255, SHAPE).astype(np.uint8)
        source = SliceSource(pixels, is_colour=False)
        identity = ImageIdentity.of(source, name)
        work, folder = worked_on(project, identity, seed=1)
        keep_copy(folder, source)
        folders.append(folder)
    damage(folders[1], range(20, 30))
    plan = RunPlan("run", (RunPart(folders[0].name, 1, (), "|u1"),), "lite_medsam", "", {})
    request = RetrainRequest((), TrainingConfig())
    _, request, said = with_other_images(project, plan, request)
    (image,) = request.images
    for index, labels in image.masks.items():
        assert np.array_equal(labels, work.labels[index])
    assert said[0].startswith("there: journal.jsonl, line 21 is damaged: its checksum is wrong.")
    assert "more." in said[0]


def test_what_was_mended_is_stated_and_survives_the_loss_of_its_file(project, identity):
    work, folder = worked_on(project, identity)
    damage(folder, range(20, 30))
    line = read_journal(folder / "journal.jsonl").events[-1].n + 1
    part = RunPart(folder.name, line, tuple((z,) for z in range(5)), "|u1")
    record = ImageRecord(folder, identity)
    restored = record.restore(UINT8)
    assert any("taken from its mask file" in trouble for trouble in restored.troubles)
    assert record.journal.flush(60)
    for path in (folder / "masks").iterdir():
        path.unlink()
    record.close()
    for path in (folder / "masks").iterdir():
        path.unlink()
    for index, labels in labels_of(folder, identity).items():
        assert np.array_equal(labels, work.labels[index])
    # A run that had learned from it before still finds what it learned from.
    for index, known in part.known(project.folder).items():
        assert known.seen.is_of(work.labels[index])
    record = ImageRecord(folder, identity)
    again = record.restore(UINT8)
    record.close()
    assert not any(known.now.made_with for known in again.slices.values())
    assert not any("mask file" in trouble for trouble in again.troubles)
    assert np.array_equal(brought_back(again)[1], work.labels)


def test_what_was_painted_after_a_file_was_written_goes_on_top_of_it(project, identity):
    work, folder = worked_on(project, identity)
    old = {path: path.read_bytes() for path in (folder / "masks").iterdir()}
    record = ImageRecord(folder, identity)
    work.tracker.listener = record.listen
    n_before = record.journal.last
    for _ in range(30):
        work._paint(2)
    record.close()
    for path, content in old.items():  # killed before its files were written
        path.write_bytes(content)
    damage(folder, range(10, n_before))
    assert np.array_equal(labels_of(folder, identity)[(2,)], work.labels[2])


def test_the_end_of_a_journal_that_is_lost_is_taken_from_the_files(project, identity):
    work, folder = worked_on(project, identity)
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:40]))
    record = ImageRecord(folder, identity)
    restored = record.restore(UINT8)
    assert np.array_equal(brought_back(restored)[1], work.labels)
    assert any("taken from its mask file" in trouble for trouble in restored.troubles)
    # No number is given again that may have been that of a lost line.
    assert record.journal.last > max(read_mask_file(one)[0] for one in _masks(folder))
    record.close()
    numbers = [event.n for event in read_journal(path).events]
    assert numbers == sorted(set(numbers))
    assert labels_of(folder, identity).keys() == restored.slices.keys()


def test_a_file_of_no_slice_of_the_image_is_left_alone(project, identity):
    _, folder = worked_on(project, identity)
    damage(folder, [20])
    for name in ("0005.tif", "0001-0002.tif", "image.tif"):
        write_mask(folder / "masks" / name, 99, np.ones(identity.shape[-2:], np.uint8))
    write_mask(folder / "masks" / mask_name((1,)), 99, np.ones((3, 3), np.uint8))
    assert labels_of(folder, identity).keys() <= {(z,) for z in range(5)}


def test_a_label_of_a_lost_line_decides_what_type_holds_them_all(project, identity):
    _, folder = worked_on(project, identity)
    damage(folder, [20])
    labels = np.full(identity.shape[-2:], 300, np.uint16)
    write_mask(folder / "masks" / mask_name((1,)), 99, labels)
    record = ImageRecord(folder, identity)
    assert record.masks_dtype() == np.uint16
    assert np.array_equal(record.restore(record.masks_dtype()).slices[(1,)].seen.unpacked(), labels)
    record.close()


def test_a_journal_that_does_not_fit_its_image_is_named(project, identity):
    _, folder = worked_on(project, identity)
    content = (folder / "image.json").read_text()
    (folder / "image.json").write_text(content.replace("24,", "3,"))
    ((folder, smaller),) = project.records()
    assert smaller.shape == (5, 3, 30)
    with pytest.raises(StorageError, match="The journal of frames does not fit it: a run lies"):
        labels_of(folder, smaller)


def _masks(folder):
    return sorted((folder / "masks").glob("*.tif"))
