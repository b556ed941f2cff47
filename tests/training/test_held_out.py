"""What held-out slices decide after training: who answers to boxes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.training import held_out
from napari_sam_adapter.training.held_out import box_answers_of, report_held_out
from napari_sam_adapter.training.samples import TrainingSample


@pytest.mark.parametrize(
    ("adapter", "base", "median_gain", "n_slices", "expected"),
    [
        (0.95, 0.90, 0.05, 8, "adapter"),
        (0.90, 0.87, 0.03, 4, "adapter"),
        (0.969, 0.963, 0.006, 16, "base"),
        (0.89, 0.90, -0.01, 8, "base"),
        (0.99, 0.50, 0.49, 3, "base"),
        (0.61, 0.54, -0.05, 5, "base"),  # one slice that the base model misses decides the mean
        (0.90, 0.89, 0.04, 5, "base"),
        (None, None, None, 0, "base"),
    ],
)
def test_boxes_are_the_adapters_where_enough_held_out_slices_show_a_clear_gain(
    adapter, base, median_gain, n_slices, expected
):
    found = {"adapter": adapter, "base": base, "median_gain": median_gain, "n_slices": n_slices}
    assert box_answers_of({"box_dice": found}) == expected


def test_slices_are_counted_not_their_classes(small_sam, samples):
    labels = samples[0].labels.astype(np.uint8)
    labels[:8, :8] = 2
    two_classes = TrainingSample(samples[0].image, labels, "two classes")
    empty = TrainingSample(samples[1].image, np.zeros_like(labels), "empty")
    model = AdaptedSam(
        small_sam.base, small_sam.settings.with_changes(class_names=("polyp", "tool"))
    )
    assert report_held_out(model, [two_classes, empty], 1)["box_dice"]["n_slices"] == 1


def test_both_answers_to_boxes_are_scored_and_the_settings_stay(small_sam, samples):
    with torch.no_grad():
        for parameter in small_sam.mask_decoder.parameters():
            parameter.zero_()  # an adapter that has forgotten everything
    before = small_sam.settings
    found = report_held_out(small_sam, samples[:2], 1)["box_dice"]
    assert found["n_slices"] == 2
    assert found["adapter"] == 0.0
    assert found["base"] > 0.3
    assert found["median_gain"] == pytest.approx(-found["base"], abs=1e-3)  # of two slices
    assert small_sam.settings == before


def test_an_answer_that_marks_objects_without_a_box_too_does_not_count_as_right(
    small_sam, samples, monkeypatch
):
    """Of several objects every second one has a box: who marks all of them has marked too much."""
    labels = np.zeros(samples[0].labels.shape, np.uint8)
    for n, size in enumerate((20, 18, 16)):
        labels[2 : 2 + size, 21 * n : 21 * n + 18] = 1
    several = TrainingSample(samples[0].image, labels, "several objects")

    def marks_all(model, embedding, prompts=None):
        return SimpleNamespace(labels=labels, expected_dice=0.9, prompts=prompts)

    monkeypatch.setattr(held_out, "decode_masks", marks_all)
    found = report_held_out(small_sam, [several], 1)["box_dice"]
    boxed = (20 + 16) * 18
    assert found["adapter"] == pytest.approx(2 * boxed / (2 * boxed + 18 * 18), abs=1e-3)
