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
