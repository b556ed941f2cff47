"""`project replay` predicts again what was predicted, and says how much came out the same."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from napari_sam_adapter.annotations.made_with import by_filling, by_help, by_model
from napari_sam_adapter.annotations.slice_history import FILLED
from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.cli import main
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine.predict_slices import predict_slices, predict_slices_helped
from napari_sam_adapter.engine.predictor import ModelReference, Predictor, SlicePredicted
from napari_sam_adapter.project.events import now
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.journal import read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.rerun import rerun
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.volumes.slice_source import SliceSource
from napari_sam_adapter.volumes.volume_help import VolumeHelp
from napari_sam_adapter.widgets.predict.numbering import numbered

SIZE, N, SIDE = 112, 9, 64
BOX = Prompts(np.array([[10, 12, 50, 55]], np.float32))


class Window:
    """What the dock does with slices, without a viewer: its process predicts them."""

    def __init__(self, home, n=N, side=SIDE):
        frames = synthetic_polyps(n, (side, side), seed=6).frames
        tifffile.imwrite(home / "frames.tif", frames, photometric="rgb")
        self.source = SliceSource(frames, is_colour=True)
        self.project = Project(home / "project")
        identity = ImageIdentity.of(self.source, "frames", str(home / "frames.tif"))
        self.record = self.project.open_record(identity)
        self.tracker, self.labels = SliceTracker((side, side)), np.zeros((n, side, side), np.uint8)
        self.tracker.listener = self.record.listen
        self.predictor = Predictor()

    def paint(self, z, where, label=1):
        self.labels[z][where] = label
        self.tracker.observe((z,), self.labels[z], painted=True)

    def predict(self, z, model, prompts=NO_PROMPTS, *, is_numbered=False):
        source = self.source
        (found,) = predict_slices(self.predictor, source, [(z,)], model, lambda: False, prompts)
        assert found.labels.any()
        made_with = prompts.described() | self.by_model(model)
        if is_numbered:
            made_with["numbered"] = True
            found = replace(found, labels=numbered(found.labels, self.labels.dtype))
            assert found.labels.max() > 1
        self.write(found, made_with)

    def predict_helped(self, indices, model, help_):
        as_of, depth = now(), self.source.depth
        for found in predict_slices_helped(
            self.predictor, self.source, indices, model, 1, help_, lambda: False
        ):
            made_with = self.by_model(model) | by_help(help_, found.index, depth, as_of)
            self.write(found, made_with)

    def by_model(self, model):
        return by_model(model, bf16=self.predictor.uses_bfloat16)

    def write(self, found, made_with):
        index = found.index
        labels = self.labels[index]
        change = self.tracker.plan_prediction(index, labels, found.labels)
        labels.ravel()[change.positions] = change.new
        self.tracker.prediction_written(index, labels, change, found.adapter_id, None, made_with)


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory):
    """A project in which slices were predicted in many ways, and corrected between."""
    home = tmp_path_factory.mktemp("lab")
    window = Window(home)
    v1, v2 = (
        ModelReference("lite_medsam", adopted(window.project, home, seed).path, None, "cpu", 2)
        for seed in (1, 2)
    )
    try:
        window.paint(0, np.s_[3:9, 3:20])
        window.predict(0, v1)
        window.predict(1, ModelReference("lite_medsam", None, SIZE, "cpu"))
        window.predict(2, v2)
        window.predict(3, v1, BOX)
        window.paint(4, np.s_[20:40, 20:40])
        known = {(4,): window.labels[4].copy()}
        help_ = VolumeHelp(0.5, None, known, spacing=(2.0, 1.0, 1.0))
        window.predict_helped([(5,)], v1, help_)
        window.predict_helped([(6,)], v1, VolumeHelp(tile=48))
        window.paint(4, np.s_[:], 0)  # since it was heeded
        window.paint(1, np.s_[:5])  # the person went on with a prediction
        filled = SlicePredicted((7,), window.labels[0], FILLED, None)
        window.write(filled, by_filling((0, 6), (7,), 0, (1, 1), now()))
        window.predict(8, v2, is_numbered=True)
    finally:
        window.predictor.close()
        window.record.close()
    return home


def adopted(project, home, seed):
    model = build_adapted_sam(ModelSettings.default("lite_medsam", SIZE))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.adapter.parameters():
            p += 0.02 * torch.randn(p.shape, generator=generator)
    save_adapter(home / "new.safetensors", model, gear="full")
    project.adapters.folder.mkdir(exist_ok=True, parents=True)
    return project.adapters.adopt(home / "new.safetensors")


@pytest.fixture
def project(worked_on, tmp_path):
    shutil.copytree(worked_on / "project", tmp_path / "copy")
    return Project(tmp_path / "copy")


def told(project, out, **options):
    said = [one.sentence for one in rerun(project, out, device="cpu", **options) if one.is_result]
    return next((one for one in said if "predicted slices" in one), None)


def test_every_slice_that_was_predicted_comes_out_the_same_pixel_by_pixel(
    worked_on, tmp_path, capsys
):
    arguments = ["--out", str(tmp_path / "again"), "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        main(["project", "replay", str(worked_on / "project"), *arguments])
    assert ended.value.code == 0
    assert "frames: 7 of 7 predicted slices identical." in capsys.readouterr().out


def test_a_slice_that_differs_is_named_with_its_dice(project, tmp_path):
    (journal,) = project.folder.glob("images/*/journal.jsonl")
    events = read_journal(journal).events
    first = next(i for i, one in enumerate(events) if one.slice == (2,))
    events[first] = replace(events[first], runs=(0, 300, 1))
    journal.write_bytes(b"".join(event.to_line(event.n) for event in events))
    sentence = told(project, tmp_path / "again")
    assert sentence.startswith(
        "frames: 6 of 7 predicted slices identical, 1 not, with a Dice of 0."
    )
    assert "slice 2)" in sentence


def test_what_cannot_be_predicted_again_is_counted_and_explained(project, worked_on, tmp_path):
    project.adapters.set_active(1)
    project.adapters.delete(2)
    sentence = told(project, tmp_path / "one")
    assert sentence == (
        "frames: 5 of 7 predicted slices identical. Not predicted again: 2 because the adapter "
        "that predicted is not in the project: v2 (deleted)."
    )
    moved = worked_on / "frames.tif"
    moved.rename(tmp_path / "frames.tif")
    try:
        gone = told(project, tmp_path / "two", keep_adapters=True)
    finally:
        (tmp_path / "frames.tif").rename(moved)
    assert gone.startswith("frames: 0 of 7 predicted slices identical. Not predicted again: 7 ")
    assert "frames is not at" in gone


def test_predicting_again_can_be_left_out(project, tmp_path):
    assert told(project, tmp_path / "again", predict=False) is None


def test_slices_predicted_in_bf16_come_out_the_same_where_that_does_not_pay(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv("NAPARI_SAM_ADAPTER_BF16", "1")  # for the window's process
        window = Window(tmp_path, 4)
        model = ModelReference("lite_medsam", None, SIZE, "cpu")
        try:
            window.predict(0, model)
            window.predict(1, model, BOX)
            window.predict_helped([(2,), (3,)], model, VolumeHelp(tile=48))
        finally:
            window.predictor.close()
            window.record.close()
    assert told(window.project, tmp_path / "out") == "frames: 4 of 4 predicted slices identical."


def test_slices_predicted_along_three_axes_come_out_the_same(tmp_path):
    window = Window(tmp_path, n=8, side=32)  # every row and column is a slice to predict
    base = ModelReference("lite_medsam", None, 56, "cpu")
    help_ = VolumeHelp(three_axes=True, spacing=(2.0, 1.0, 1.0))
    try:
        window.predict_helped([(0,), (2,)], base, help_)
        assert window.labels[2].any()
    finally:
        window.predictor.close()
        window.record.close()
    sentence = told(window.project, tmp_path / "again")
    assert sentence == "frames: 2 of 2 predicted slices identical."
