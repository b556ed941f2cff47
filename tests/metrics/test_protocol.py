"""How predictions and truth are brought together."""

import numpy as np
import pytest
from PIL import Image

from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.metrics.protocol import ORIGINAL, PAPER, protocol_named, resize_nearest


@pytest.mark.parametrize("size_hw", [(64, 64), (13, 40), (30, 50), (31, 49), (1, 1)])
def test_labels_are_resized_as_pillow_does(size_hw):
    labels = np.random.default_rng(0).integers(0, 4, (30, 50), dtype=np.uint8)
    expected = Image.fromarray(labels).resize(size_hw[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resize_nearest(labels, size_hw), np.asarray(expected))


def test_boolean_masks_stay_boolean():
    assert resize_nearest(np.eye(6, dtype=bool), (3, 9)).dtype == bool


def test_protocols_are_known_by_their_names():
    assert protocol_named("original") is ORIGINAL
    assert protocol_named("paper") is PAPER
    with pytest.raises(EvaluationError, match="one of original, paper, got 'best'"):
        protocol_named("best")
