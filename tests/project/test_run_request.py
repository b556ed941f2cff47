"""What a training learns from the other images of a project."""

import numpy as np

from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.engine.job_message import job_in, job_request
from napari_sam_adapter.engine.predictor import ModelReference
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.overview import ImageOverview
from napari_sam_adapter.project.pixels import COPY, keep_copy
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.retrain_request import RetrainRequest
from napari_sam_adapter.project.run_folder import RunPart, RunPlan
from napari_sam_adapter.project.run_request import marked_image, with_other_images
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


def test_what_was_accepted_as_predicted_is_marked_also_in_other_images_and_when_a_run_goes_on(
    tmp_path,
):
    project = Project(tmp_path / "project")
    here = corrected(project, "here", [1])
    there = corrected(project, "there", [1, 1])
    record = project.open_record(ImageIdentity.read(there))
    tracker = SliceTracker(SHAPE[1:])
    tracker.listener = record.listen
    labels = np.zeros(SHAPE[1:], np.int8)
    change = tracker.plan_prediction((2,), labels, np.ones(SHAPE[1:], np.int8))
    labels.ravel()[change.positions] = change.new
    tracker.prediction_written((2,), labels, change, "adapter-a")
    tracker.set_accepted((2,), labels, True)
    record.close()
    plan = RunPlan("run", (RunPart(here.name, 1, (), "|i1"),), "lite_medsam", "", {})
    plan, request, _ = with_other_images(project, plan, RetrainRequest((), TrainingConfig()))
    again = marked_image(project, plan.parts[1])
    for image in (request.images[0], again):
        assert [sample.is_as_predicted for sample in image.samples()] == [False, False, True]
    job = RetrainRequest((again,), TrainingConfig()).job(
        ModelReference("lite_medsam"), True, tmp_path / "a", tmp_path / "b", "cpu"
    )
    sent = job_in(job_request("train", job, 0))
    assert [sample.is_as_predicted for sample in sent.samples] == [False, False, True]


def test_an_image_whose_copy_is_damaged_is_left_out_and_the_others_are_learned_from(tmp_path):
    project = Project(tmp_path / "project")
    here, there, _ = (corrected(project, name, [1]) for name in ("here", "there", "elsewhere"))
    (there / COPY).write_bytes((there / COPY).read_bytes()[:200])
    plan = RunPlan("run", (RunPart(here.name, 1, (), "|i1"),), "lite_medsam", "", {})
    _, request, said = with_other_images(project, plan, RetrainRequest((), TrainingConfig()))
    assert [image.name for image in request.images] == ["elsewhere"]
    (sentence,) = said
    assert sentence.startswith("there is left out: there was opened from no file, and its copy")
