"""``python -m bench.limits``: how far the limits are, and what takes the time until there.

The least time of a piece of work is its arithmetic at the best rate that a matrix product reaches
here, with nothing else to do. The shares are of the profiler, by kind of operation.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bench.machine import fix_precision, fix_threads, header
from bench.measuring import as_in_the_product, interleaved, say

SIDE, ROUNDS = 2048, 5
# By what the names of torch's operations begin with, without ``aten::``; the first one counts.
KINDS = {
    "matrix products": ("addmm", "mm", "bmm", "baddbmm", "linear", "_mkl_linear", "mkldnn_linear"),
    "convolutions": ("mkldnn_convolution", "convolution", "_conv", "slow_conv", "thnn_conv"),
    "attention, fused": ("_scaled_dot_product", "_fused_sdp"),
    "GELU": ("gelu",),
    "exponentials, softmax": ("_softmax", "exp", "aminmax"),
    "norms": ("native_layer_norm", "var", "rsqrt"),
    "copies and casts": ("copy", "cat", "index", "constant_pad", "clone", "fill", "zero", "pad"),
    "sums and products": ("add", "mul", "sub", "div", "sum", "mean", "sigmoid", "_foreach", "pow"),
    "AdamW": ("_fused_adam",),
}


def main() -> None:
    """Print rates, least times, and shares."""
    fix_threads(1)
    for entry in header(1, fix_precision()):
        say(entry)
    import torch

    rate = {"fp32": _rate(torch.float32), "bf16": _rate(torch.bfloat16)}
    said = ", ".join(f"{name} {found:.0f} GFLOP/s" for name, found in rate.items())
    say(f"best product of {SIDE} x {SIDE}: {said}")
    say("\n| what | GFLOP | least | CPU s | of it at the best rate |\n|---|---|---|---|---|")
    shares = {}
    for name, precision, run in _work():
        gflop = _gflop(run)
        took = interleaved({name: as_in_the_product(run)}, ROUNDS)[name].cpu
        least = gflop / rate[precision]
        say(f"| {name} | {gflop:.0f} | {least:.3f} s | {took:.3f} | {least / took:.0%} |")
        shares[name] = _shares(run)
    say(f"\n| | {' | '.join(shares)} |\n|---|{'---|' * len(shares)}")
    for kind in [*KINDS, "other"]:
        say(f"| {kind} | " + " | ".join(f"{found[kind]:.0%}" for found in shares.values()) + " |")


def _rate(dtype: Any) -> float:
    import torch

    a, b = (torch.rand(SIDE, SIDE).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(2 * ROUNDS):
        start = time.process_time()
        torch.mm(a, b)
        best = min(best, time.process_time() - start)
    return 2 * SIDE**3 / best / 1e9


def _work() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield pieces of work: name, precision, and what does it."""
    import torch

    from bench.encoders import picture
    from bench.step_models import lite_medsam

    setting = lite_medsam()
    encoder, x = setting.model.base.image_encoder, picture(256)

    def forward(bf16: bool) -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            encoder(x)

    yield "LiteMedSAM forward, fp32", "fp32", partial(forward, False)
    yield "forward, bf16", "bf16", partial(forward, True)
    for gear in ("full", "late", "quick"):
        take = setting.stepper(setting.model_for(gear), gear).take
        yield f"{gear} step, bf16", "bf16", partial(take, 0.5)


def _gflop(run: Callable[[], Any]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    run()  # what is computed once is not counted
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def _shares(run: Callable[[], Any]) -> dict[str, float]:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(3):
            run()
    spent: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        spent[_kind(event.key)] += event.self_cpu_time_total
    total = sum(spent.values())
    return defaultdict(float, {kind: seconds / total for kind, seconds in spent.items()})


def _kind(operation: str) -> str:
    name = operation.removeprefix("aten::").removeprefix("mkl::").removeprefix("mkldnn::")
    fitting = (kind for kind, starts in KINDS.items() if name.startswith(starts))
    return next(fitting, "other")


if __name__ == "__main__":
    main()
