"""Which slices of a retraining are of one group, so that none is held out beside its neighbours."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sam_adapter.project.retrain_request import MarkedImage
from napari_sam_adapter.training.split import split_samples
from napari_sam_adapter.volumes.slice_source import SliceSource


def marked(shape, key="volume-1", patient=None):
    """An image of which every slice is marked."""
    source = SliceSource(np.random.default_rng(0).random(shape), is_colour=False)
    masks = {index: np.ones(source.slice_shape, np.uint8) for index in source.indices()}
    return MarkedImage(source, masks, "volume", key, patient)


@pytest.mark.parametrize("shape", [(8, 16, 16), (4, 5, 16, 16), (2, 3, 4, 16, 16)])
def test_the_slices_of_one_image_are_one_group_whatever_sliders_it_has(shape):
    samples = list(marked(shape).samples())
    assert {sample.group for sample in samples} == {"volume-1"}
    split = split_samples(samples, np.random.default_rng(0))
    assert split.held_out
    assert split.leaks


def test_of_several_movies_whole_ones_are_held_out():
    images = [marked((3, 2, 16, 16), key) for key in ("a", "b", "c", "d")]
    samples = [sample for image in images for sample in image.samples()]
    split = split_samples(samples, np.random.default_rng(0))
    assert len({sample.group for sample in split.held_out}) == 1
    assert not split.leaks


def test_two_series_of_one_patient_are_held_out_together_or_not_at_all():
    images = [marked((2, 16, 16), key, "a hash") for key in ("a", "b")]
    images += [marked((4, 16, 16), "c", "another"), marked((4, 16, 16), "d")]
    samples = [sample for image in images for sample in image.samples()]
    assert {sample.group for sample in samples} == {"a hash", "another", "d"}
    for seed in range(5):
        assert not split_samples(samples, np.random.default_rng(seed)).leaks


def test_channels_and_orientations_of_one_file_are_one_group():
    images = [replace(marked((4, 16, 16), key), file="scan.tif") for key in ("a", "b")]
    images.append(replace(marked((4, 16, 16), "c", "a hash"), file="other.dcm"))
    images.append(marked((4, 16, 16), "d"))
    groups = [{sample.group for sample in image.samples()} for image in images]
    assert groups == [{"scan.tif"}, {"scan.tif"}, {"a hash"}, {"d"}]
