"""A project on the command line: where everything comes from, and the same again."""

import errno
import json
import math
import re
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.cli import main
from napari_sam_adapter.cli.version_story import version_story
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.errors import ImageError, StorageError
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_layers import ImageLayers
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.rerun import rerun
from napari_sam_adapter.project.run_folder import RunPart, RunPlan
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.versions.adapter_store import maker_names
from napari_sam_adapter.volumes.slice_source import SliceSource


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which three frames were corrected, learned from, and corrected further."""
    home = tmp_path_factory.mktemp("lab")
    stack = synthetic_polyps(3, (64, 64), seed=6)
    tifffile.imwrite(home / "frames.tif", stack.frames, photometric="rgb")
    source = SliceSource(stack.frames, is_colour=True)
    project = Project(home / "project")
    record = project.open_record(ImageIdentity.of(source, "frames", str(home / "frames.tif")))
    tracker, labels = SliceTracker((64, 64)), np.zeros((3, 64, 64), np.uint8)
    tracker.listener = record.listen
    for z in range(3):
        labels[z] = stack.masks[z]
        tracker.observe((z,), labels[z], painted=True)
    tracker.set_accepted((1,), labels[1], True)
    config = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=6, prompted_share=0)
    part = RunPart(record.folder.name, record.journal.last + 1, ((0,), (1,), (2,)), "|u1")
    details = RunPlan("r1", (part,), "lite_medsam", "", {}).described()
    record.note("training", details)
    labels[2, :9] = 1  # after the run was begun: nothing it learned from
    tracker.observe((2,), labels[2], painted=True)
    job = TrainingJob(
        samples=[
            TrainingSample(stack.frames[z], stack.masks[z].astype(np.uint8), f"frames, slice {z}")
            for z in range(3)
        ],
        out=project.adapters.working_path(),
        config=config,
        base="lite_medsam",
        input_size=56,
        device="cpu",
    )
    saved = next(event for event in run_job(job) if isinstance(event, AdapterSaved))
    version = project.adapters.adopt(saved.path)
    card = version.card
    record.note("trained", {"run": "r1", "adapter": card.adapter_id, "version": 1})
    record.close()
    return home


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_show_tells_what_became_of_every_slice_and_adapter(finished, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # readline sets it for xdist's processes
    assert run("project", "show", finished / "project", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (image,) = found["images"]
    assert [one["index"] for one in image["slices"]] == [[0], [1], [2]]
    assert [one["effort"]["strokes"] for one in image["slices"]] == [1, 1, 2]
    assert [one["accepted_at"] is not None for one in image["slices"]] == [False, True, False]
    assert found["adapters"][0]["parent"] == "the base model"
    assert len(found["adapters"][0]["training"]["trained_on"]) == 3
    assert len(image["rounds"]) == 2
    run("project", "show", finished / "project")
    shown = capsys.readouterr().out
    assert "v1" in shown
    (adapter,) = found["adapters"]
    training = adapter["training"]
    for name, digests in zip(training["slices"], training["masks"], strict=True):
        assert f"{name} ({digests[0][:8]} {digests[1][:8]}" in shown
    assert f"base      lite_medsam, sha256 {adapter['base_sha256'][:12]}\n" in shown
    assert re.search(
        r"run       quick, 6 steps in \d+ s, on cpu in (fp32|bf16), completed\n", shown
    )
    assert re.search(r"settings  .*learning_rate .*, max_steps 6", shown)
    assert re.search(r"curve     loss \d\.\d{3} \(step 1\) → \d\.\d{3} \(step 6\)", shown)
    assert "note" not in shown
    assert "Round 2: 1 slice, 1 stroke, " in shown
    assert "Round 1: 3 slices, 3 strokes, " in shown
    assert "…" not in shown, "nothing is cut where there is no terminal"
    assert str(finished / "frames.tif") in shown, "nor broken into lines"
    assert re.search(r"\b20\d\d-\d\d-\d\d \d\d:\d\d\b", shown)


def test_the_story_of_a_version_has_its_note_and_marks_what_was_held_out():
    adapter = {
        "version": "v2",
        "name": "flat",
        "note": "from Ann,\nsecond try",
        "parent": "v1",
        "base": "sam",
        "base_sha256": "a" * 64,
        "classes": ["polyp"],
        "training": {
            "slices": ["one", "two"],
            "masks": [["1" * 64, "2" * 64], ["3" * 64, "4" * 64]],
            "held_out": ["3" * 64],
            "held_out_scores": [["two", 0.5, 0.75]],
            "curve": {"held_out_dice": [[0, 0.5], [4, 0.8], [9, 0.75]]},
        },
    }
    assert version_story(adapter) == [
        "v2 flat",
        "  note      from Ann, second try",
        "  parent    v1",
        f"  base      sam, sha256 {'a' * 12}",
        "  classes   polyp",
        "  slices    2: one (11111111 22222222); two (33333333 44444444, held out)",
        "  scores    two: 0.500 → 0.750",
        "  curve     held-out Dice 0.500 (step 0) → 0.750 (step 9), at best 0.800 (step 4)",
    ]
    # A version whose file says nothing of a run.
    assert len(version_story(adapter | {"training": {}, "note": ""})) == 4


def test_replay_gives_the_same_masks_and_an_adapter_of_the_same_slices(finished, tmp_path, capsys):
    run("project", "replay", finished / "project", "--out", tmp_path / "again", "--device", "cpu")
    assert "3 slices are as in their mask files" in " ".join(capsys.readouterr().out.split())
    first, again = Project(finished / "project"), Project(tmp_path / "again")
    (old,), (new,) = first.adapters.versions(), again.adapters.versions()
    assert new.card.training["replays"] == old.card.adapter_id
    assert new.card.training["trained_on"] == old.card.training["trained_on"]
    assert new.card.training["steps"] == old.card.training["steps"] == 6
    masks = [sorted(p.folder.glob("images/*/masks/*.tif")) for p in (first, again)]
    for there, here in zip(*masks, strict=True):
        assert np.array_equal(tifffile.imread(there), tifffile.imread(here))
    # Same seed, steps and masks on the same machine: the same weights.
    assert new.card.training["last_loss"] == pytest.approx(old.card.training["last_loss"], rel=0.05)


def test_adapters_can_be_kept_where_the_images_are_gone(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "project", copy)
    list(rerun(Project(copy), tmp_path / "again", keep_adapters=True))
    kept = Project(tmp_path / "again").adapters.get(1)
    assert kept.card == Project(copy).adapters.get(1).card


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda values: values | {"schema_version": 2}, "schema version 2"),
        (lambda values: values | {"shape": None}, "is damaged"),
    ],
)
def test_an_image_that_cannot_be_read_is_named_and_not_replayed_without(
    finished, tmp_path, capsys, damage, sentence
):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "project", copy)
    (path,) = copy.glob("images/*/image.json")
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    run("project", "show", copy, "--json")
    (trouble,) = json.loads(capsys.readouterr().out)["troubles"]
    assert sentence in trouble
    run("project", "show", copy)
    assert sentence in capsys.readouterr().out
    assert run("project", "replay", copy, "--out", tmp_path / "again", "--keep-adapters") == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Nothing was written" in said
    assert not (tmp_path / "again").exists()


def with_a_key(line):
    """A line of a newer version, its checksum right."""
    body = line[: line.rindex(b',"crc"')] + b',"depth":1'
    return body + b',"crc":"%08x"}\n' % zlib.crc32(body + b"}")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (Event("merged").to_line(99), "says 'merged'"),
        (with_a_key(Event("training").to_line(99)), "has the key 'depth'"),
    ],
)
def test_a_journal_of_a_newer_version_is_named_and_not_replayed(
    finished, tmp_path, capsys, line, what
):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "project", copy)
    (path,) = copy.glob("images/*/journal.jsonl")
    path.write_bytes(path.read_bytes() + line)
    run("project", "show", copy, "--json")
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert f"{what}, which this version does not know" in image["troubles"][0]
    assert run("project", "replay", copy, "--out", tmp_path / "again", "--keep-adapters") == 2
    assert "update napari-sam-adapter" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "again").exists()


def test_names_notes_classes_and_what_was_chosen_come_along(finished, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "project", copy)
    project = Project(copy)
    project.keep_classes(Classes().with_one_more().renamed(2, "tumour"))
    project.adapters.describe(1, "first round", "three frames")
    project.adapters.set_base("mobile_sam")
    project.adapters.set_active(None)
    project.adapters.adopt(shutil.copyfile(project.adapters.path_of(1), copy / "one.safetensors"))
    project.adapters.delete(2)
    list(rerun(project, tmp_path / "again", device="cpu"))
    again = Project(tmp_path / "again")
    (version,) = again.adapters.versions()
    assert (version.name, version.note) == ("first round", "three frames")
    assert again.classes == project.classes
    assert again.adapters.base == "mobile_sam"
    assert again.adapters.active is None
    assert again.adapters.next_number() == 3
    assert [one.number for one in again.adapters.deleted()] == [2]
    # Masks that the first one made are still explained.
    names = maker_names([version], [])
    assert names[version.card.training["replays"]] == names[version.card.adapter_id] == "v1"


@pytest.mark.parametrize("damage", ["a foreign journal", "a full disk", "an interruption"])
def test_a_replay_that_fails_leaves_nothing_behind(finished, tmp_path, capsys, monkeypatch, damage):
    copy, out = tmp_path / "copy", tmp_path / "somewhere" / "again"
    shutil.copytree(finished / "project", copy)
    if damage == "a foreign journal":
        (path,) = copy.glob("images/*/image.json")
        values = json.loads(path.read_text())
        path.write_text(json.dumps(values | {"shape": [3, 4, 64]}))
        assert run("project", "replay", copy, "--out", out, "--keep-adapters") == 2
        assert "does not fit it: a run lies outside" in " ".join(capsys.readouterr().err.split())
    elif damage == "a full disk":

        def copyfile(*paths):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", copyfile)
            assert run("project", "replay", copy, "--out", out, "--keep-adapters") == 2
        assert "No space left on device. Nothing is left" in " ".join(
            capsys.readouterr().err.split()
        )
    else:
        going_on = rerun(Project(copy), out, keep_adapters=True)
        next(going_on)
        going_on.close()
    assert not list(tmp_path.glob("somewhere/*"))
    shutil.rmtree(copy)
    shutil.copytree(finished / "project", copy)
    list(rerun(Project(copy), out, keep_adapters=True))
    assert len(Project(out).adapters.versions()) == 1


def test_boxes_and_points_come_along(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "project", copy)
    ((_, identity),) = Project(copy).records()
    file = Project(copy).open_layers(identity)
    drawn = ImageLayers(points=(((0.0, 3.0, 4.0), "object"),))
    file.put(drawn)
    file.close()
    list(rerun(Project(copy), tmp_path / "again", keep_adapters=True))
    again = Project(tmp_path / "again").open_layers(identity)
    assert again.contents == drawn
    again.close()


def add_image(project, name):
    """Work on another image of a project, and close it."""
    other = synthetic_polyps(1, (64, 64), seed=7)
    identity = ImageIdentity.of(SliceSource(other.frames, is_colour=True), name)
    return project.open_record(identity)


def without_trained(journal):
    """Return the line that says that a run made an adapter, and take it out of its journal."""
    *others, trained = read_journal(journal).events
    assert trained.do == "trained"
    journal.write_bytes(b"".join(event.to_line(event.n) for event in others))
    return trained


def test_a_run_that_ended_while_another_image_was_open_is_replayed_too(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "project", copy)
    (journal,) = copy.glob("images/*/journal.jsonl")
    trained = without_trained(journal)
    other = add_image(Project(copy), "another")
    other.note("trained", trained.details)
    other.close()
    said = [one.sentence for one in rerun(Project(copy), tmp_path / "again", device="cpu")]
    assert any("v1 was trained again" in sentence for sentence in said)


def test_a_run_whose_end_nobody_could_write_down_is_known_by_the_card_of_its_adapter(
    finished, tmp_path
):
    project = Project(finished / "project")
    list(rerun(project, tmp_path / "again", device="cpu"))
    again = Project(tmp_path / "again")
    (journal,) = again.folder.glob("images/*/journal.jsonl")
    without_trained(journal)
    assert again.adapters.get(1).card.training["run"] == "r1"
    said = [one.sentence for one in rerun(again, tmp_path / "once more", device="cpu")]
    assert any("v1 was trained again" in sentence for sentence in said)


def test_replay_says_where_an_adapter_learns_from_other_masks_than_then(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "project", copy)
    (journal,) = copy.glob("images/*/journal.jsonl")
    first, *others = read_journal(journal).events
    events = [replace(first, runs=first.runs[:3]), *others]
    journal.write_bytes(b"".join(event.to_line(event.n) for event in events))
    said = [one.sentence for one in rerun(Project(copy), tmp_path / "again", device="cpu")]
    assert any("v1: 1 of 3 masks are not those it learned from then" in one for one in said)


def test_images_that_moved_are_asked_for_and_found(finished, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(finished / "frames.tif", moved / "frames.tif")
    try:
        with pytest.raises(ImageError, match=r"is not at .*frames\.tif.*--images"):
            list(rerun(Project(finished / "project"), tmp_path / "one", device="cpu"))
        project = Project(finished / "project")
        list(rerun(project, tmp_path / "two", images=moved, device="cpu"))
    finally:
        shutil.move(moved / "frames.tif", finished / "frames.tif")
    assert len(Project(tmp_path / "two").adapters.versions()) == 1


def test_a_folder_that_is_there_is_not_written_into(finished, tmp_path):
    with pytest.raises(StorageError, match="is there already; nothing was written"):
        list(rerun(Project(finished / "project"), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_project_is_refused(tmp_path, capsys):
    assert run("project", "show", tmp_path) == 2
    assert "There is no project in" in " ".join(capsys.readouterr().err.split())
