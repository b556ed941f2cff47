"""The adapter against its formula, written out here a second time without any of its modules."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.adapter.config import AdapterConfig, StageLayout
from napari_sam_adapter.adapter.high_frequency import high_frequency_components
from napari_sam_adapter.adapter.module import Adapter, has_zero_effect
from napari_sam_adapter.sam.tiny_vit import TinyViT, TinyViTConfig

TINY = TinyViTConfig(
    widths=(8, 16, 20, 24), depths=(1, 2, 3, 1), heads=(1, 2, 2, 3), windows=(7, 7, 4, 7)
)


def randomised(module: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def random_images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def encoder() -> TinyViT:
    encoder = TinyViT(TINY)
    randomised(encoder, 2)
    return encoder.requires_grad_(False).eval()


@pytest.fixture
def adapter(encoder) -> Adapter:
    adapter = Adapter(encoder.layout, AdapterConfig(stages=(1, 2, 3), reduction=4))
    randomised(adapter, 3)
    return adapter


def high_frequency_by_formula(adapter: Adapter, encoder: TinyViT, images: Tensor):
    """H of each stage, (B, h, w, r): LayerNorm(conv(H of the stage before)), 3 channels first."""
    weights = dict(adapter.named_parameters())
    x = high_frequency_components(images, adapter.config.mask_ratio)
    result, stride_before = {}, 1
    for stage in adapter.config.stages:
        name = f"stages.{stage}.image_tune.high_frequency"
        stride = encoder.layout[stage].stride // stride_before
        stride_before = encoder.layout[stage].stride
        weight, bias = weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"]
        x = functional.conv2d(x, weight, bias, stride=stride, padding=stride)
        x = x - x.mean(1, keepdim=True)
        x = x / torch.sqrt(x.square().mean(1, keepdim=True) + 1e-5)
        x = x * weights[f"{name}.norm.weight"][:, None, None]
        x = x + weights[f"{name}.norm.bias"][:, None, None]
        result[stage] = x.movedim(1, -1)
    return result


def prompt_by_formula(adapter: Adapter, stage: int, block: int, embedding: Tensor, high: Tensor):
    """P_i = MLP_up(GELU(MLP_tune_i(E + H))), E a linear map of the stage's features."""
    weights = {name.removeprefix(f"stages.{stage}."): p for name, p in adapter.named_parameters()}

    def linear(x: Tensor, name: str) -> Tensor:
        return torch.einsum("...i,oi->...o", x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]

    x = linear(linear(embedding, "patch_embedding_tune") + high, f"mlp_tune.{block}")
    return linear(x * 0.5 * (1 + torch.erf(x / math.sqrt(2))), "mlp_up")


def encode_by_formula(encoder: TinyViT, adapter: Adapter, images: Tensor) -> Tensor:
    high = high_frequency_by_formula(adapter, encoder, images)
    features = encoder.patch_embed.seq(images).movedim(1, -1)
    for number, layer in enumerate(encoder.layers):
        entering = features
        for index, block in enumerate(layer.blocks):
            if number in high:
                prompt = prompt_by_formula(adapter, number, index, entering, high[number])
                features = features + prompt
            features = block(features)
        features = layer.downsample(features)
    return encoder.neck(features.movedim(-1, 1))


@pytest.mark.parametrize("stages", [(1, 2, 3), (0, 1, 2, 3), (2,), (1, 3)])
@pytest.mark.parametrize("size_hw", [(32, 32), (24, 40)])
def test_encoder_outputs_equal_the_formula(encoder, stages, size_hw):
    adapter = Adapter(encoder.layout, AdapterConfig(stages=stages, reduction=4))
    randomised(adapter, 3)
    images = random_images(2, 3, *size_hw)
    with torch.no_grad():
        found = encoder(images, adapter.begin(images))
        expected = encode_by_formula(encoder, adapter, images)
        without = encoder(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - without).abs().max() > 0.1


def test_gradients_equal_the_formula(encoder, adapter):
    images = random_images(2, 3, 32, 32)
    weights = list(adapter.parameters())
    direction = random_images(2, 256, 8, 8)
    found = torch.autograd.grad((encoder(images, adapter.begin(images)) * direction).sum(), weights)
    by_formula = (encode_by_formula(encoder, adapter, images) * direction).sum()
    for gradient, expected in zip(found, torch.autograd.grad(by_formula, weights), strict=True):
        assert expected.abs().max() > 0
        error = (gradient - expected).abs().max() / expected.abs().max()
        assert error < 1e-3


def test_a_fresh_adapter_leaves_the_real_encoder_as_it_is(lite_medsam):
    images = random_images(1, 3, 64, 64)
    encoder = lite_medsam.base.image_encoder
    with torch.no_grad():
        found = encoder(images, lite_medsam.adapter.begin(images))
        torch.testing.assert_close(found, encoder(images), rtol=0, atol=1e-6)
    assert has_zero_effect(lite_medsam.adapter)


def test_a_fresh_adapter_can_learn(lite_medsam):
    images = random_images(1, 3, 64, 64)
    adapter = lite_medsam.adapter
    embedding = lite_medsam.base.image_encoder(images, adapter.begin(images))
    ups = [adapter.stage(number).mlp_up.weight for number in adapter.config.stages]
    for gradient in torch.autograd.grad(embedding.square().sum(), ups):
        assert gradient.abs().max() > 0


def test_an_adapter_with_random_weights_has_an_effect(adapter):
    assert not has_zero_effect(adapter)


def test_images_need_not_be_square(encoder, adapter):
    images = random_images(1, 3, 24, 40)
    assert encoder(images, adapter.begin(images)).shape == (1, 256, 6, 10)


def test_images_of_a_batch_do_not_mix(encoder, adapter):
    images = random_images(2, 3, 32, 32)
    with torch.no_grad():
        together = encoder(images, adapter.begin(images))
        alone = [encoder(image[None], adapter.begin(image[None])) for image in images]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_a_stage_without_prompts_gets_its_features_back_untouched(adapter):
    features = torch.ones(1, 32, 32, TINY.widths[0])
    during_pass = adapter.begin(random_images(1, 3, 32, 32))
    during_pass.enter_stage(0, features)
    assert during_pass.before_block(0, 0, features) is features


def test_prompts_take_the_precision_of_the_features(adapter):
    during_pass = adapter.begin(random_images(1, 3, 32, 32))
    features = random_images(1, 16, 16, TINY.widths[1])
    during_pass.enter_stage(1, features)
    assert during_pass.before_block(1, 0, features.bfloat16()).dtype == torch.bfloat16


def test_a_plain_encoder_is_a_single_stage():
    layout = [StageLayout(width=48, depth=2, stride=16)]
    adapter = Adapter(layout, AdapterConfig(stages=(0,)))
    during_pass = adapter.begin(random_images(1, 3, 64, 96))
    features = random_images(1, 4, 6, 48)
    during_pass.enter_stage(0, features)
    assert during_pass.before_block(0, 1, features).shape == features.shape


def test_parameters_are_counted_as_the_formula_needs_them():
    layout = [StageLayout(width=32, depth=3, stride=4)]
    bottleneck, kernel = 8, 9
    adapter = Adapter(layout, AdapterConfig(stages=(0,), reduction=4))
    embedding_tune = 32 * bottleneck + bottleneck
    high_frequency_tune = 3 * bottleneck * kernel**2 + bottleneck
    norm = 2 * bottleneck
    tunes = 3 * (bottleneck**2 + bottleneck)
    up = bottleneck * 32 + 32
    n_parameters = sum(p.numel() for p in adapter.parameters())
    assert n_parameters == embedding_tune + high_frequency_tune + norm + tunes + up


def test_a_stage_that_the_encoder_lacks_is_refused(encoder):
    with pytest.raises(ValueError, match="names stage 4, but the encoder has stages 0 to 3"):
        Adapter(encoder.layout, AdapterConfig(stages=(1, 4)))
