"""The C library's memory, kept for the next step instead of given back."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
_NEVER = 2**31 - 1
_KEPT = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER}
# What glibc comes to by itself where large buffers are freed (malloc/malloc.c, "dynamic mmap
# threshold"): setting one value ends that.
_USUAL = {_M_MMAP_MAX: 65536, _M_MMAP_THRESHOLD: 32 * 2**20, _M_TRIM_THRESHOLD: 64 * 2**20}


def keep_freed_memory() -> bool:
    """Keep what torch frees on the CPU, in this process from now on.

    glibc maps large buffers anew each time and gives them back when freed, so the kernel clears
    their pages again at every step of a training: a step of the full gear took a seventh less
    without that (docs/results.md), a forward pass of an encoder a tenth. The process keeps the
    memory it needed most, until it ends.

    Returns
    -------
    bool
        False where the C library is another one; nothing is changed then.
    """
    return _set(_KEPT)


def give_freed_memory_back() -> bool:
    """Undo `keep_freed_memory`, to compare with programs that leave the C library as it is.

    What was kept until now goes back to the kernel, too: it would spare such a program half of its
    page faults.
    """
    if not _set(_USUAL):
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _set(values: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):  # musl has no mallopt to speak of
        return False
    return all(libc.mallopt(name, value) for name, value in values.items())
