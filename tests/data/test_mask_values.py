"""Values of masks that become one class are said once; nothing else is."""

import numpy as np
import pytest

from napari_sam_adapter.data.mask_values import MergedValues


def said_of(*masks: np.ndarray) -> list[str]:
    said: list[str] = []
    look = MergedValues(said.append)
    for index, mask in enumerate(masks):
        look(f"m{index}.png", mask)
    return said


def mask_of(*values: float, dtype: type = np.uint8) -> np.ndarray:
    mask = np.zeros((8, 8), dtype)
    mask.flat[: len(values)] = values
    return mask


@pytest.mark.parametrize(
    "masks",
    [
        [mask_of(1), mask_of(1, 1)],
        [mask_of(255), mask_of(), mask_of(255)],
        [mask_of(1), mask_of(255)],
        [mask_of(np.nan, 1, dtype=np.float32)],
        [mask_of(1).astype(bool)],
        [np.repeat(mask_of(255)[..., None], 3, axis=-1)],
    ],
)
def test_masks_of_one_object_need_no_word(masks):
    assert said_of(*masks) == []


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (mask_of(1, 2), "m0.png holds the values 1, 2: all that is not 0 counts as one class"),
        (mask_of(0.25, 1, dtype=np.float32), "m0.png holds the values 0.25, 1: all"),
        (mask_of(*range(1, 40)), "m0.png holds 39 values from 1 to 39: all"),
    ],
)
def test_several_values_in_a_mask_are_said_once(mask, words):
    (sentence,) = said_of(mask, mask)
    assert sentence.startswith(words)
    assert "--classes a,b" in sentence


def test_values_that_differ_from_mask_to_mask_are_said():
    (sentence,) = said_of(mask_of(1), mask_of(), mask_of(2))
    assert sentence.startswith("m2.png holds the value 2, and m0.png 1: all that is not 0 counts")


def test_several_colours_are_said():
    mask = np.zeros((8, 8, 3), np.uint8)
    mask[2, :, 0] = mask[4, :, 1] = 255
    (sentence,) = said_of(mask)
    assert sentence.startswith("m0.png holds 2 colours: all")
