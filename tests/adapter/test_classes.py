"""Names and colours of classes."""

from dataclasses import replace

import pytest

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.adapter.classes import CLASS_COLORS, MAX_CLASSES, Classes
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.errors import CheckpointError

CARD = AdapterCard(
    adapter_id="a",
    base_model="lite_medsam",
    base_sha256="0",
    gear="full",
    input_size=128,
    normalisation="min-max",
    standing_prompt="none",
    class_names=("polyp", "tool"),
    adapter=AdapterConfig(),
)


def test_classes_grow_to_the_limit_with_names_and_colours_of_their_own():
    classes = Classes()
    for _ in range(MAX_CLASSES - 1):
        classes = classes.with_one_more()
    assert len(set(classes.names)) == len(set(classes.colors)) == MAX_CLASSES == len(CLASS_COLORS)
    with pytest.raises(ValueError, match="32 classes are the most"):
        classes.with_one_more()


def test_a_name_that_is_taken_is_not_given_again():
    classes = Classes().with_one_more().renamed(1, "class 3")
    assert classes.with_one_more().names == ("class 3", "class 2", "class 4")


@pytest.mark.parametrize("name", ["", "  ", "class 2"])
def test_a_name_that_cannot_tell_classes_apart_is_refused(name):
    with pytest.raises(ValueError, match="a name of its own"):
        Classes().with_one_more().renamed(1, name)


def test_an_adapters_colours_are_used_and_missing_or_odd_ones_replaced():
    assert Classes.of(CARD).colors == CLASS_COLORS[:2]
    odd = replace(CARD, class_colors=("#010203", "url(x)"))
    assert Classes.of(odd) == Classes(("polyp", "tool"), ("#010203", CLASS_COLORS[1]))


def test_a_card_whose_classes_share_a_name_is_damaged():
    metadata = replace(CARD, class_names=("polyp", "polyp")).to_metadata()
    with pytest.raises(CheckpointError, match="a name of its own"):
        AdapterCard.from_metadata(metadata, "file")
