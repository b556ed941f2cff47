"""What a training learns from the other images of a project."""

import numpy as np

from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.overview import ImageOverview
from napari_sam_adapter.project.pixels import COPY, keep_copy
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.retrain_request import RetrainRequest
from napari_sam_adapter.project.run_folder import RunPart, RunPlan
from napari_sam_adapter.project.run_request import with_other_images
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.volumes.slice_source import SliceSource
from tests.project.work import SHAPE


def corrected(project, name, marks):
    """Mark each slice of an image with a label; return its record's folder."""
    pixels = np.random.default_rng(len(name)).integers(0, 255, SHAPE).astype(np.uint8)
    source = SliceSource(pixels, is_colour=False)
    record = project.open_record(ImageIdentity.of(source, name))
    keep_copy(record.folder, source)
    tracker = SliceTracker(SHAPE[1:])
    tracker.listener = record.listen
    for z, label in enumerate(marks):
        tracker.observe((z,), np.full(SHAPE[1:], label, np.int8), painted=True)
    record.close()
    return record.folder


def test_slices_with_labels_below_0_are_left_out_which_is_said(tmp_path):
    project = Project(tmp_path / "project")
    here = corrected(project, "here", [1])
    there = corrected(project, "there", [1, -1, 1])
    done = ImageOverview.of(there, ImageIdentity.read(there)).done
    assert (done.n_corrected, done.n_ready) == (3, 2)
    plan = RunPlan("run", (RunPart(here.name, 1, (), "|i1"),), "lite_medsam", "", {})
    request = RetrainRequest((), TrainingConfig())
    plan, request, said = with_other_images(project, plan, request)
    assert [*request.images[0].masks] == [*plan.parts[1].slices] == [(0,), (2,)]
    assert said == ["there: 1 slice holds labels below 0 and is left out."]


def test_an_image_whose_copy_is_damaged_is_left_out_and_the_others_are_learned_from(tmp_path):
    project = Project(tmp_path / "project")
    here, there, _ = (corrected(project, name, [1]) for name in ("here", "there", "elsewhere"))
    (there / COPY).write_bytes((there / COPY).read_bytes()[:200])
    plan = RunPlan("run", (RunPart(here.name, 1, (), "|i1"),), "lite_medsam", "", {})
    _, request, said = with_other_images(project, plan, RetrainRequest((), TrainingConfig()))
    assert [image.name for image in request.images] == ["elsewhere"]
    (sentence,) = said
    assert sentence.startswith("there is left out: there was opened from no file, and its copy")
