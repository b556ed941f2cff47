"""Copies of frozen weights that autocast would make again and again."""

import copy

import pytest
import torch
from torch import nn

from napari_sam_adapter.sam.frozen_linear import FrozenLinear


@pytest.fixture
def layers():
    torch.manual_seed(0)
    plain = nn.Linear(24, 40).requires_grad_(False)
    frozen = FrozenLinear(24, 40).requires_grad_(False)
    frozen.load_state_dict(plain.state_dict())
    return plain, frozen


def both(layers, x):
    with torch.autocast("cpu", torch.bfloat16):
        return [layer(x) for layer in layers]


def test_it_gives_the_numbers_of_a_plain_layer_with_autocast_and_without(layers):
    x = torch.randn(3, 5, 24)
    for _ in range(2):
        expected, found = both(layers, x)
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, expected)
    plain, frozen = layers
    assert torch.equal(frozen(x), plain(x))


def test_gradients_of_the_input_are_a_plain_layers_also_where_a_prediction_came_first(layers):
    with torch.inference_mode():
        both(layers, torch.randn(2, 24))
    gradients = []
    for layer in layers:
        torch.manual_seed(1)
        x = torch.randn(7, 24, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            layer(x).square().sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_other_weights_take_the_place_of_those_before(layers):
    x = torch.randn(2, 24)
    both(layers, x)
    others = nn.Linear(24, 40).state_dict()
    for layer in layers:
        layer.load_state_dict(others)
    expected, found = both(layers, x)
    assert torch.equal(found, expected)
    with torch.no_grad():
        for layer in layers:
            layer.bias += 1
    assert torch.equal(*both(layers, x))


def test_a_copy_of_the_layer_goes_its_own_way(layers):
    plain, frozen = layers
    x = torch.randn(2, 24)
    before = both(layers, x)[1]
    other = copy.deepcopy(frozen)
    with torch.no_grad():
        other.weight.zero_()
    assert torch.equal(both((plain, frozen), x)[1], before)
    assert not torch.equal(both((plain, other), x)[1], before)


def test_weights_that_are_trained_are_cast_each_time_and_get_gradients(layers):
    x = torch.randn(2, 24)
    for layer in layers:
        layer.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            layer(x).sum().backward()
    assert torch.equal(layers[0].weight.grad, layers[1].weight.grad)
    assert layers[1].weight.grad.abs().sum() > 0
