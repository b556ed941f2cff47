"""Training settings."""

import json

import pytest

from napari_sam_adapter.training.config import TrainingConfig


def test_a_configuration_survives_json():
    config = TrainingConfig(gear="quick", max_seconds=9.5, max_steps=7, seed=3)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gear": "turbo"}, "gear must be one of quick, late, full, got 'turbo'"),
        ({"max_seconds": 0.0}, "must be positive"),
        ({"max_seconds": -1.0}, "must be positive"),
        ({"max_seconds": float("nan")}, "must be positive"),
        ({"max_steps": 0}, "at least 1, got 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_bad_setting_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**values)
