"""Attention on the real tokens alone gives what attention over padded windows gives."""

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.sam.window_attention import WindowAttention

WIDTH, HEADS = 24, 3


def attention(window: int) -> WindowAttention:
    torch.manual_seed(0)
    module = WindowAttention(WIDTH, HEADS, window)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module.requires_grad_(False)


def over_padded_windows(module: WindowAttention, x: Tensor) -> Tensor:
    """Pad with zeros, cut windows, attend to every token of a window, put together and crop."""
    size = module.window
    batch, height, width, channels = x.shape
    x = functional.pad(x, (0, 0, 0, -width % size, 0, -height % size))
    result = torch.zeros_like(x)
    row, column = torch.arange(size * size) // size, torch.arange(size * size) % size
    offset = (row[:, None] - row).abs() * size + (column[:, None] - column).abs()
    for top in range(0, x.shape[1], size):
        for left in range(0, x.shape[2], size):
            tokens = module.norm(x[:, top : top + size, left : left + size]).flatten(1, 2)
            parts = module.qkv(tokens).view(batch, size * size, HEADS, 3, -1)
            q, k, v = parts.permute(3, 0, 2, 1, 4)
            bias = module.attention_biases[:, offset]
            shares = (q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(-1)
            y = module.proj((shares @ v).transpose(1, 2).flatten(2))
            result[:, top : top + size, left : left + size] = y.view(batch, size, size, channels)
    return result[:, :height, :width]


@pytest.mark.parametrize("shape", [(14, 14), (16, 16), (9, 20), (3, 5), (7, 15)])
@pytest.mark.parametrize("window", [7, 14])
@pytest.mark.parametrize("training", [False, True])
def test_padding_counts_as_one_key(shape, window, training):
    module = attention(window)
    x = torch.randn(2, *shape, WIDTH, generator=torch.Generator().manual_seed(1))
    mine, reference = (x.clone().requires_grad_(training) for _ in range(2))
    with torch.set_grad_enabled(training):
        found, expected = module(mine), over_padded_windows(module, reference)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    if training:
        weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-4, atol=1e-4)


def test_newly_loaded_weights_are_used_at_once():
    module, other = attention(7), attention(7)
    with torch.no_grad():
        other.attention_biases += torch.randn(other.attention_biases.shape)
    x = torch.randn(1, 9, 9, WIDTH)
    with torch.no_grad():
        before = module(x)
        module.load_state_dict(copy.deepcopy(other.state_dict()))
        assert not torch.allclose(module(x), before)
        torch.testing.assert_close(module(x), other(x))


def test_what_a_prediction_works_out_serves_training_too():
    module = attention(7)
    x = torch.randn(1, 9, 9, WIDTH)
    with torch.inference_mode():
        module(x)
    assert not any(
        bias.is_inference() for pair in module._known.values() for bias in pair if bias is not None
    )
