"""What a journal keeps of how a mask was made names all that had a say, and nothing else."""

import json

import numpy as np
import pytest

from napari_sam_adapter.annotations.made_with import by_filling, by_help, by_model, in_words
from napari_sam_adapter.engine.predictor import ModelReference
from napari_sam_adapter.volumes.depth import Depth
from napari_sam_adapter.volumes.slice_source import SliceSource
from napari_sam_adapter.volumes.volume_help import VolumeHelp, predict_helped

EMPTY = np.zeros((8, 8), np.uint8)
NOW = "2026-01-01T00:00:00.000+00:00"


def test_a_plain_prediction_needs_no_more_than_its_adapter(tmp_path):
    model = ModelReference("lite_medsam", tmp_path / "a.safetensors")
    assert by_model(model) == by_help(VolumeHelp(), (3,), Depth(0), NOW) == {}
    assert in_words({}) == ""


def test_the_base_model_is_named_and_so_are_views():
    model = ModelReference("sam_vit_b", None, 512, views=2)
    assert by_model(model) == {"base": "sam_vit_b", "input_size": 512, "views": 2}
    assert in_words(by_model(model)) == "sam_vit_b, at 512 pixels, 2 views"
    assert in_words(by_model(model, bf16=True)) == "sam_vit_b, at 512 pixels, 2 views, in bf16"


def test_all_help_is_named_with_its_settings_and_fits_json():
    help_ = VolumeHelp(1.5, 256, {(0,): EMPTY, (9,): EMPTY}, True, (2.0, 1.0, 1.0))
    found = by_help(help_, (4,), Depth(0), NOW)
    assert found == {
        "smooth": 1.5,
        "tile": 256,
        "three_axes": True,
        "heeded": [[0], [9]],
        "as_of": NOW,
        "spacing": [2.0, 1.0, 1.0],
    }
    assert json.loads(json.dumps(found)) == found
    assert in_words({**found, "numbered": True}) == (
        "along three axes, smoothed across slices (1.5), heeding slices 0; 9, in tiles of 256 "
        "pixels, objects numbered"
    )


def test_the_slices_between_which_one_was_filled_are_those_of_its_own_line():
    found = by_filling([0, 3, 8], (5, 4), 1, (1.0, 0.5), NOW)
    assert found == {"between": [[5, 3], [5, 8]], "as_of": NOW, "spacing": [1.0, 0.5]}
    assert in_words(found) == "between slices 5, 3; 5, 8"


def test_prompts_are_counted():
    prompts = {"boxes": [[0, 0, 4, 4]], "points": [[1, 1], [2, 2]], "class_index": 0}
    assert in_words(prompts) == "from 1 box, from 2 points"


@pytest.mark.parametrize("smooth", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("index", [(0, 4), (0, 6), (1, 4)])
def test_no_other_slice_than_those_named_as_heeded_changes_the_prediction(smooth, index):
    volume = np.random.default_rng(0).integers(0, 255, (2, 12, 48, 48)).astype(np.uint8)
    source = SliceSource(volume, is_colour=False)
    known = {(0, z): np.zeros((48, 48), np.uint8) for z in (1, 5, 8, 11)}

    def logits(image):
        return np.random.default_rng(int(image[0, 0])).normal(0, 4, (1, *image.shape))

    def maps(known):
        helped = VolumeHelp(smooth, known=known)
        (_, labels), *_ = predict_helped(source, [index], logits, 1, helped)
        return labels

    wanted = by_help(VolumeHelp(smooth, known=known), index, Depth(1), NOW)["heeded"]
    for one in known:
        marked = {**known, one: np.ones((48, 48), np.uint8)}
        changed, is_named = not np.array_equal(maps(known), maps(marked)), list(one) in wanted
        assert is_named or not changed, one
        # What is heard through the edge of smoothing's Gaussian says too little to move a pixel.
        assert changed or not is_named or smooth, one
