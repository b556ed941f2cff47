"""Attention is the softmax of the written formula, whichever way computes it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_sam_adapter.sam.attention import attention

SHAPES = [(3, 2, 49, 49), (2, 3, 196, 196), (4, 2, 28, 29), (1, 2, 64, 300)]


def inputs(shape, spread: float = 1.0) -> list[Tensor]:
    windows, heads, n, m = shape
    generator = torch.Generator().manual_seed(0)
    sizes = [(windows, heads, n, 32), (windows, heads, m, 32), (windows, heads, m, 32)]
    drawn = [torch.randn(*size, generator=generator) for size in (*sizes, (1, heads, n, m))]
    return [drawn[0] * spread, *drawn[1:]]


def by_formula(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    q, k, v, bias = (x.double() for x in (q, k, v, bias))
    return (q @ k.mT / q.shape[-1] ** 0.5 + bias).softmax(-1) @ v


@pytest.fixture
def fused(monkeypatch) -> list[int]:
    """Count the calls of the fused kernel."""
    calls, original = [], functional.scaled_dot_product_attention

    def counted(*given, **named):
        calls.append(1)
        return original(*given, **named)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    return calls


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 1e-6), (torch.bfloat16, 1.2e-2)], ids=["fp32", "bf16"]
)
def test_it_is_the_softmax_of_the_scores(shape, dtype, limit):
    given = [x.to(dtype) for x in inputs(shape)]
    expected = by_formula(*given)
    with torch.no_grad():
        found = attention(*given)
    assert found.dtype == dtype
    rms = (found - expected).pow(2).mean() / expected.pow(2).mean()
    assert rms.sqrt() < limit


@pytest.mark.parametrize("shape", SHAPES)
def test_its_gradients_are_the_formulas(shape):
    mine, theirs = ([x.clone().requires_grad_() for x in inputs(shape)] for _ in range(2))
    attention(*mine).square().sum().backward()
    by_formula(*theirs).square().sum().backward()
    for x, y in zip(mine, theirs, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)


def test_bf16_goes_without_the_fused_kernel_and_fp32_with_it(fused):
    with torch.no_grad():
        attention(*(x.bfloat16() for x in inputs(SHAPES[0])))
        assert not fused
        attention(*inputs(SHAPES[0]))
    assert fused


@pytest.mark.parametrize("spread", [100.0, 1e4])
def test_scores_whose_exponentials_are_no_numbers_go_the_safe_way(spread, fused):
    given = [x.bfloat16() for x in inputs(SHAPES[0], spread)]
    with torch.no_grad():
        found = attention(*given)
    assert fused
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), by_formula(*given), rtol=0.1, atol=0.1)


def test_rows_of_very_low_scores_are_no_division_by_zero(fused):
    q, k, v, bias = (x.bfloat16() for x in inputs(SHAPES[0]))
    low = bias - 300
    with torch.no_grad():
        found = attention(q, k, v, low)
    assert fused
    torch.testing.assert_close(found.double(), by_formula(q, k, v, low), rtol=0.02, atol=0.02)
