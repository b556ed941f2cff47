"""Attention by pieces, on real tokens, is what segment_anything computes; so are gradients."""

import pytest
import torch
from segment_anything.modeling.image_encoder import Block

from napari_sam_adapter.sam import relative_attention
from napari_sam_adapter.sam.plain_vit import block_of_vit


def block(window: int, side: int) -> Block:
    torch.manual_seed(0)
    made = Block(24, 3, use_rel_pos=True, window_size=window, input_size=(side, side))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return made.requires_grad_(False).eval()


@pytest.mark.parametrize("shape", [(14, 14), (16, 16), (9, 20), (5, 5), (28, 14)])
@pytest.mark.parametrize("window", [0, 7, 14])
@pytest.mark.parametrize("piece", [1, 4000, 16 * 1024**2])
def test_a_block_in_pieces_is_the_block(shape, window, piece, monkeypatch):
    side = max(shape)  # relative positions are interpolated to the other side
    monkeypatch.setitem(relative_attention.PIECE_BYTES, "cpu", piece)
    module = block(window, side)
    x = torch.randn(2, *shape, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(block_of_vit(module, x.clone()), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [0, 14])
@pytest.mark.parametrize("piece", [1, 16 * 1024**2])
def test_its_gradients_are_the_blocks(window, piece, monkeypatch):
    monkeypatch.setitem(relative_attention.PIECE_BYTES, "cpu", piece)
    module = block(window, 16)
    x = torch.randn(1, 16, 16, 24, generator=torch.Generator().manual_seed(1))
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    mine, theirs = (x.clone().requires_grad_() for _ in range(2))
    (block_of_vit(module, mine) * direction).sum().backward()
    (module(theirs) * direction).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)
