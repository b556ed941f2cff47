"""Each gear's steps have the plain step's loss and gradients, of all tensors that the gear trains.

In fp32 to rounding, which no step is that leaves something out; both precisions take the same way
through the same code. In bf16 to what rounding does to gradients there: the plain step under
autocast has a cosine of 0.97 with itself in fp32 (LiteMedSAM), ours one of 0.98.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from bench.measuring import NotEqualError, check_equal, say
from bench.step_models import Setting
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.devices import decide_bfloat16
from napari_sam_adapter.training.config import Gear

FP32_LIMIT, BF16_LOSS_LIMIT, BF16_LEAST_COSINE = 1e-5, 2e-2, 0.96


def check_gear(setting: Setting, gear: Gear, model: AdaptedSam, bf16: bool) -> None:
    """Compare a step of the product with the plain one.

    Parameters
    ----------
    setting : Setting
    gear : {"quick", "late", "full"}
    model : AdaptedSam
        From `Setting.model_for`.
    bf16 : bool
        Whether steps are timed in bf16, and so are to be compared in it, too.

    Raises
    ------
    NotEqualError
        If another tensor is trained than the plain step reaches, or a loss or gradients differ.
    """
    expected, plain = plain_gradients(setting, model)
    loss, found = own_gradients(setting, gear, model, bf16=False)
    check_names(gear, found, plain)
    name = f"{gear}, fp32"
    check_equal(f"{name}: loss", torch.tensor(loss), expected, FP32_LIMIT)
    both = _together(found, plain)
    check_equal(f"{name}: gradients of {len(found)} tensors", *both, FP32_LIMIT)
    if bf16:
        loss, found = own_gradients(setting, gear, model, bf16=True)
        check_names(gear, found, plain)
        name = f"{gear}, bf16"
        check_equal(f"{name}: loss", torch.tensor(loss), expected, BF16_LOSS_LIMIT)
        check_direction(f"{name}: gradients of {len(found)} tensors", *_together(found, plain))


def plain_gradients(setting: Setting, model: AdaptedSam) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the plain step's loss, and gradients of adapter and decoder by name."""
    parameters = trainable(model)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    loss = setting.plain_loss(model)()
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    found = zip(parameters, gradients, strict=True)
    return loss.detach(), {name: gradient for name, gradient in found if gradient is not None}


def own_gradients(
    setting: Setting, gear: Gear, model: AdaptedSam, bf16: bool
) -> tuple[float, dict[str, Tensor]]:
    """Return the loss of a step of the product, and gradients by name, before they are clipped."""
    decide_bfloat16(bf16)
    try:
        stepper = setting.stepper(model, gear, clips=False)
        loss = stepper.take(0.5)
    finally:
        decide_bfloat16(None)
    trained = set(map(id, stepper.parameters))
    found = {k: p.grad for k, p in trainable(model).items() if id(p) in trained}
    return loss, {name: gradient for name, gradient in found.items() if gradient is not None}


def trainable(model: AdaptedSam) -> dict[str, Tensor]:
    """Return the parameters of adapter and decoder by name."""
    chosen = {id(p) for p in [*model.adapter.parameters(), *model.decoder_parameters()]}
    return {name: p for name, p in model.named_parameters() if id(p) in chosen}


def check_names(gear: Gear, found: dict[str, Tensor], plain: dict[str, Tensor]) -> None:
    """Check that a gear trains all that the plain step reaches, or for late and quick a part of it.

    Raises
    ------
    NotEqualError
    """
    decoder = {name for name in plain if not name.startswith("adapter.")}
    least = set(plain) if gear == "full" else decoder
    beyond = len(found) > len(decoder) if gear == "late" else True
    if not least <= set(found) <= set(plain) or not beyond:
        raise NotEqualError(
            f"{gear}: gradients reach other weights than they should: {len(found)} tensors, of "
            f"the plain step's {len(plain)}, {len(decoder)} of which are the decoder's"
        )


def check_direction(name: str, found: Tensor, expected: Tensor) -> None:
    """Check that gradients in bf16 point where those in fp32 do, and are as long.

    Raises
    ------
    NotEqualError
    """
    cosine = float(cosine_similarity(found, expected, dim=0))
    length = float(found.norm() / expected.norm())
    say(f"  {name}: cosine {cosine:.3f} (at least {BF16_LEAST_COSINE}), length {length:.3f}")
    if not cosine >= BF16_LEAST_COSINE or not 0.9 < length < 1.1:
        raise NotEqualError(f"{name}: cosine {cosine:.3f} and length {length:.3f} of fp32's")


def _together(found: dict[str, Tensor], plain: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    mine, theirs = ([side[name].flatten() for name in found] for side in (found, plain))
    return torch.cat(mine), torch.cat(theirs)
