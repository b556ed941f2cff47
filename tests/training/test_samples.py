"""A slice with its mask: what names it, and what is refused."""

import numpy as np
import pytest

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.training.samples import TrainingSample


def test_the_digest_follows_the_image_not_its_name_or_mask():
    image, full = np.arange(64).reshape(8, 8), np.ones((8, 8), bool)
    one = TrainingSample(image, full, "a").digest
    assert TrainingSample(image.copy(), ~full, "b").digest == one
    assert TrainingSample(image + 1, full, "a").digest != one
    assert TrainingSample(image.astype(float), full, "a").digest != one


def test_a_mask_of_another_size_is_refused_with_its_name():
    with pytest.raises(
        ImageError, match="frame 7: the image is 8 x 9 pixels but its mask is 9 x 8"
    ):
        TrainingSample(np.zeros((8, 9, 3)), np.zeros((9, 8), bool), "frame 7")
