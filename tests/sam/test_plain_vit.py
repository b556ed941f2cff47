"""SAM's plain ViT with an adapter: against `segment_anything` itself, and against the formula."""

import math

import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn
from torch.nn import functional

from napari_sam_adapter.adapter.config import PLAIN_VIT_ADAPTER, AdapterConfig
from napari_sam_adapter.adapter.high_frequency import high_frequency_components
from napari_sam_adapter.adapter.module import Adapter
from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.build import ARCHITECTURES, architecture_of, assemble
from napari_sam_adapter.sam.plain_vit import VIT_B, VIT_H, VIT_L, PlainViT, PlainViTConfig

TINY = PlainViTConfig(width=32, depth=4, heads=2, global_blocks=(1, 3))
TINY_ADAPTER = AdapterConfig(stages=(0,), reduction=8, image_tune="patches")


def randomised(module: nn.Module, seed: int, scale: float = 0.1) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


def random_images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def encoder() -> PlainViT:
    encoder = PlainViT(TINY)
    randomised(encoder, 2)
    return encoder.requires_grad_(False).eval()


@pytest.fixture
def adapter(encoder) -> Adapter:
    adapter = Adapter(encoder.layout, TINY_ADAPTER)
    randomised(adapter, 3)
    return adapter


def encode_by_formula(encoder: PlainViT, adapter: Adapter, images: Tensor) -> Tensor:
    """x <- x + MLP_up(GELU(MLP_tune_i(E + H))) before each block i, E and H computed once."""
    weights = {name.removeprefix("stages.0."): p for name, p in adapter.named_parameters()}

    def linear(x: Tensor, name: str) -> Tensor:
        return torch.einsum("...i,oi->...o", x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]

    vit = encoder.vit
    patches = vit.patch_embed(images)
    e = linear(patches, "patch_embedding_tune")
    high = high_frequency_components(images, 0.25)
    name = "image_tune.high_frequency.conv"
    h = functional.conv2d(high, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=16)
    f = e + h.movedim(1, -1)
    position = functional.interpolate(
        vit.pos_embed.movedim(-1, 1), patches.shape[1:3], mode="bicubic", align_corners=False
    )
    x = patches + position.movedim(1, -1)
    for index, block in enumerate(vit.blocks):
        tuned = linear(f, f"mlp_tune.{index}")
        tuned = tuned * 0.5 * (1 + torch.erf(tuned / math.sqrt(2)))
        x = block(x + linear(tuned, "mlp_up"))
    return vit.neck(x.movedim(-1, 1))


@pytest.mark.parametrize("size_hw", [(224, 224), (160, 240), (64, 64)])
def test_outputs_equal_the_formula(encoder, adapter, size_hw):
    images = random_images(2, 3, *size_hw)
    with torch.no_grad():
        found = encoder(images, adapter.begin(images))
        expected = encode_by_formula(encoder, adapter, images)
        without = encoder(images)
    assert found.shape == (2, 256, size_hw[0] // 16, size_hw[1] // 16)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - without).abs().max() > 1e-2


def test_gradients_equal_the_formula(encoder, adapter):
    images = random_images(1, 3, 64, 96)
    weights = list(adapter.parameters())
    direction = random_images(1, 256, 4, 6)
    found = torch.autograd.grad((encoder(images, adapter.begin(images)) * direction).sum(), weights)
    by_formula = (encode_by_formula(encoder, adapter, images) * direction).sum()
    for gradient, expected in zip(found, torch.autograd.grad(by_formula, weights), strict=True):
        assert expected.abs().max() > 0
        assert (gradient - expected).abs().max() / expected.abs().max() < 1e-3


def test_the_parameters_are_as_many_as_published():
    for config, published in ((VIT_B, 63_312), (VIT_L, 116_544), (VIT_H, 186_960)):
        with torch.device("meta"):
            layout = PlainViT(config).layout
        adapter = Adapter(layout, PLAIN_VIT_ADAPTER)
        assert sum(p.numel() for p in adapter.parameters()) == published


def test_vit_b_with_an_adapter_at_zero_is_segment_anythings():
    torch.manual_seed(0)
    published = sam_model_registry["vit_b"]().requires_grad_(False)
    # Twelve blocks at 1024 pixels take a minute; the first three hold both kinds of attention.
    published.image_encoder.blocks = published.image_encoder.blocks[:3]
    encoder = PlainViT(PlainViTConfig(VIT_B.width, 3, VIT_B.heads, (2,))).requires_grad_(False)
    encoder.vit.load_state_dict(published.image_encoder.state_dict(), strict=True)
    images = random_images(1, 3, 1024, 1024)
    adapter = Adapter(encoder.layout, PLAIN_VIT_ADAPTER)
    with torch.no_grad():
        found = encoder(images, adapter.begin(images))
        expected = published.image_encoder(images)
    assert (found - expected).abs().max() / expected.abs().max() < 1e-5


@pytest.mark.parametrize(("variant", "config"), [("vit_l", VIT_L), ("vit_h", VIT_H)])
def test_the_whole_encoders_of_vit_l_and_vit_h_are_segment_anythings(variant, config):
    """All blocks, on random weights, at 240 pixels: four windows, none of them full."""
    with torch.device("meta"):
        encoder = PlainViT(config)
        published = sam_model_registry[variant]().image_encoder
    encoder.to_empty(device="cpu").requires_grad_(False)
    noise = 0.1 * random_images(1_000_003)
    for parameter in encoder.parameters():
        for part in parameter.view(-1).split(len(noise)):
            part.copy_(noise[: len(part)])
    # Both compute with the same memory: 2.5 GB for ViT-H.
    published.load_state_dict(encoder.vit.state_dict(), strict=True, assign=True)
    position = encoder.vit.pos_embed.movedim(-1, 1)
    position = functional.interpolate(position, (15, 15), mode="bicubic", align_corners=False)
    published.pos_embed = nn.Parameter(position.movedim(1, -1))
    images = random_images(1, 3, 240, 240)
    with torch.no_grad():
        found, expected = encoder(images), published(images)
    assert (found - expected).abs().max() / expected.abs().max() < 1e-5


@pytest.mark.parametrize("size", [224, 512])
def test_other_sizes_are_segment_anythings_with_interpolated_positions(encoder, size):
    """`segment_anything` built for the size, with relative positions interpolated as it does."""
    grid = size // 16
    stock = ImageEncoderViT(
        img_size=size,
        patch_size=16,
        embed_dim=TINY.width,
        depth=TINY.depth,
        num_heads=TINY.heads,
        norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=TINY.global_blocks,
    )
    state = encoder.vit.state_dict()
    for key, value in stock.state_dict().items():
        if "rel_pos" in key and value.shape != state[key].shape:
            line = state[key].T[None]
            state[key] = functional.interpolate(line, value.shape[0], mode="linear")[0].T
    state["pos_embed"] = functional.interpolate(
        state["pos_embed"].movedim(-1, 1), (grid, grid), mode="bicubic"
    ).movedim(1, -1)
    stock.load_state_dict(state, strict=True)
    images = random_images(1, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), stock(images), rtol=1e-4, atol=1e-4)


def test_a_size_that_the_patches_do_not_divide_is_refused(encoder):
    with pytest.raises(ValueError, match="divisible by 16, got 100 x 64"):
        encoder(torch.zeros(1, 3, 100, 64))


@pytest.mark.parametrize("variant", ["vit_b", "vit_l", "vit_h"])
def test_published_checkpoints_fit_key_by_key(variant):
    with torch.device("meta"):
        published = sam_model_registry[variant]().state_dict()
        ours = assemble(variant, 1024).state_dict()
    assert architecture_of(published) == variant
    converted = ARCHITECTURES[variant].convert(published)
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in ours.items()
    }


def test_a_checkpoint_of_another_method_is_named_by_what_it_holds():
    with pytest.raises(WeightsError, match=r"not a Segment Anything checkpoint.*encoder\.conv1"):
        architecture_of({"encoder.conv1.weight": torch.zeros(3)})
