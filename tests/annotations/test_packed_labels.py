"""What is remembered of many slices takes little memory, and comes back as it was."""

import tracemalloc

import numpy as np
import pytest

from napari_sam_adapter.annotations.packed_labels import PackedLabels
from napari_sam_adapter.annotations.slice_history import LabelChange
from napari_sam_adapter.annotations.slice_tracker import SliceState, SliceTracker

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((5, 7), np.uint8),
        np.full((1, 1), 9, np.int64),
        RANDOM.integers(0, 3, (40, 30)).astype(np.uint8),
        RANDOM.integers(-(2**40), 2**40, (6, 5)),
        RANDOM.random((9, 9)) < 0.5,
        np.repeat(RANDOM.integers(0, 9, (8, 4)), 5, axis=1)[::2, ::3].T,
    ],
)
def test_packed_labels_come_back_with_the_same_pixels_and_type(labels):
    packed = PackedLabels.of(labels)
    assert np.array_equal(packed.unpacked(), labels)
    assert packed.unpacked().dtype == labels.dtype
    assert packed.is_of(labels)
    assert packed == PackedLabels.of(labels.copy())
    other = labels.copy()
    other[-1, -1] = ~other[-1, -1]
    assert not packed.is_of(other)
    assert packed != PackedLabels.of(other)


def test_a_packed_slice_is_no_view_of_the_layer():
    labels = RANDOM.integers(0, 3, (4, 4))
    packed, then = PackedLabels.of(labels), labels.copy()
    labels[:] = 7
    assert np.array_equal(packed.unpacked(), then)


def disk(size, radius, label=1):
    y, x = np.ogrid[:size, :size]
    inside = (y - size // 2) ** 2 + (x - size // 2) ** 2 < radius**2
    return inside.astype(np.uint8) * np.uint8(label)


def test_256_predicted_slices_of_512_pixels_are_remembered_in_a_few_mib():
    tracker = SliceTracker((512, 512))
    masks = [disk(512, radius) for radius in range(100, 164)]
    labels = np.zeros((256, 512, 512), np.uint8)
    tracemalloc.start()
    try:
        for z in range(256):
            change = tracker.plan_prediction((z,), labels[z], masks[z % 64])
            labels[z].ravel()[change.positions] = change.new
            tracker.prediction_written((z,), labels[z], change, "a", 0.9)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * 2**20  # the pixels themselves are 64 MiB
    assert tracker.count(SliceState.PREDICTED) == 256
    labels[200] = 0
    assert tracker.observe((200,), labels[200], painted=False)  # it can still be undone
    assert tracker.state((200,)) is SliceState.UNTOUCHED


@pytest.mark.parametrize("shape", [(3, 40, 128), (2, 5, 300, 129), (40, 60), (1, 40_000, 2)])
def test_what_is_kept_for_undo_names_pixels_by_small_numbers(shape):
    labels = np.zeros(shape, np.uint8)
    index = tuple(size - 1 for size in shape[:-2])
    after = np.ones(shape[-2:], np.uint8)
    change = LabelChange.between(labels[index], after)
    where = change.where(index, shape)
    labels[where] = change.new
    assert np.array_equal(labels[index], after)
    assert labels.sum() == after.sum()
    assert max(axis.itemsize for axis in where) <= (4 if max(shape) > 2**15 else 2)
