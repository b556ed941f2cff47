"""The project folder: made when needed, taken over from earlier versions, refused when newer."""

import json
import os
from dataclasses import replace

import pytest

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.journal import JOURNAL
from napari_sam_adapter.project.other_images import other_images
from napari_sam_adapter.project.project import Project

MORNING, EVENING = "2026-01-01T09:00:00.000+00:00", "2026-01-01T18:00:00.000+00:00"


def test_looking_at_a_project_writes_nothing(tmp_path):
    project = Project(tmp_path / "new")
    assert project.records() == []
    assert project.adapters.versions() == []
    assert not (tmp_path / "new").exists()


def test_a_project_that_was_moved_is_not_made_again_at_its_old_place(tmp_path, identity):
    project = Project(tmp_path / "here")
    project.open_record(identity).close()
    (tmp_path / "here").rename(tmp_path / "there")
    for write in (
        lambda: project.open_record(identity),
        lambda: project.open_layers(identity),
        lambda: project.keep_classes(Classes()),
    ):
        with pytest.raises(StorageError, match=r"project.*here is gone.*choose it where it is now"):
            write()
    assert not (tmp_path / "here").exists()
    assert Project(tmp_path / "there").folders_of(identity)


def test_a_project_on_a_drive_that_does_not_answer_is_not_there(tmp_path, silent_drive):
    project = Project(tmp_path)
    project.create()
    silent_drive.add(tmp_path)
    assert not project.is_there
    with pytest.raises(StorageError, match="could not be read: Host is down"):
        project.create()
    silent_drive.clear()
    assert project.is_there


def test_an_image_finds_its_record_again(tmp_path, identity):
    record = Project(tmp_path).open_record(identity)
    record.close()
    again = Project(tmp_path).open_record(identity)
    again.close()
    assert again.folder == record.folder
    assert [known for _, known in Project(tmp_path).records()] == [identity]


def test_a_second_masks_layer_of_an_image_gets_a_record_of_its_own(tmp_path, identity):
    project = Project(tmp_path)
    first = project.open_record(identity)
    second = project.open_record(identity, besides={first.folder})
    assert second.folder != first.folder
    first.close()
    second.close()


def test_of_a_copied_project_the_masks_worked_on_last_are_known_though_file_times_are_not(
    tmp_path, identity
):
    project = Project(tmp_path)
    first = project.open_record(identity)
    second = project.open_record(identity, besides={first.folder})
    for record, at in ((second, MORNING), (first, EVENING)):
        record.journal.append(Event("painted", at, slice=(0,), runs=(5, 3, 1)))
        record.close()
    # As a copy leaves them, which goes by the name.
    for seconds, record in enumerate((first, second)):
        os.utime(record.folder / JOURNAL, (seconds, seconds))
    assert project.folders_of(identity) == [first.folder, second.folder]
    other = replace(identity, digest="fedcba9876543210")
    assert [folder for folder, _ in other_images(project, other)] == [first.folder]
    # Where a journal does not say when, its file's time is all there is.
    for record in (first, second):
        (record.folder / JOURNAL).write_bytes(b"damaged\n")
    os.utime(first.folder / JOURNAL, (1, 1))
    assert project.folders_of(identity) == [second.folder, first.folder]


def test_a_folder_of_bare_adapters_becomes_a_project_and_loses_nothing(tmp_path):
    (tmp_path / "adapter-0003.safetensors").write_bytes(b"three")
    (tmp_path / "active.json").write_text('{"active": 3}')
    (tmp_path / "notes.txt").write_text("the person's own")
    project = Project(tmp_path)
    assert (project.adapters.folder / "adapter-0003.safetensors").read_bytes() == b"three"
    assert (project.adapters.folder / "active.json").read_text() == '{"active": 3}'
    assert (tmp_path / "notes.txt").exists()
    assert json.loads((tmp_path / "project.json").read_text())["schema_version"] == 1


def test_a_newer_project_is_refused_and_left_alone(tmp_path):
    Project(tmp_path).create()
    path = tmp_path / "project.json"
    newer = json.loads(path.read_text()) | {"schema_version": 99}
    path.write_text(json.dumps(newer))
    with pytest.raises(StorageError, match=r"schema version 99.*update napari-sam-adapter"):
        Project(tmp_path)
    assert json.loads(path.read_text()) == newer


@pytest.mark.parametrize("content", ["", "[]", '{"format": "something else"}', '{"schema_version"'])
def test_a_damaged_description_is_named(tmp_path, content):
    (tmp_path / "project.json").write_text(content)
    with pytest.raises(StorageError, match=r"project\.json"):
        Project(tmp_path)


def test_classes_are_there_tomorrow(tmp_path):
    project = Project(tmp_path / "new")
    assert project.classes is None
    two = Classes().with_one_more().renamed(2, "tumour")
    project.keep_classes(two)
    assert Project(tmp_path / "new").classes == two


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(tmp_path, identity):
    record = Project(tmp_path).open_record(identity)
    record.note("training", {})
    record.close()
    path = record.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes() + Event("merged").to_line(2))
    before = path.read_bytes()
    described = (record.folder / "image.json").read_bytes()
    for _ in range(2):  # the first refusal leaves no lock behind
        with pytest.raises(StorageError, match=r"journal\.jsonl, line 2 says 'merged'.*update"):
            Project(tmp_path).open_record(replace(identity, patient="somebody"))
    assert path.read_bytes() == before
    assert (record.folder / "image.json").read_bytes() == described


@pytest.mark.parametrize("change", [{"schema_version": 99}, {"format": "something else"}])
def test_no_new_record_takes_the_place_of_one_that_cannot_be_read(tmp_path, identity, change):
    project = Project(tmp_path)
    record = project.open_record(identity)
    record.close()
    path = record.folder / "image.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"image\.json"):
        project.open_record(identity)
    assert path.read_bytes() == before
    assert [one.name for one in (tmp_path / "images").iterdir()] == [record.folder.name]


def test_no_new_record_takes_the_place_of_one_whose_description_is_gone(tmp_path, identity):
    project = Project(tmp_path)
    record = project.open_record(identity)
    record.note("training", {})
    record.close()
    (record.folder / "image.json").unlink()
    with pytest.raises(StorageError, match=r"image\.json could not be read"):
        project.open_record(identity)
    assert project.records() == []
    assert "image.json could not be read" in project.unreadable()[0]
