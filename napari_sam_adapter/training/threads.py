"""How many threads a training uses: one for each core that other programs leave free."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

LEAST_SECONDS = 1.0  # between two looks at the machine
# Waiting for a disk is idle too, and what guests use is in "user" already; only Linux tells these.
_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """What the processor has done so far, in seconds.

    Attributes
    ----------
    n_cores : int
        That this process may use.
    busy : float
        Of these cores together.
    own : float
        By this process.
    wall : float
    """

    n_cores: int
    busy: float
    own: float
    wall: float

    @classmethod
    def now(cls) -> CpuTimes:
        """Look at the machine."""
        cores = psutil.cpu_times(percpu=True)
        if hasattr(os, "sched_getaffinity"):  # others' cores on a shared node are not ours
            cores = [cores[core] for core in os.sched_getaffinity(0) if core < len(cores)]
        busy = sum(sum(core) - sum(getattr(core, x, 0.0) for x in _NOT_BUSY) for core in cores)
        return cls(len(cores), busy, time.process_time(), time.monotonic())


def free_cores(before: CpuTimes, after: CpuTimes) -> float:
    """Return how many cores the other programs left free on average between two looks."""
    seconds = max(after.wall - before.wall, 1e-6)
    others = (after.busy - before.busy) - (after.own - before.own)
    return after.n_cores - max(others, 0.0) / seconds


class FreeThreads:
    """Gives steps and scoring as many threads as there are free cores, up to what torch has now.

    The threads of a step wait for each other many times, and torch's OpenMP waits by computing
    nothing at full speed. Where another program has the core that one of them needs, most of the
    step is such waiting: two threads on two busy cores took 3 to 30 times as long as one
    (docs/performance.md).
    """

    def __init__(self) -> None:
        self._limit = self._wanted = torch.get_num_threads()
        self._last = CpuTimes.now()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Compute what is inside with them. Elsewhere the number stays: results depend on it."""
        if self._limit == 1:
            yield
            return
        if time.monotonic() - self._last.wall >= LEAST_SECONDS:
            now = CpuTimes.now()
            self._wanted = min(max(round(free_cores(self._last, now)), 1), self._limit)
            self._last = now
        torch.set_num_threads(self._wanted)
        try:
            yield
        finally:
            torch.set_num_threads(self._limit)
