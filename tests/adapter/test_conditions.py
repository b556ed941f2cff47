"""Conditions computed from the image: built in, and a person's own."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from scipy.ndimage import generic_filter, laplace, sobel

from napari_sam_adapter.adapter import conditions, config
from napari_sam_adapter.adapter.conditions import gradient, image_condition, local_texture
from napari_sam_adapter.adapter.config import AdapterConfig, Condition, StageLayout
from napari_sam_adapter.adapter.high_frequency import high_frequency_components
from napari_sam_adapter.adapter.module import Adapter
from napari_sam_adapter.errors import ConditionError

LAYOUT = [StageLayout(width=16, depth=2, stride=4), StageLayout(width=32, depth=1, stride=8)]


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def offer(monkeypatch):
    """Return a function that offers a condition as an installed package does."""

    def offer_one(function, name="own"):
        class Point(EntryPoint):
            def load(self):
                if isinstance(function, Exception):
                    raise function
                return function

        point = Point(name, "somebody.conditions:own", config.CONDITION_GROUP)
        for module in (conditions, config):
            monkeypatch.setattr(module, "entry_points", lambda group: [point])

    return offer_one


def test_local_texture_is_the_deviation_in_a_window():
    images = random_images(1, 3, 20, 30)
    found = local_texture(images)[0, 1, 3:-3, 3:-3].numpy()
    expected = generic_filter(images[0, 1].double().numpy(), np.std, size=7)[3:-3, 3:-3]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_gradient_is_sobels_and_laplaces():
    images = random_images(1, 3, 20, 30)
    grey = images[0].double().mean(0).numpy()
    slope = np.hypot(sobel(grey, 0, mode="nearest"), sobel(grey, 1, mode="nearest")) / 8
    found = gradient(images)[0].numpy()
    np.testing.assert_allclose(found[0], slope, atol=1e-5)
    np.testing.assert_allclose(found[1], np.abs(laplace(grey, mode="nearest")), atol=1e-5)


@pytest.mark.parametrize("name", ["high_frequency", "local_texture", "gradient"])
@pytest.mark.parametrize("size_hw", [(32, 32), (16, 40)])
def test_a_condition_is_as_large_as_its_image_and_finite(name, size_hw):
    condition = image_condition(name, mask_ratio=0.25)
    for images in (random_images(2, 3, *size_hw), torch.zeros(2, 3, *size_hw)):
        result = condition(images)
        assert result.shape[0] == 2
        assert result.shape[2:] == size_hw
        assert torch.isfinite(result).all()


@pytest.mark.parametrize("name", ["local_texture", "gradient"])
def test_a_flat_image_has_no_texture_and_no_edge(name):
    result = image_condition(name, mask_ratio=0.25)(torch.full((1, 3, 24, 24), 1000.3))
    assert result.abs().max() < 1e-3


def total(adapter: Adapter, images: torch.Tensor, features: torch.Tensor, stage: int):
    during_pass = adapter.begin(images)
    during_pass.enter_stage(stage, features)
    return during_pass._conditions[adapter.stage(stage)]


def test_the_conditions_are_summed_with_their_weights():
    images, features = random_images(1, 3, 32, 32), random_images(1, 8, 8, 16)
    weights = {"patch_embedding": 0.5, "high_frequency": 2.0, "gradient": -1.0}
    terms = tuple(Condition(name, weight) for name, weight in weights.items())
    whole = Adapter(LAYOUT, AdapterConfig(stages=(0,), reduction=4, conditions=terms))
    expected = torch.zeros(1, 8, 8, 4)
    for name, weight in weights.items():
        alone = Adapter(
            LAYOUT, AdapterConfig(stages=(0,), reduction=4, conditions=(Condition(name),))
        )
        own = {k: v for k, v in whole.state_dict().items() if k in alone.state_dict()}
        alone.load_state_dict(own)
        expected += weight * total(alone, images, features, 0)
    torch.testing.assert_close(total(whole, images, features, 0), expected)


def test_a_condition_of_one_channel_of_an_installed_package_is_used(offer):
    offer(lambda images: images.mean(1, keepdim=True))
    assert "own" in config.condition_names()
    shape = AdapterConfig(stages=(0, 1), conditions=(Condition("own", 3.0),))
    adapter = Adapter(LAYOUT, shape)
    assert adapter.stage(0).image_tune["own"].conv.in_channels == 1
    images = random_images(2, 3, 32, 40)
    assert total(adapter, images, torch.zeros(2, 4, 5, 32), 1).shape == (2, 4, 5, 4)


def high_frequency_halved(images):
    return high_frequency_components(images, 0.25)[..., ::2]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (high_frequency_halved, r"returned the shape \(1, 3, 32, 16\).*as large as its input"),
        (lambda images: images[0], "returned the shape"),
        (lambda images: images[:, :0], r"returned the shape \(1, 0, 32, 32\)"),
        (torch.fft.fft2, "returned complex numbers.*absolute value"),
        (lambda images: images / images.sum(), "not finite numbers"),
        (lambda images: images.numpy(), "returned ndarray"),
        (lambda images: 1 / 0, "failed: division by zero"),
        (
            ImportError("no module named vesselness"),
            "could not be loaded from somebody.*vesselness",
        ),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_in_words(offer, function, words):
    offer(function)
    with pytest.raises(ConditionError, match=words):
        Adapter(LAYOUT, AdapterConfig(stages=(0,), conditions=(Condition("own"),)))


@pytest.mark.parametrize("name", ["my.condition", "half", "train", "training", "_modules", ""])
def test_a_name_that_torch_cannot_call_a_layer_by_is_refused_in_words(offer, name):
    offer(lambda images: images, name=name)
    words = "somebody.conditions:own cannot be named .* Give it another name in its package"
    with pytest.raises(ConditionError, match=words):
        image_condition(name, mask_ratio=0.25)


def test_a_condition_that_works_in_place_leaves_the_encoders_input_alone(offer):
    offer(lambda images: images.mul_(0))
    adapter = Adapter(LAYOUT, AdapterConfig(stages=(0,), conditions=(Condition("own"),)))
    images = random_images(1, 3, 32, 32)
    given = images.clone()
    adapter.begin(images)
    assert torch.equal(images, given)


def test_a_condition_that_breaks_during_training_is_named(offer):
    offer(lambda images: images / (images - 0.5))
    adapter = Adapter(LAYOUT, AdapterConfig(stages=(0,), conditions=(Condition("own"),)))
    with pytest.raises(ConditionError, match="'own' returned values that are not finite"):
        adapter.begin(torch.full((1, 3, 32, 32), 0.5))


def test_a_condition_that_changes_its_channels_is_named(offer):
    offer(lambda images: images if images.shape[0] == 1 else images[:, :2])
    adapter = Adapter(LAYOUT, AdapterConfig(stages=(0,), conditions=(Condition("own"),)))
    with pytest.raises(ConditionError, match=r"\(2, 2, 32, 32\); \(2, 3, 32, 32\) is expected"):
        adapter.begin(torch.zeros(2, 3, 32, 32))


def test_a_condition_of_ones_own_is_computed_in_full_precision(offer):
    seen = []

    def own(images):
        seen.append((images.dtype, torch.is_autocast_enabled("cpu")))
        return images

    offer(own)
    adapter = Adapter(LAYOUT, AdapterConfig(stages=(0,), conditions=(Condition("own"),)))
    with torch.autocast("cpu", torch.bfloat16):
        adapter.begin(torch.zeros(1, 3, 32, 32, dtype=torch.bfloat16))
    assert set(seen) == {(torch.float32, False)}


def test_an_unknown_condition_names_those_there_are():
    with pytest.raises(ConditionError, match="no condition named 'depth'; known are: patch_emb"):
        image_condition("depth", mask_ratio=0.25)


def test_a_condition_with_the_name_of_a_built_in_one_is_not_ignored_in_silence(offer, caplog):
    offer(lambda images: images[:, :1], name="gradient")
    conditions._tell_of_namesakes.cache_clear()
    condition = image_condition("gradient", mask_ratio=0.25)
    assert condition is gradient
    assert "somebody.conditions:own" in caplog.text
    assert "'gradient' is the built-in condition" in caplog.text
