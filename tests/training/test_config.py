"""Training settings."""

import json

import pytest

from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.presets import PRESETS


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
        ({"adapter_learning_rate": float("nan")}, "adapter_learning_rate must be a number"),
        ({"decoder_learning_rate": float("inf")}, "decoder_learning_rate must be a number"),
        ({"final_learning_rate": -1e-7}, "final_learning_rate must be a number"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_a_bad_setting_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**values)


@pytest.mark.parametrize("name", PRESETS)
def test_each_value_of_a_recipe_has_its_source(name):
    preset = PRESETS[name]
    values = preset.config.to_dict().keys() - {"seed", "max_steps"}
    if name == "interactive":  # how long it is trained is said by whoever starts it
        values -= {"max_seconds", "max_epochs"}
    assert preset.sources.keys() == values
    assert all(preset.sources.values())


@pytest.mark.parametrize(
    ("name", "loss", "epochs"),
    [("polyp", "bce_iou", 120), ("camouflage", "bce_iou", 20), ("shadow", "balanced_bce", 90)],
)
def test_the_published_recipes_are_as_published(name, loss, epochs):
    """Loss and epochs by the paper, section 4; the rest by the reference code's train.py."""
    assert PRESETS[name].config.to_dict() == {
        "gear": "full",
        "max_seconds": None,  # epochs end it, not time
        "max_steps": None,
        "max_epochs": epochs,
        "seed": 0,
        "decoder_learning_rate": 2e-4,
        "adapter_learning_rate": 2e-4,
        "final_learning_rate": 1e-7,
        "warmup_share": 0.0,
        "weight_decay": 0.01,
        "gradient_clip": None,
        "ema_decay": 0.0,
        "start_share": 0.0,
        "augmentation": "flip",
        "prompted_share": 0.0,
        "loss": loss,
        "batch_size": 2,
    }
