"""Prompts derived from the truth, for evaluation."""

import numpy as np
import pytest

from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.evaluation.evaluate import evaluate_image
from napari_sam_adapter.evaluation.prompted import PromptProtocol, boxes_of, next_click
from napari_sam_adapter.evaluation.scores import Scoring


def mask(*places) -> np.ndarray:
    result = np.zeros((40, 60), bool)
    for rows, columns in places:
        result[rows, columns] = True
    return result


def test_every_object_gets_its_exact_box():
    prompts = boxes_of(mask((slice(3, 9), slice(10, 21)), (slice(20, 22), slice(30, 50))))
    np.testing.assert_array_equal(prompts.boxes, [[10, 3, 20, 8], [30, 20, 49, 21]])


def test_a_click_goes_to_the_middle_of_the_largest_error():
    truth = mask((slice(10, 21), slice(10, 21)))
    assert next_click(truth, np.zeros_like(truth)) == (15, 15)
    invented = mask((slice(10, 21), slice(10, 21)), (slice(5, 36), slice(30, 59)))
    x, y = next_click(truth, invented)
    assert 30 <= x < 59
    assert not truth[y, x]


def test_a_missed_and_an_invented_part_that_touch_are_two_errors():
    truth, predicted = mask((slice(10, 20), slice(0, 10))), mask((slice(10, 20), slice(10, 22)))
    x, y = next_click(truth, predicted)
    assert predicted[y, x]
    assert x >= 10


def test_where_nothing_is_wrong_there_is_no_click():
    truth = mask((slice(3, 9), slice(10, 21)))
    assert next_click(truth, truth) is None


def test_boxes_find_what_the_base_model_misses_without(lite_medsam, stack):
    frame, truth = stack.frames[0], stack.masks[0].astype(bool)
    free, boxed = (
        evaluate_image(lite_medsam, frame, truth, "a", Scoring(saliency=False, prompts=prompts))
        for prompts in (None, PromptProtocol("boxes"))
    )
    assert boxed.dice > 0.85
    assert boxed.dice > free.dice + 0.1


def test_an_empty_truth_gets_no_box(lite_medsam, stack):
    empty = np.zeros((64, 64), bool)
    scoring = Scoring(saliency=False, prompts=PromptProtocol("boxes"))
    assert 0 <= evaluate_image(lite_medsam, stack.frames[0], empty, "a", scoring).dice <= 1


@pytest.mark.parametrize("text", ["", "box", "boxes:2", "clicks", "clicks:0", "clicks:99", "7"])
def test_other_protocols_are_refused_with_those_there_are(text):
    with pytest.raises(EvaluationError, match="boxes, or clicks:N"):
        PromptProtocol.parse(text)


def test_protocols_are_read():
    assert PromptProtocol.parse("boxes") == PromptProtocol("boxes")
    assert PromptProtocol.parse("clicks:3") == PromptProtocol("clicks", 3)
