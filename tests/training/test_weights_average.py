"""The running average of the weights."""

import pytest
import torch
from torch import nn

from napari_sam_adapter.training.weights_average import WeightsAverage


def test_the_average_follows_its_recursion():
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    average, expected = WeightsAverage([parameter], decay=0.5), parameter.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            parameter += step
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * parameter.detach()
    with average.swapped_in():
        torch.testing.assert_close(parameter.detach(), expected)


def test_what_is_put_in_lies_between_the_start_and_the_average():
    start = torch.tensor([1.0, -2.0])
    parameters = [nn.Parameter(start.clone()) for _ in range(2)]
    plain = WeightsAverage(parameters[:1], decay=0.5)
    between = WeightsAverage(parameters[1:], decay=0.5, start_share=0.25)
    for step in range(1, 10):
        for parameter, average in zip(parameters, (plain, between), strict=True):
            with torch.no_grad():
                parameter += step
            average.update(step)
    own = parameters[1].detach().clone()
    with plain.swapped_in(), between.swapped_in():
        expected = 0.25 * start + 0.75 * parameters[0].detach()
        torch.testing.assert_close(parameters[1].detach(), expected)
    assert torch.equal(parameters[1].detach(), own)


def test_the_models_own_weights_come_back_even_after_an_error():
    parameter = nn.Parameter(torch.zeros(2))
    average = WeightsAverage([parameter], decay=0.9)
    with torch.no_grad():
        parameter += 1

    def fail() -> None:
        with average.swapped_in():
            raise ValueError("while the average is in place")

    with pytest.raises(ValueError, match="in place"):
        fail()
    assert torch.equal(parameter.detach(), torch.ones(2))
