"""What is computed in strips, or partly in bf16, is what is computed at once and in fp32."""

import pytest
import torch

from napari_sam_adapter.sam import strips, tiny_vit_blocks
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.tiny_vit_blocks import MBConv, Mlp, PatchMerging, TinyViTBlock

BLOCKS = {
    "inverted bottleneck": lambda: MBConv(8, 4),
    "merging, stride 1": lambda: PatchMerging(8, 16, 1),
    "merging, stride 2": lambda: PatchMerging(8, 16, 2),
    "attention block": lambda: TinyViTBlock(8, 2, 7, 4),
}


def features(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, height, width, 8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("rows", [1, 2, 5, 100])
@pytest.mark.parametrize("shape", [(24, 10), (14, 14), (2, 6)])
def test_strips_are_the_whole(name, rows, shape, monkeypatch):
    torch.manual_seed(0)
    block = BLOCKS[name]().requires_grad_(False)
    x = features(*shape)
    expected = block(x.clone().requires_grad_()).detach()
    for module in (strips, tiny_vit_blocks):
        monkeypatch.setattr(module, "rows_of_strip", lambda *given: rows)
    given = x.clone()
    found = block(given)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(given, x), "a block must not change what it is given"


def test_gradients_go_through_what_is_added():
    torch.manual_seed(0)
    mlp = Mlp(8, 32).requires_grad_(False)
    x = features(4, 4).requires_grad_()
    strips.add_in_strips(x, mlp, 32).sum().backward()
    gradient, x.grad = x.grad.clone(), None
    (x + mlp(x)).sum().backward()
    torch.testing.assert_close(gradient, x.grad)


@pytest.mark.parametrize("wanted", [1, 7])
def test_a_strip_of_one_row_is_the_least(wanted, monkeypatch):
    x = features(16, 16)
    monkeypatch.setattr(strips, "STRIP_BYTES", 4 * 2 * 16 * 32 * wanted)
    assert strips.rows_of_strip(x, 32) == wanted
    assert strips.rows_of_strip(x, 10**9) == 1
    assert strips.rows_of_strip(x.requires_grad_(), 32) == 16


def test_bf16_leaves_the_embedding_within_two_hundredths(polyps_image):
    encoder = LITE_MEDSAM.build(256).image_encoder
    with torch.inference_mode():
        exact = encoder(polyps_image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = encoder(polyps_image).float()
    error = (found - exact).pow(2).mean().sqrt() / exact.pow(2).mean().sqrt()
    assert 0 < error < 2e-2


@pytest.fixture
def polyps_image() -> torch.Tensor:
    from napari_sam_adapter.data.synthetic import synthetic_polyps

    frame = torch.from_numpy(synthetic_polyps(1, (256, 256), seed=11).frames[0])
    return frame.permute(2, 0, 1)[None].float() / 255
