"""A running average of weights: steadier than the last step's when slices are few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


class WeightsAverage:
    """Exponential moving average of parameters.

    Parameters
    ----------
    parameters : sequence of Parameter
    decay : float
        Weight of the past per step. It rises to this value during the first steps, so that the
        average does not remember the start for ever.

    References
    ----------
    Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self._decay = decay
        self._average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the parameters after step ``step`` (from 1 on) into the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._average, [p.detach() for p in self.parameters], 1.0 - decay)

    def state(self) -> list[torch.Tensor]:
        """Return the average, in the order of the parameters."""
        return self._average

    def load(self, state: Sequence[torch.Tensor]) -> None:
        """Continue from what `state` returned."""
        for mine, value in zip(self._average, state, strict=True):
            mine.copy_(value)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Put the average into the model for the duration of a ``with`` block."""
        current = [parameter.detach().clone() for parameter in self.parameters]
        self._assign(self._average)
        try:
            yield
        finally:
            self._assign(current)

    @torch.no_grad()
    def _assign(self, values: Sequence[torch.Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
