"""Several classes: a small network each, one labels image, one file."""

import math

import numpy as np
import pytest
import torch

from napari_sam_adapter.errors import CheckpointError, TrainingError
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings
from napari_sam_adapter.sam.checkpoint import load_adapter, save_adapter
from napari_sam_adapter.sam.predict import labels_from_logits, predict_masks
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import TrainingJob, run_job
from napari_sam_adapter.training.loop import train_adapter
from napari_sam_adapter.training.samples import TrainingSample, class_masks
from napari_sam_adapter.training.starting_model import with_classes

NAMES = ("polyp", "tool", "bubble")


@pytest.fixture
def three_classes(small_sam) -> AdaptedSam:
    return AdaptedSam(small_sam.base, small_sam.settings.with_changes(class_names=NAMES))


@pytest.fixture
def two_class_samples(samples) -> list[TrainingSample]:
    """The object, cut into a left and a right class."""
    result = []
    for sample in samples:
        labels = sample.labels.astype(np.uint8)
        labels[:, 32:] *= 2
        result.append(TrainingSample(sample.image, labels, sample.name))
    return result


def test_every_class_starts_from_sams_single_mask(small_sam, three_classes, samples):
    one, three = (predict_masks(m, samples[0].image) for m in (small_sam, three_classes))
    assert three.low_res_masks.shape[0] == 3
    for logits in three.low_res_masks:
        np.testing.assert_allclose(logits, one.low_res_masks[0], atol=1e-5)


def test_labels_are_the_likeliest_class_above_zero():
    logits = torch.tensor([[-1.0, 2.0, 1.0], [-2.0, 1.0, 3.0]])[None, :, None]
    assert labels_from_logits(logits).tolist() == [[[0, 1, 2]]]
    assert labels_from_logits(logits).dtype == torch.uint8


def test_training_tells_classes_apart(small_sam, samples):
    """What is no polyp is a class of its own here; the views of training turn left into right."""
    settings = small_sam.settings.with_changes(class_names=("polyp", "wall"))
    model = AdaptedSam(small_sam.base, settings)
    complete = [
        TrainingSample(s.image, np.where(s.labels, 1, 2).astype(np.uint8), s.name) for s in samples
    ]
    config = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=120, prompted_share=0.0)
    list(train_adapter(model, complete[:4], config))
    found = predict_masks(model, complete[0].image).labels
    assert mean_class_dice(found, complete[0].labels, 2) > 0.7


def test_a_slice_that_shows_only_some_classes_is_trained_on(three_classes, two_class_samples):
    config = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=2)
    finished = list(train_adapter(three_classes, two_class_samples[:2], config))[-1]
    assert finished.steps == 2


def test_a_label_beyond_the_classes_is_named(small_sam, two_class_samples):
    settings = small_sam.settings.with_changes(class_names=("left", "right"))
    model = AdaptedSam(small_sam.base, settings)
    two_class_samples[1].labels[3, 3] = 9
    with pytest.raises(TrainingError, match="slice 1 is marked with label 9, but there are 2"):
        list(train_adapter(model, two_class_samples[:2], TrainingConfig(max_seconds=1)))


def test_a_single_class_takes_any_label_as_the_object():
    labels = np.array([[0, 1, 7]])
    assert class_masks(labels, 1).tolist() == [[[False, True, True]]]
    assert class_masks(labels, 2).tolist() == [[[False, True, False]], [[False, False, False]]]


def test_names_and_colours_survive_the_file(fresh_sam, tmp_path):
    model = AdaptedSam(fresh_sam.base, fresh_sam.settings.with_changes(class_names=NAMES))
    path = tmp_path / "a.safetensors"
    save_adapter(path, model, gear="quick", class_colors=("#ff0000", "#00ff00", "#0000ff"))
    again, card = load_adapter(path)
    assert again.settings.class_names == NAMES
    assert card.class_colors == ("#ff0000", "#00ff00", "#0000ff")


def job(samples, out, **values) -> TrainingJob:
    config = TrainingConfig(gear="quick", max_seconds=math.inf, max_steps=1)
    return TrainingJob(samples=samples, out=out, config=config, base="lite_medsam", **values)


def test_a_class_may_be_added_to_an_adapter_that_knows_fewer(two_class_samples, tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    samples = two_class_samples[:1]
    list(run_job(job(samples, first, class_names=("left", "right"))))
    list(run_job(job(samples, second, class_names=("left", "right", "new"), init=first)))
    assert load_adapter(second)[1].class_names == ("left", "right", "new")


def test_added_classes_leave_the_known_ones_as_they_are(three_classes, samples):
    image = samples[0].image
    known = predict_masks(three_classes, image).low_res_masks
    grown = with_classes(three_classes, (*NAMES, "new"), "a file")
    found = predict_masks(grown, image).low_res_masks
    assert found.shape[0] == 4
    np.testing.assert_allclose(found[:3], known, atol=1e-5)


def test_other_names_go_to_the_same_labels_as_in_the_docks_list(three_classes, samples):
    image = samples[0].image
    known = predict_masks(three_classes, image).low_res_masks
    renamed = with_classes(three_classes, ("tool", "polyp", "bubble"), "a file")
    assert renamed.settings.class_names == ("tool", "polyp", "bubble")
    np.testing.assert_array_equal(predict_masks(renamed, image).low_res_masks, known)


def test_fewer_classes_than_an_adapter_knows_are_refused(three_classes):
    with pytest.raises(CheckpointError, match=r"knows 3 classes .*, more than are asked for"):
        with_classes(three_classes, ("polyp",), "a file")


@pytest.mark.parametrize("names", [(), ("a", "a"), ("a", " "), tuple(map(str, range(33)))])
def test_names_that_cannot_tell_classes_apart_are_refused(samples, tmp_path, names):
    with pytest.raises(ValueError, match="class"):
        ModelSettings("lite_medsam", 128, "none", class_names=names)
    with pytest.raises(TrainingError, match="classes cannot be used"):
        list(run_job(job(samples[:1], tmp_path / "a.safetensors", class_names=names)))
