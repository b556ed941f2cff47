"""Rows of a training step in each gear, against a plain step on the stock modules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.encoders import picture, stock_lite_medsam
from bench.measuring import NotEqualError, Row, check_equal, interleaved, say
from bench.plain import plain_loss, tiny_vit_embedding, vit_embedding
from napari_sam_adapter.adapter.config import PLAIN_VIT_ADAPTER, Cut
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.base import BaseSam, build_mask_decoder, build_prompt_encoder
from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.late import encode_after, encode_before, prepare_late
from napari_sam_adapter.sam.plain_vit import VIT_B, PlainViT
from napari_sam_adapter.training.allocator import keep_freed_memory
from napari_sam_adapter.training.loss import at_size_of, mask_loss

GRADIENT_LIMIT = 1e-4
NAMES = {
    "full": "full step, same gradients, against the plain step: {}",
    "late": "late step against the plain step: {}",
    "quick": "quick step against the plain step: {}",
}
GOALS = {
    ("full", "LiteMedSAM"): (2.0, 3.0),
    ("full", "ViT-B 512 px"): (1.7, 2.2),
    ("late", "LiteMedSAM"): (4.0, 8.0),
    ("late", "ViT-B 512 px"): (4.0, 6.0),
    ("quick", "LiteMedSAM"): (8.0, 20.0),
    ("quick", "ViT-B 512 px"): (50.0, 100.0),
}
REFRESH = ("refresh of a seen slice after late, of a full forward", 0.45, 0.30)


@dataclass(frozen=True, slots=True)
class Setting:
    """A model, the stock encoder with the same weights, and a slice.

    Attributes
    ----------
    name : str
    model : AdaptedSam
    stock : Module
    encode : callable
        The formula on it; see `bench.plain`.
    images, target : Tensor
    """

    name: str
    model: AdaptedSam
    stock: Any
    encode: Callable[..., Tensor]
    images: Tensor
    target: Tensor

    def logits(self, embedding: Tensor) -> Tensor:
        """Decode an embedding."""
        side = self.images.shape[-1]
        return self.model.decode(embedding, InputGeometry((side, side), (side, side), side))

    def loss(self, embed: Callable[[], Tensor], bf16: bool) -> Tensor:
        """Return the loss of the slice."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = self.logits(embed())
        return mask_loss(at_size_of(self.target, logits), self.target)


def rows() -> Iterator[Row]:
    """Measure the steps, and the refresh of a slice."""
    keep_freed_memory()  # as the training process does; the plain step gains by it too
    settings = [lite_medsam(), vit_b()]
    timed: dict[tuple[str, str], float] = {}
    for setting in settings:
        for gear, ratio in _step_ratios(setting).items():
            timed[gear, setting.name] = ratio
    for key, (limit, goal) in GOALS.items():
        gear, name = key
        yield Row(NAMES[gear].format(name), timed[key], limit, goal)
    yield _refresh(settings[0])


def lite_medsam() -> Setting:
    """LiteMedSAM at 256 px, the only size of its stock encoder."""
    model = build_adapted_sam(ModelSettings.default("lite_medsam", 256))
    _randomise(model)
    return Setting(
        "LiteMedSAM",
        model,
        stock_lite_medsam().image_encoder.requires_grad_(False),
        tiny_vit_embedding,
        picture(256),
        _mask(256),
    )


def vit_b() -> Setting:
    """ViT-B at 512 px, with random weights and an adapter that is forked for the late gear."""
    torch.manual_seed(0)
    encoder = PlainViT(VIT_B, grid=32)
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.trunc_normal_(parameter, std=0.02)
    base = BaseSam(encoder, build_prompt_encoder(512, 16), build_mask_decoder())
    settings = ModelSettings("sam_vit_b", 512, "none", PLAIN_VIT_ADAPTER)
    model = AdaptedSam(base, settings)
    _randomise(model)
    return Setting("ViT-B 512 px", model, encoder.vit, vit_embedding, picture(512), _mask(512))


def _step_ratios(setting: Setting) -> dict[str, float]:
    """Check that all gears have the plain step's gradients, then time them against it."""
    say(f"Training step, {setting.name}, {setting.images.shape[-1]} px")
    plain = functools.partial(
        plain_loss, setting.encode, setting.stock, setting.model, setting.images, setting.target
    )
    model, images = setting.model, setting.images
    _check_gradients("full, fp32", setting, lambda: model.encode(images), plain)
    own = _steps(setting, lambda: model.encode(images), "full")
    stock_step = _plain_step(setting, plain)
    variants = {"plain, fp32": stock_step, "full, bf16": own}
    took = interleaved(variants, rounds=3)
    ratios = {"full": took["plain, fp32"].cpu / took["full, bf16"].cpu}
    prepare_late(model)
    prefix = encode_before(model, images)
    check_equal("late, fp32 embedding", encode_after(model, prefix), model.encode(images), 1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prefix = encode_before(model, images)
        embedding = model.encode(images).detach().float()
    variants = {
        "late, bf16": _steps(setting, lambda: encode_after(model, prefix), "late"),
        "quick, bf16": _steps(setting, lambda: embedding, "quick"),
    }
    plain_cpu = took["plain, fp32"].cpu
    for name, timing in interleaved(variants, rounds=8).items():
        ratios[name.split(",")[0]] = plain_cpu / timing.cpu
    return ratios


def _plain_step(setting: Setting, plain: Callable[[], Tensor]) -> Callable[[], None]:
    parameters = [*setting.model.adapter.parameters(), *setting.model.decoder_parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.0)

    def step() -> None:
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimizer.zero_grad()
        plain().backward()
        optimizer.step()

    return step


def _steps(setting: Setting, embed: Callable[[], Tensor], gear: str) -> Callable[[], None]:
    model = setting.model
    trained = list(model.decoder_parameters())
    if gear != "quick":
        cut = Cut(0, 0) if gear == "full" else model.base.encoder.late_cut
        trained += [p for part in model.adapter.parts_after(cut) for p in part.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=0.0, fused=True)
    chosen = set(map(id, trained))

    def step() -> None:
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in chosen)
        optimizer.zero_grad(set_to_none=True)
        setting.loss(embed, bf16=True).backward()
        optimizer.step()

    return step


def _check_gradients(
    name: str, setting: Setting, embed: Callable[[], Tensor], plain: Callable[[], Tensor]
) -> None:
    parameters = dict(setting.model.named_parameters())
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    kinds = {"loss": setting.loss(embed, bf16=False), "plain": plain()}
    found, expected = (
        torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for loss in kinds.values()
    )
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None]
    if not pairs or any((a is None) != (b is None) for a, b in zip(found, expected, strict=True)):
        raise NotEqualError(f"{name}: gradients reach other weights than the plain step's")
    together = [torch.cat([x.flatten() for x in side]) for side in zip(*pairs, strict=True)]
    check_equal(f"{name}: gradients of {len(pairs)} tensors", *together, GRADIENT_LIMIT)


def _refresh(setting: Setting) -> Row:
    """Time a seen slice after a late training run against a full forward pass."""
    say("Refresh of a seen slice, LiteMedSAM, 256 px, bf16, with its decoding")
    model, images = setting.model, setting.images

    def decoded(embed: Callable[[], Tensor]) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            return setting.logits(embed())

    with torch.autocast("cpu", dtype=torch.bfloat16):
        prefix = encode_before(model, images)
    refreshed = functools.partial(decoded, lambda: encode_after(model, prefix))
    whole = functools.partial(decoded, lambda: model.encode(images))
    check_equal("refreshed logits", refreshed(), whole(), 1e-6)
    took = interleaved({"full forward": whole, "late part": refreshed}, rounds=8)
    name, limit, goal = REFRESH
    ratio = took["late part"].cpu / took["full forward"].cpu
    return Row(name, ratio, limit, goal, smaller=True)


def _randomise(model: AdaptedSam) -> None:
    """Give the adapter an effect: its up-projections start at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.adapter.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.01)


def _mask(size: int) -> Tensor:
    mask = synthetic_polyps(1, (size, size), seed=11).masks[0] != 0
    return torch.from_numpy(mask)[None, None].float()
