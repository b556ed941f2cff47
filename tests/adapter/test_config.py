"""Adapter settings as plain data."""

import json

import pytest

from napari_sam_adapter.adapter.config import (
    PLAIN_VIT_ADAPTER,
    AdapterConfig,
    Condition,
    condition_names,
)


def test_a_configuration_survives_json():
    conditions = (Condition("high_frequency", 0.5), Condition("gradient"))
    config = AdapterConfig((0, 2), 16, 0.1, conditions, "patches")
    assert AdapterConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stages": ()}, "rising stage numbers"),
        ({"stages": (2, 1)}, "rising stage numbers"),
        ({"stages": (1, 1)}, "rising stage numbers"),
        ({"reduction": 0}, "at least 1, got 0"),
        ({"mask_ratio": 0.0}, "between 0 and 1"),
        ({"mask_ratio": 1.0}, "between 0 and 1"),
        ({"mask_ratio": float("nan")}, "between 0 and 1"),
        ({"conditions": ()}, "at least one"),
        ({"conditions": (Condition("gradient"), Condition("gradient", 2))}, "is named twice"),
        ({"image_tune": "other"}, "overlapping or patches"),
    ],
)
def test_a_bad_setting_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**values)


@pytest.mark.parametrize("weight", [0.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_number_or_zero_is_refused(weight):
    with pytest.raises(ValueError, match="number other than 0"):
        Condition("gradient", weight)


def test_the_defaults_are_the_papers_conditions():
    for config in (AdapterConfig(), PLAIN_VIT_ADAPTER):
        names = [(condition.name, condition.weight) for condition in config.conditions]
        assert names == [("patch_embedding", 1.0), ("high_frequency", 1.0)]


def test_the_built_in_conditions_are_listed_first():
    assert condition_names()[:4] == (
        "patch_embedding",
        "high_frequency",
        "local_texture",
        "gradient",
    )


def test_a_difference_names_what_differs_and_no_fork():
    shape = AdapterConfig()
    other = AdapterConfig(reduction=4, conditions=(Condition("gradient", 0.5),), forked_at=8)
    assert shape.difference(AdapterConfig(forked_at=8)) == ""
    assert shape.difference(other) == (
        "reduction: 8 there, 4 asked for; "
        "conditions: patch_embedding, high_frequency there, gradient=0.5 asked for"
    )
