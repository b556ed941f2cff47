"""Adapter settings as plain data."""

import json

import pytest

from napari_sam_adapter.adapter.config import AdapterConfig


def test_a_configuration_survives_json():
    config = AdapterConfig(stages=(0, 2), reduction=16, mask_ratio=0.1)
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
    ],
)
def test_a_bad_setting_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**values)
