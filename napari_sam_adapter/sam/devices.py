"""Where to compute, and in which precision. Decided by a look at the machine, never assumed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from napari_sam_adapter.errors import SamAdapterError

DEVICE_CHOICES = ("auto", "cpu", "cuda", "mps")
_decided: list[bool] = []


def choose_device(name: str = "auto") -> torch.device:
    """Return the device for a name.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        ``auto`` takes CUDA, then Apple's MPS, then the CPU. ``cuda:1`` and the like also work.

    Raises
    ------
    SamAdapterError
        If the named device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        expected = ", ".join(DEVICE_CHOICES)
        raise SamAdapterError(f"There is no device {name!r}; expected one of {expected}.") from None
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise SamAdapterError(
            f"The device {name!r} is not available on this machine: choose auto or cpu (in the "
            "window, under Preferences ▸ SAM Adapter; on the command line, by --device)."
        )
    return device


def autocast(device: torch.device) -> torch.autocast:
    """Return the autocast context for a device: bf16 where it is known or measured to pay."""
    enabled = uses_bfloat16(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def uses_bfloat16(device: torch.device) -> bool:
    """Tell whether forward and backward passes on this device run under bf16 autocast."""
    if _decided:
        return _decided[-1]
    if device.type == "cuda":
        # Not where it is only emulated, which is slower than fp32 (cards before Ampere).
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_gains_from_bfloat16()


def precision_on(device: torch.device) -> str:
    """Return "bf16" or "fp32", what forward and backward passes on this device run in."""
    return "bf16" if uses_bfloat16(device) else "fp32"


def decide_bfloat16(wanted: bool | None) -> None:
    """Overrule `uses_bfloat16` in this process, as several processes must agree; None undoes it."""
    _decided[:] = [] if wanted is None else [wanted]


@contextmanager
def bfloat16_decided(wanted: bool) -> Iterator[None]:
    """Overrule `uses_bfloat16` for a while, to compute what was computed so before."""
    before = list(_decided)
    decide_bfloat16(wanted)
    try:
        yield
    finally:
        _decided[:] = before


@lru_cache(maxsize=1)
def _cpu_gains_from_bfloat16() -> bool:
    """Time one matrix product in both precisions; many laptop CPUs are slower in bf16.

    ``NAPARI_SAM_ADAPTER_BF16`` set to 0 or 1 overrules the probe (reproducible runs, bug reports).
    """
    override = os.environ.get("NAPARI_SAM_ADAPTER_BF16")
    if override in ("0", "1"):
        return override == "1"
    matrices = {dtype: torch.rand(512, 512).to(dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(matrices, float("inf"))
    for _ in range(8):  # interleaved, so that a busy moment of the machine hits both alike
        for dtype, matrix in matrices.items():
            start = time.perf_counter()
            matrix @ matrix
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.bfloat16] < 0.75 * best[torch.float32]
