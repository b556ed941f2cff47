"""Rows of a training step in each gear, against a plain step on the stock modules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from bench.measuring import (
    Row,
    as_in_the_product,
    as_published,
    check_equal,
    interleaved,
    say,
)
from bench.plain import whole_input
from bench.step_equality import check_gear, trainable
from bench.step_models import Setting, lite_medsam, vit_b
from bench.table import Line, lines_of
from napari_sam_adapter.sam.adapted import AdaptedSam
from napari_sam_adapter.sam.devices import autocast, uses_bfloat16
from napari_sam_adapter.sam.late import encode_after, encode_before
from napari_sam_adapter.training.config import Gear

ROUNDS = 5
PLAIN = "plain, fp32"
CPU = torch.device("cpu")


def rows() -> Iterator[Row]:
    """Measure the steps, and the refresh of a slice."""
    full, full_vit, late, late_vit, quick, quick_vit, refresh = lines_of("steps")
    lite = lite_medsam()
    yield from _gears(lite, {"full": full, "late": late, "quick": quick})
    yield from _gears(vit_b(), {"full": full_vit, "late": late_vit, "quick": quick_vit})
    yield refresh.row(*_refreshed(lite.model, lite.inputs()[0]))


def _gears(setting: Setting, lines: Mapping[Gear, Line]) -> Iterator[Row]:
    """Check that all gears have the plain step's gradients, then time them in turn with it."""
    bf16 = uses_bfloat16(CPU)
    precision = "bf16" if bf16 else "fp32"
    say(f"Training step, {setting.name}; the product's own in {precision}")
    variants = {PLAIN: as_published(plain_step(setting))}
    for gear in lines:
        model = setting.model_for(gear)
        check_gear(setting, gear, model, bf16)
        step = functools.partial(setting.stepper(model, gear).take, 0.5)
        variants[gear] = as_in_the_product(step)
    took = interleaved(variants, ROUNDS)
    for gear, line in lines.items():
        ratio, wall = took[PLAIN].cpu / took[gear].cpu, took[PLAIN].wall / took[gear].wall
        yield line.row(ratio, f"{precision}; wall {wall:.2f}x")


def plain_step(setting: Setting) -> Callable[[], None]:
    """Return a step as one would write it down, which leaves all weights as they are."""
    parameters = list(trainable(setting.model).values())
    optimizer, loss = torch.optim.AdamW(parameters, lr=0.0), setting.plain_loss(setting.model)
    for parameter in parameters:
        parameter.requires_grad_(True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def _refreshed(model: AdaptedSam, images: Tensor) -> tuple[float, str]:
    """Time a seen slice after a late training run: its share of a full forward, and a note."""
    precision = "bf16" if uses_bfloat16(CPU) else "fp32"
    say(f"Refresh of a seen slice, LiteMedSAM, {images.shape[-1]} px, {precision}, decoded")

    def decoded(embed: Callable[[], Tensor]) -> Tensor:
        with torch.inference_mode(), autocast(CPU):
            return model.decode(embed(), whole_input(images))

    with autocast(CPU):
        prefix = encode_before(model, images)
    refreshed = functools.partial(decoded, lambda: encode_after(model, prefix))
    whole = functools.partial(decoded, lambda: model.encode(images))
    check_equal("refreshed logits", refreshed(), whole(), 1e-6)
    ways = {"full forward": whole, "late part": refreshed}
    took = interleaved({name: as_in_the_product(way) for name, way in ways.items()}, ROUNDS)
    return took["late part"].cpu / took["full forward"].cpu, precision
