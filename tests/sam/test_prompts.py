"""Boxes and points: where they lie in the encoder's input, and what they change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam_adapter.errors import PromptError
from napari_sam_adapter.metrics import dice
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.encode import encode_image
from napari_sam_adapter.sam.input_format import InputFormat, InputGeometry
from napari_sam_adapter.sam.predict import decode_masks, predict_masks
from napari_sam_adapter.sam.prompts import NO_PROMPTS, NOT_A_POINT, Prompts


def boxes(*rows) -> np.ndarray:
    return np.array(rows, np.float32)


def tight_box(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max(), rows.max()]


@pytest.fixture(scope="module")
def slice_and_mask(stack):
    return stack.frames[0], stack.masks[0].astype(bool)


def test_prompts_are_scaled_to_the_input_as_the_slice_is():
    prompts = Prompts(boxes([10, 20, 30, 40]), boxes([10, 20])[:, :2], np.array([True]))
    (points, labels), corners = prompts.at_input(InputGeometry.fit((100, 200), 100))
    np.testing.assert_allclose(corners, [[5, 10, 15, 20]])
    np.testing.assert_allclose(points, [[[5, 10]]])
    np.testing.assert_array_equal(labels, [[1]])
    squashed = InputFormat(100, fit="squash").geometry((100, 200))
    np.testing.assert_allclose(prompts.at_input(squashed)[1], [[5, 20, 15, 40]])


def test_a_box_may_be_drawn_from_any_corner_and_beyond_the_slice():
    prompts = Prompts(boxes([300, -5, 10, 40]))
    _, corners = prompts.at_input(InputGeometry.fit((100, 100), 100))
    np.testing.assert_allclose(corners, [[10, 0, 99, 40]])


def test_prompts_are_mirrored_within_the_slice():
    prompts = Prompts(boxes([10, 20, 30, 40]), boxes([10, 20])[:, :2], np.array([True]))
    turned = prompts.mirrored((-2, -1), (100, 200))
    np.testing.assert_allclose(np.sort(turned.boxes.reshape(2, 2), axis=0), [[169, 59], [189, 79]])
    np.testing.assert_allclose(turned.points, [[189, 79]])
    sideways = prompts.mirrored((-1,), (100, 200))
    np.testing.assert_allclose(sideways.points, [[189, 20]])
    assert prompts.points[0, 0] == 10, "the original is left alone"


def test_with_boxes_a_point_counts_for_those_it_lies_in():
    prompts = Prompts(
        boxes([0, 0, 10, 10], [5, 5, 20, 20]),
        np.array([[7, 7], [2, 2], [50, 50]], np.float32),
        np.array([True, False, True]),
    )
    (_, labels), _ = prompts.at_input(InputGeometry.fit((100, 100), 100))
    nowhere = NOT_A_POINT
    np.testing.assert_array_equal(labels, [[1, 0, nowhere], [1, nowhere, nowhere]])


def test_a_box_finds_the_object_in_it(lite_medsam, slice_and_mask):
    image, mask = slice_and_mask
    prompts = Prompts(boxes(tight_box(mask)))
    found = predict_masks(lite_medsam, image, prompts).mask
    assert dice(found, mask) > 0.8
    assert dice(found, mask) > dice(predict_masks(lite_medsam, image).mask, mask)


def test_two_boxes_give_the_objects_of_both(lite_medsam, slice_and_mask):
    image, _ = slice_and_mask
    one, other = [4, 4, 24, 30], [36, 30, 60, 58]
    alone = [predict_masks(lite_medsam, image, Prompts(boxes(box))).mask for box in (one, other)]
    together = predict_masks(lite_medsam, image, Prompts(boxes(one, other))).mask
    assert np.mean(together != (alone[0] | alone[1])) < 0.01


def test_points_change_the_prompt_free_answer(tuned_sam, slice_and_mask):
    embedding = encode_image(tuned_sam, slice_and_mask[0])
    points = np.array([[30.0, 30.0]], np.float32)
    logits = [
        decode_masks(tuned_sam, embedding, prompts).low_res_masks
        for prompts in (
            NO_PROMPTS,
            Prompts(points=points, is_object=np.array([True])),
            Prompts(points=points, is_object=np.array([False])),
        )
    ]
    assert np.abs(logits[1] - logits[0]).max() > 1e-3
    assert np.abs(logits[2] - logits[1]).max() > 1e-3


@pytest.fixture
def two_classes(lite_medsam):
    """A model that takes for its first class whatever it finds; the second is a copy of that."""
    settings = lite_medsam.settings.with_changes(class_names=("polyp", "tool"))
    return AdaptedSam(lite_medsam.base, settings)


def test_what_is_in_a_box_is_of_the_class_that_the_person_means(two_classes, slice_and_mask):
    image, mask = slice_and_mask
    free = predict_masks(two_classes, image)
    assert set(np.unique(free.labels[mask])) <= {0, 1}
    boxed = predict_masks(two_classes, image, Prompts(boxes(tight_box(mask)), class_index=1))
    assert dice(boxed.labels == 2, mask) > 0.8
    answer = boxed.low_res_masks[1] > 0
    np.testing.assert_array_equal(boxed.low_res_masks[0][~answer], free.low_res_masks[0][~answer])


def test_a_click_is_obeyed_also_where_another_class_was_likelier(two_classes, slice_and_mask):
    image, _ = slice_and_mask
    free = predict_masks(two_classes, image)
    x, y = np.unravel_index(int(free.logits()[0].argmax()), free.labels.shape)[::-1]
    assert free.labels[y, x] == 1
    points = np.array([[x, y]], np.float32)
    for is_object, expected in ((True, 2), (False, 1)):
        prompts = Prompts(points=points, is_object=np.array([is_object]), class_index=1)
        found = predict_masks(two_classes, image, prompts)
        assert found.labels[y, x] == expected
        np.testing.assert_array_equal(found.low_res_masks[0], free.low_res_masks[0])


def test_prompts_for_a_class_that_is_not_there_are_refused(lite_medsam, slice_and_mask):
    prompts = Prompts(boxes([4, 4, 24, 30]), class_index=1)
    with pytest.raises(PromptError, match="class 2, but the model knows 1: object"):
        predict_masks(lite_medsam, slice_and_mask[0], prompts)


def test_no_prompts_are_false_and_any_prompt_is_true():
    assert not NO_PROMPTS
    assert Prompts(boxes([0, 0, 1, 1]))
    assert Prompts(points=np.zeros((1, 2)), is_object=np.array([False]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"boxes": np.zeros((2, 3))}, r"shape \(2, 3\); \(n, 4\) is expected"),
        ({"points": np.zeros(2)}, r"shape \(2,\); \(n, 2\) is expected"),
        ({"points": np.zeros((2, 2))}, "2 points but 0 labels"),
        ({"boxes": np.full((1, 4), np.nan)}, "not a number"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused(values, words):
    with pytest.raises(PromptError, match=words):
        Prompts(**values)


def test_the_same_prompts_give_the_same_answer_at_any_batch(lite_medsam, slice_and_mask):
    embedding = encode_image(lite_medsam, slice_and_mask[0])
    many = np.repeat(boxes([4, 4, 50, 50]), 3, axis=0)
    with torch.no_grad():
        found = lite_medsam.decode(embedding.features, embedding.geometry, Prompts(many))
        alone = lite_medsam.decode(embedding.features, embedding.geometry, Prompts(many[:1]))
    torch.testing.assert_close(found, alone.expand_as(found), rtol=1e-4, atol=1e-4)


def test_as_many_boxes_are_decoded_at_once_as_memory_is_sure_to_hold(tuned_sam, slice_and_mask):
    corners = np.random.default_rng(0).uniform(0, 30, (40, 2))
    many = np.hstack([corners, corners + 20]).astype(np.float32)
    for who, of in (("base", "decode_by_base"), ("adapter", "decode")):
        tuned_sam.settings = tuned_sam.settings.with_changes(box_answers=who)
        sizes, decode = [], getattr(tuned_sam, of)

        def counted(*given, decode=decode, sizes=sizes):
            found = decode(*given)
            sizes.append(len(found))
            return found

        alone = [
            predict_masks(tuned_sam, slice_and_mask[0], Prompts(many[i : i + 20])) for i in (0, 20)
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tuned_sam, of, counted)
            together = predict_masks(tuned_sam, slice_and_mask[0], Prompts(many))
        assert max(sizes) <= 16
        assert sum(sizes) >= 40
        assert np.mean(together.mask != (alone[0].mask | alone[1].mask)) < 0.02


def test_boxes_may_be_answered_by_the_base_model_as_if_nothing_had_been_trained(
    tuned_sam, slice_and_mask
):
    image, box = slice_and_mask[0], Prompts(boxes([4, 4, 50, 40]))
    untrained = AdaptedSam(tuned_sam.base, tuned_sam.settings)
    tuned_sam.settings = tuned_sam.settings.with_changes(box_answers="base")
    found = predict_masks(tuned_sam, image, box)
    expected = predict_masks(untrained, image, box)
    np.testing.assert_allclose(found.low_res_masks, expected.low_res_masks, atol=1e-4)
    tuned_sam.settings = tuned_sam.settings.with_changes(box_answers="adapter")
    by_adapter = predict_masks(tuned_sam, image, box).low_res_masks
    assert np.abs(by_adapter - found.low_res_masks).max() > 0.1


def test_a_click_corrects_what_the_base_model_makes_of_a_box(tuned_sam, slice_and_mask):
    image, box = slice_and_mask[0], Prompts(boxes([4, 4, 50, 40]))
    tuned_sam.settings = tuned_sam.settings.with_changes(box_answers="base")
    alone = predict_masks(tuned_sam, image, box)
    logits = alone.logits()[0]
    likeliest, missed = (
        np.unravel_index(int(place), alone.mask.shape)[::-1]
        for place in (logits.argmax(), np.where(alone.mask, -np.inf, logits).argmax())
    )

    def clicked(place, *, is_object):
        points = np.array([place], np.float32)
        return predict_masks(
            tuned_sam, image, replace(box, points=points, is_object=np.array([is_object]))
        )

    # The base model does not know points: one that is right already changes nothing.
    obeyed = clicked(likeliest, is_object=True)
    np.testing.assert_allclose(obeyed.low_res_masks, alone.low_res_masks, atol=1e-4)
    assert not clicked(likeliest, is_object=False).mask[likeliest[::-1]]
    assert clicked(missed, is_object=True).mask[missed[::-1]]


def test_a_click_corrects_what_the_untrained_model_makes_of_a_box(lite_medsam, slice_and_mask):
    image, mask = slice_and_mask
    box = Prompts(boxes(tight_box(mask)))
    alone = predict_masks(lite_medsam, image, box)
    middle = np.unravel_index(int(alone.logits()[0].argmax()), mask.shape)[::-1]
    both = replace(box, points=np.array([middle], np.float32), is_object=np.array([True]))
    found = predict_masks(lite_medsam, image, both)
    np.testing.assert_allclose(found.low_res_masks, alone.low_res_masks, atol=1e-4)


def test_an_embedding_that_the_base_cannot_answer_from_is_refused(tuned_sam, slice_and_mask):
    tuned_sam.settings = tuned_sam.settings.with_changes(box_answers="base")
    embedding = encode_image(tuned_sam, slice_and_mask[0])
    with pytest.raises(ValueError, match="for_prompts"):
        decode_masks(tuned_sam, embedding, Prompts(boxes([4, 4, 50, 40])))


def test_only_the_adapter_or_the_base_answers_to_boxes(lite_medsam):
    with pytest.raises(ValueError, match="not 'nobody'"):
        lite_medsam.settings.with_changes(box_answers="nobody")
