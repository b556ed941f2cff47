"""An encoder cut in two computes what it computes whole; what comes late changes nothing before."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from napari_sam_adapter.adapter.config import AdapterConfig, Condition, Cut
from napari_sam_adapter.adapter.module import Adapter
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.base import BaseSam, build_mask_decoder, build_prompt_encoder
from napari_sam_adapter.sam.late import encoder_key, prefix_key, prepare_late
from napari_sam_adapter.sam.plain_vit import PlainViT, PlainViTConfig
from napari_sam_adapter.sam.tiny_vit import TinyViT, TinyViTConfig

TINY = TinyViTConfig(
    widths=(16, 32, 40, 64), depths=(1, 2, 2, 2), heads=(1, 2, 2, 4), embedding_width=256
)
SMALL_VIT = PlainViTConfig(48, 6, 4, (2, 5))


def randomised(module: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def make(kind: str, forked_at: int | None = None):
    torch.manual_seed(0)
    if kind == "tiny":
        encoder, config = TinyViT(TINY), AdapterConfig(stages=(1, 2, 3), reduction=4)
    else:
        encoder = PlainViT(SMALL_VIT, grid=4)
        config = AdapterConfig(stages=(0,), reduction=4, image_tune="patches", forked_at=forked_at)
    encoder.eval().requires_grad_(False)
    adapter = Adapter(encoder.layout, config)
    randomised(adapter, 1)
    return encoder, adapter


def small_vit() -> AdaptedSam:
    """Return a plain ViT for inputs of 64 pixels, with an adapter that is not forked."""
    encoder, adapter = make("plain")
    base = BaseSam(encoder, build_prompt_encoder(64, 16), build_mask_decoder())
    model = AdaptedSam(base, ModelSettings("sam_vit_b", 64, "none", adapter.config))
    randomised(model.adapter, 1)
    return model.eval()


def images(kind: str) -> Tensor:
    side = 32 if kind == "tiny" else 64
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(2))


def in_two(encoder, adapter, x: Tensor) -> Tensor:
    cut = encoder.late_cut
    maps = adapter.maps_before(x, cut)
    features, entering = encoder.before(x, adapter.begin(x), cut)
    return encoder.after(features, entering, adapter.begin_after(maps, cut), cut)


@pytest.mark.parametrize(("kind", "fork"), [("tiny", None), ("plain", 4)])
def test_in_two_parts_an_encoder_computes_what_it_does_whole(kind, fork):
    encoder, adapter = make(kind, fork)
    x = images(kind)
    with torch.no_grad():
        whole = encoder(x, adapter.begin(x))
        torch.testing.assert_close(in_two(encoder, adapter, x), whole, rtol=1e-5, atol=1e-5)


def test_a_fork_computes_what_its_adapter_did():
    encoder, adapter = make("plain")
    _, forked = make("plain", encoder.late_cut.block)
    adapter.fork(forked)
    x = images("plain")
    with torch.no_grad():
        expected = encoder(x, adapter.begin(x))
        torch.testing.assert_close(encoder(x, forked.begin(x)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kind", "fork"), [("tiny", None), ("plain", 4)])
def test_what_is_trained_late_does_not_reach_what_comes_before(kind, fork):
    encoder, adapter = make(kind, fork)
    x, cut = images(kind), encoder.late_cut
    late = {id(p) for part in adapter.parts_after(cut) for p in part.parameters()}
    assert 0 < len(late) < len(list(adapter.parameters()))

    def before() -> list[Tensor]:
        with torch.no_grad():
            features, _ = encoder.before(x, adapter.begin(x), cut)
            return [features, *adapter.maps_before(x, cut).values()]

    kept, whole = before(), encoder(x, adapter.begin(x)).detach()
    with torch.no_grad():
        for parameter in adapter.parameters():
            if id(parameter) in late:
                parameter.add_(0.5)
        assert not torch.allclose(encoder(x, adapter.begin(x)), whole, atol=1e-2)
    for one, other in zip(before(), kept, strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():  # and what is not late does reach it
        for parameter in adapter.parameters():
            if id(parameter) not in late:
                parameter.add_(0.5)
    assert not torch.equal(before()[0], kept[0])


@pytest.mark.parametrize(("kind", "fork"), [("tiny", None), ("plain", 4)])
def test_late_gradients_are_those_of_the_whole(kind, fork):
    encoder, adapter = make(kind, fork)
    x = images(kind)
    late = [p for part in adapter.parts_after(encoder.late_cut) for p in part.parameters()]
    direction = torch.randn(encoder(x).shape, generator=torch.Generator().manual_seed(4))
    found = torch.autograd.grad((in_two(encoder, adapter, x) * direction).sum(), late)
    expected = torch.autograd.grad((encoder(x, adapter.begin(x)) * direction).sum(), late)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_fork_is_known_by_the_same_keys_and_draws_nothing():
    """Else a version that is trained late would find nothing of what its parent has computed."""
    model = small_vit()
    drawn = torch.random.get_rng_state()
    whole = encoder_key(model)
    prepare_late(model)
    assert model.settings.adapter.forked_at == model.base.encoder.late_cut.block
    assert encoder_key(model) == whole
    assert torch.equal(torch.random.get_rng_state(), drawn)
    before = prefix_key(model)
    with torch.no_grad():
        model.adapter.late.mlp_up.bias.add_(0.1)
    assert encoder_key(model) != whole
    assert prefix_key(model) == before


def test_an_adapter_that_is_not_forked_cannot_be_cut_within_a_stage():
    _, adapter = make("plain")
    with pytest.raises(ValueError, match="not forked at block 4"):
        adapter.parts_after(Cut(0, 4))


@pytest.mark.parametrize("block", [6, 100])
def test_a_fork_lies_within_the_stage(block):
    with pytest.raises(ValueError, match="has 6 blocks"):
        make("plain", block)


@pytest.mark.parametrize("key", [encoder_key, prefix_key])
def test_encoders_are_told_apart_by_weights_and_by_conditions(key):
    def model(weight: float, change: float = 0.0, stage: int = 1):
        conditions = (Condition("patch_embedding"), Condition("high_frequency", weight))
        settings = ModelSettings.default("lite_medsam", 112)
        made = build_adapted_sam(
            settings.with_changes(adapter=replace(settings.adapter, conditions=conditions))
        )
        randomised(made.adapter, 1)
        with torch.no_grad():
            made.adapter.stage(stage).mlp_up.bias.add_(change)
        return made

    assert key(model(1.0)) == key(model(1.0))
    assert key(model(1.0)) != key(model(2.0))
    assert key(model(1.0)) != key(model(1.0, change=0.1))
    late = key(model(1.0, change=0.1, stage=3))
    assert (late == key(model(1.0))) == (key is prefix_key)
