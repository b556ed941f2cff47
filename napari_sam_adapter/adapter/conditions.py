"""Conditions of SAM-Adapter that are computed from the image, by name.

A condition maps encoder inputs (B, 3, H, W) to (B, C, H, W). More of them come from installed
packages through the entry point group ``napari_sam_adapter.conditions`` (docs/conditions.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam_adapter.adapter.config import (
    BUILT_IN_CONDITIONS,
    CONDITION_GROUP,
    HIGH_FREQUENCY,
    condition_names,
)
from napari_sam_adapter.adapter.high_frequency import high_frequency_components
from napari_sam_adapter.errors import ConditionError

_LOG = logging.getLogger(__name__)

ConditionFunction = Callable[[Tensor], Tensor]

TEXTURE_WINDOW = 7


def local_texture(images: Tensor) -> Tensor:
    """Return the standard deviation of each channel in a window of 7 x 7 pixels.

    Parameters
    ----------
    images : Tensor, shape (B, 3, H, W), float

    Returns
    -------
    Tensor, shape (B, 3, H, W), float32
        The window is cut at the border, so a constant image has no texture anywhere.
    """
    x = images.float()
    mean = partial(
        functional.avg_pool2d,
        kernel_size=TEXTURE_WINDOW,
        stride=1,
        padding=TEXTURE_WINDOW // 2,
        count_include_pad=False,
    )
    # Centred first: the difference of two large means would lose the small variance between them.
    x = x - x.mean(dim=(2, 3), keepdim=True)
    return (mean(x.square()) - mean(x).square()).clamp_min(0).sqrt()


def gradient(images: Tensor) -> Tensor:
    """Return edges of the grey image: the gradient's magnitude and the Laplacian's.

    Parameters
    ----------
    images : Tensor, shape (B, 3, H, W), float

    Returns
    -------
    Tensor, shape (B, 2, H, W), float32
        Sobel gradient in grey values per pixel, and the absolute 4-neighbour Laplacian.
    """
    grey = functional.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = grey.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    laplace = grey.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    kernels = torch.stack([across, across.T, laplace])[:, None]
    with torch.autocast(images.device.type, enabled=False):
        dx, dy, curvature = functional.conv2d(grey, kernels).unbind(1)
    return torch.stack([torch.hypot(dx, dy), curvature.abs()], dim=1)


def image_condition(name: str, *, mask_ratio: float) -> ConditionFunction:
    """Return a condition by its name, guarded against maps that do not fit.

    Parameters
    ----------
    name : str
    mask_ratio : float
        For the high-frequency component.

    Raises
    ------
    ConditionError
        If there is none of that name, its name cannot be used, or its package cannot be loaded.
    """
    if name in BUILT_IN_CONDITIONS:
        _tell_of_namesakes(name)
    if name == HIGH_FREQUENCY:
        return partial(high_frequency_components, mask_ratio=mask_ratio)
    built_in = {"local_texture": local_texture, "gradient": gradient}
    if name in built_in:
        return built_in[name]
    assert name not in BUILT_IN_CONDITIONS
    for point in entry_points(group=CONDITION_GROUP):
        if point.name == name:
            _check_name(name, point.value)
            try:
                return _Guarded(name, point.load())
            except Exception as error:
                raise ConditionError(
                    f"The condition {name!r} could not be loaded from {point.value}: {error}"
                ) from error
    raise ConditionError(
        f"There is no condition named {name!r}; known are: {', '.join(condition_names())}. If it "
        "came with a package, install that package here too."
    )


def _check_name(name: str, where: str) -> None:
    """Refuse a name that torch cannot call a layer by: an adapter has one for each condition."""
    if not name or "." in name or hasattr(nn.ModuleDict(), name):
        raise ConditionError(
            f"The condition {where} cannot be named {name!r}. Give it another name in its package: "
            "letters, digits and underscores, and not the name of a method of torch's modules."
        )


@cache  # once: to look through all installed packages takes its time
def _tell_of_namesakes(name: str) -> None:
    """Say that a package's condition is not used, because its name is taken."""
    for point in entry_points(group=CONDITION_GROUP):
        if point.name == name:
            _LOG.warning(
                "%r is the built-in condition, not %s of an installed package: give that one "
                "another name there.",
                name,
                point.value,
            )


def n_channels(condition: ConditionFunction) -> int:
    """Return how many channels a condition's map has, by asking it for a small one."""
    with torch.no_grad():
        return int(condition(torch.zeros(1, 3, 32, 32, device="cpu")).shape[1])


@dataclass(slots=True)
class _Guarded:
    """Computes somebody else's condition and refuses what would spoil the training."""

    name: str
    function: ConditionFunction
    n_channels: int | None = None  # as many as the first time

    def __call__(self, images: Tensor) -> Tensor:
        try:
            with torch.autocast(images.device.type, enabled=False):
                # A copy: what is changed in place is not the encoder's own input.
                result = self.function(images.to(torch.float32, copy=True))
        except Exception as error:
            raise ConditionError(f"The condition {self.name!r} failed: {error}") from error
        batch, _, height, width = images.shape
        expected = f"({batch}, {self.n_channels or 'channels'}, {height}, {width})"
        if not isinstance(result, Tensor):
            raise ConditionError(
                f"The condition {self.name!r} returned {type(result).__name__}; a Tensor of shape "
                f"{expected} is expected."
            )
        fits = result.ndim == 4 and result.shape[0] == batch and result.shape[2:] == (height, width)
        if not fits or not result.shape[1] or self.n_channels not in (None, result.shape[1]):
            raise ConditionError(
                f"The condition {self.name!r} returned the shape {tuple(result.shape)}; {expected} "
                "is expected, as large as its input, with as many channels every time."
            )
        if result.is_complex():
            raise ConditionError(
                f"The condition {self.name!r} returned complex numbers. Let it return their "
                "absolute value, or their real part."
            )
        if not bool(torch.isfinite(result).all()):
            raise ConditionError(
                f"The condition {self.name!r} returned values that are not finite numbers. Leave "
                "it out, or mend it (a division by zero on a constant image is the usual cause)."
            )
        self.n_channels = result.shape[1]
        return result.to(images.device, torch.float32)
