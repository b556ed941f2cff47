"""A linear layer whose weights never change: what autocast makes of them is made once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FrozenLinear(nn.Linear):
    """Like `torch.nn.Linear`, with the same numbers.

    Autocast keeps its copies of weights only where they are trained; of frozen ones it makes a copy
    at every call, and a strip of features is a call.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self._copies: tuple[tuple[object, ...], Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        kind = x.device.type
        if self.weight.requires_grad or not torch.is_autocast_enabled(kind):
            return super().forward(x)
        return functional.linear(x, *self._cast(torch.get_autocast_dtype(kind)))

    def _cast(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # Loading weights changes the version, moving them the device.
        key = (dtype, self.weight.device, self.weight._version, self.bias._version)
        if self._copies is None or self._copies[0] != key:
            # Also for training, whose backward pass may save them, when a prediction asks first.
            with torch.inference_mode(False), torch.no_grad():
                self._copies = (key, self.weight.to(dtype), self.bias.to(dtype))
        return self._copies[1:]
