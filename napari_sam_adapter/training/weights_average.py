"""A running average of weights: steadier than the last step's when slices are few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


class WeightsAverage:
    """Exponential moving average of parameters, and the way from where they started to it.

    Parameters
    ----------
    parameters : sequence of Parameter
    decay : float
        Weight of the past per step. It rises to this value during the first steps, so that the
        average does not remember the start for ever.
    start_share : float
        What is put in stands on the straight line between the average (0) and the parameters as
        they are now (1).

    References
    ----------
    Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017; Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], decay: float, start_share: float = 0.0
    ) -> None:
        self.parameters = list(parameters)
        self._decay, self._start_share = decay, start_share
        self._start = [p.detach().clone() for p in self.parameters] if start_share else []
        self._average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the parameters after step ``step`` (from 1 on) into the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._average, [p.detach() for p in self.parameters], 1.0 - decay)

    def state(self) -> list[torch.Tensor]:
        """Return the average, in the order of the parameters."""
        return self._average

    @property
    def is_finite(self) -> bool:
        """Whether all of the average are numbers."""
        return all(bool(torch.isfinite(x).all()) for x in self._average)

    def load(self, state: Sequence[torch.Tensor]) -> None:
        """Continue from what `state` returned."""
        for mine, value in zip(self._average, state, strict=True):
            mine.copy_(value)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Put what was averaged into the model for the duration of a ``with`` block."""
        current = [parameter.detach().clone() for parameter in self.parameters]
        self._assign(self._average)
        if self._start:
            torch._foreach_lerp_(
                [p.detach() for p in self.parameters], self._start, self._start_share
            )
        try:
            yield
        finally:
            self._assign(current)

    @torch.no_grad()
    def _assign(self, values: Sequence[torch.Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
