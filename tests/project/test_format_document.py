"""docs/project-format.md names every key that the program writes into a project."""

import ast
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import napari_sam_adapter
from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.adapter.config import Condition
from napari_sam_adapter.annotations.made_with import by_filling, by_help, by_model
from napari_sam_adapter.annotations.slice_history import LabelChange
from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine.predictor import ModelReference
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_layers import ImageLayers
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.retrain_request import MarkedImage, RetrainRequest
from napari_sam_adapter.project.run_folder import RunFolder, RunPart, RunPlan
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.sam.weights import read_plain
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import AdapterSaved, run_job
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.volumes.depth import Depth
from napari_sam_adapter.volumes.slice_source import SliceSource
from napari_sam_adapter.volumes.volume_help import VolumeHelp

PACKAGE = Path(napari_sam_adapter.__file__).parent
DOCUMENT = (PACKAGE.parent / "docs" / "project-format.md").read_text(encoding="utf-8")
# Objects whose keys are numbers of versions or of views, or names of classes or conditions.
OF_DATA = {"versions", "confidence_pairs", "held_out_dice_classes"}
CONFIG = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=3)


def keys_in(value):
    """Every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            is_weights = key == "conditions" and isinstance(inner, dict)
            is_data = key in OF_DATA or is_weights
            yield from keys_in(list(inner.values()) if is_data else inner)
    elif isinstance(value, list):
        for one in value:
            yield from keys_in(one)


def is_named(key):
    return f"`{key}`" in DOCUMENT


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A project with at least one of everything, and the keys of a checkpoint."""
    project = Project(tmp_path_factory.mktemp("lab") / "project")
    stack = synthetic_polyps(7, (64, 64), seed=6)
    source = SliceSource(stack.frames, is_colour=True)
    identity = ImageIdentity.of(source, "frames", "frames.tif")
    record = project.open_record(identity)
    masks = stack.masks.astype(np.uint8)
    plan = work_on(record, masks)
    layers = project.open_layers(identity)
    rectangle = ("rectangle", ((0.0, 1.0, 1.0), (0.0, 4.0, 4.0)))
    points = (((0.0, 3.0, 4.0), "object"),)
    layers.put(ImageLayers((1.0, 2.0, 2.0), ("mm", "mm", "mm"), (rectangle,), points))
    layers.close()
    RunFolder(project.folder, plan).leave()
    project.keep_classes(Classes())
    keys = set()
    for _ in range(2):
        keys |= trained(project, source, masks)
    project.adapters.describe(2, "late", "a note")
    project.adapters.set_active(2)
    project.adapters.delete(1)
    record.close()
    return project.folder, keys


def work_on(record, masks):
    """Predict, paint, undo, accept, state and train: every line that a journal may have."""
    tracker, labels = SliceTracker((64, 64)), np.zeros(masks.shape, np.uint8)
    tracker.listener = record.listen
    tracker.adopt((6,), masks[6])
    model = ModelReference("lite_medsam", None, 256, views=2)
    help_ = VolumeHelp(1.0, 32, {(6,): masks[6]}, True)
    prompts = Prompts(np.ones((1, 4)), np.ones((1, 2)), np.ones(1, bool))
    made_with = prompts.described() | by_model(model, bf16=True)
    made_with |= by_help(help_, (0,), Depth(0), "")
    made_with |= by_filling([1, 6], (2,), 0, (1.0, 1.0), "") | {"numbered": True}
    change = LabelChange.between(labels[0], masks[0])
    tracker.prediction_written((0,), masks[0], change, "", 0.5, made_with)
    for label, painted in ((2, True), (3, True), (0, False)):
        labels[1, :9] = label
        tracker.observe((1,), labels[1], painted=painted, stroke=7)
    for accepted in (True, False):
        tracker.set_accepted((1,), labels[1], accepted)
    record.state((0,), tracker.history_of((0,)))
    part = RunPart(record.folder.name, record.journal.last + 1, ((0,), (1,)), "|u1")
    plan = RunPlan("r2", (part,), "lite_medsam", "", CONFIG.to_dict(), follows="r1")
    plan = replace(plan, conditions={"high_frequency": 1.0})
    record.note("training", plan.described())
    record.note("trained", {"run": "r2", "adapter": "a", "version": 1})
    return plan


def trained(project, source, masks):
    """Train the next version as the dock does; return the keys of its checkpoint."""
    image = MarkedImage(source, {(z,): masks[z] for z in range(7)}, "frames", "frames")
    checkpoint = RunCheckpoint(project.folder / "checkpoint", every=1)
    request = RetrainRequest((image,), CONFIG, 56, checkpoint=checkpoint, run="r2")
    job = request.job(
        ModelReference("lite_medsam"),
        True,
        project.adapters.working_path(),
        project.folder / "refuge",
        "cpu",
    )
    keys = set()
    for event in run_job(job):
        if checkpoint.path.exists():
            keys |= read_plain(checkpoint.path).keys()
        if isinstance(event, AdapterSaved):
            project.adapters.adopt(event.path)
    return keys


def test_every_key_of_every_json_file_and_journal_line_is_named(written):
    folder, _ = written
    found = {}
    for path in folder.rglob("*.json*"):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for line in lines:
            found |= dict.fromkeys(keys_in(json.loads(line)), path.name)
    kinds = {re.sub(r"[0-9a-f]{64}|\d{4}", "N", name) for name in found.values()}
    assert {"journal.jsonl", "image.json", "run.json", "versions.json", "N.json"} <= kinds
    assert {"continues", "follows", "heeded", "between", "human", "crc"} <= found.keys()
    assert {key: name for key, name in found.items() if not is_named(key)} == {}


def test_every_word_for_what_happened_is_named(written):
    folder, _ = written
    (journal,) = folder.glob("images/*/journal.jsonl")
    deeds = {json.loads(line)["do"] for line in journal.read_text().splitlines()}
    assert len(deeds) == 9
    assert all(map(is_named, deeds))


def test_every_key_of_an_adapters_card_is_named(written):
    folder, _ = written
    (gone,) = folder.glob("adapters/deleted/*.json")
    in_file = next(folder.glob("adapters/adapter-*.safetensors"))
    with safe_open(str(in_file), framework="np") as file:
        metadata = file.metadata()
    assert metadata.keys() == json.loads(gone.read_text())["metadata"].keys()
    keys = {*metadata, *keys_in(json.loads(metadata["card"]))}
    assert {"run", "curve", "box_dice", "forked_at", "gradient_clip"} <= keys
    assert [key for key in keys if not is_named(key)] == []


def test_every_note_that_a_command_adds_to_a_card_is_named():
    notes = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_keyword = isinstance(node, ast.keyword) and node.arg == "notes"
            is_name = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "notes"
            if (is_keyword or is_name) and isinstance(node.value, ast.Dict):
                notes |= {key.value for key in node.value.keys}
    assert {"replays", "preset", "imported_from"} <= notes
    assert [note for note in notes if not is_named(note)] == []


def test_every_tensor_of_an_adapter_is_named():
    settings = ModelSettings.default("lite_medsam")
    conditions = (Condition("gradient"), *settings.adapter.conditions)
    shape = replace(settings.adapter, conditions=conditions)
    model = build_adapted_sam(
        settings.with_changes(adapter=shape, class_names=("a", "b"), own_prompt_embedding=True)
    )
    names = {key.removesuffix(".weight").removesuffix(".bias") for key in model.state_dict()}
    for one in names:
        general = re.sub(r"\.\d+(?=\.|$)", ".N", one)
        general = re.sub(r"image_tune\.\w+", "image_tune.NAME", general)
        is_decoder = general.startswith("mask_decoder.")
        assert is_named("mask_decoder.…" if is_decoder else general), one


def test_every_key_of_a_checkpoint_is_named(written):
    _, keys = written
    assert {"identity", "optimizer", "kept"} <= keys
    assert [key for key in keys if not is_named(key)] == []
