"""Time variants of the same work against each other, and take memory in fresh processes.

Computing seconds (of all threads, system time included) tell variants apart also on a machine that
does other work; the time on the clock is printed beside them. What is published computes with the C
library as it is, and without memory that others have left to it; ours with it set as in our
processes. Rounds go through all variants in turn, so that a busy moment hits all of them; the first
round is thrown away, the least counts.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam_adapter.sam.allocator import give_freed_memory_back, keep_freed_memory

NO_BF16 = "not measured: this processor is no faster in bf16"


@dataclass(frozen=True, slots=True)
class Timing:
    """The least of all rounds, in seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    name : str
    value : float or None
        None where it could not be measured; ``note`` says why.
    pass_ : float
        What it must reach.
    goal : float
    smaller : bool
        Whether less is better.
    note : str
        What was measured, in words.
    """

    name: str
    value: float | None
    pass_: float
    goal: float
    smaller: bool = False
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether it passes; None where it was not measured."""
        if self.value is None:
            return None
        return self.value <= self.pass_ if self.smaller else self.value >= self.pass_

    def described(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        value = None if self.value is None else round(self.value, 4)
        return {
            "name": self.name,
            "value": value,
            "pass": self.pass_,
            "goal": self.goal,
            "ok": self.ok,
        }


class CannotRunError(Exception):
    """Something cannot be measured on this machine; the text says why."""


class FailedError(Exception):
    """What was to be measured went wrong, and the run with it."""


class NotEqualError(FailedError):
    """A variant computes something else, so its speed means nothing."""


def check_equal(name: str, found: Any, expected: Any, limit: float) -> float:
    """Return the rms of found - expected relative to expected's.

    Raises
    ------
    NotEqualError
        If it is above the limit.
    """
    found, expected = found.float(), expected.float()
    error = float((found - expected).pow(2).mean().sqrt() / expected.pow(2).mean().sqrt())
    say(f"  {name}: relative rms {error:.1e} (limit {limit:.0e})")
    if not error <= limit:
        raise NotEqualError(f"{name} is off by a relative rms of {error:.1e}, above {limit:.0e}")
    return error


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do the work.

    Attributes
    ----------
    run : callable
    prepare : callable
        Called before its turn, untimed.
    """

    run: Callable[[], Any]
    prepare: Callable[[], Any]


def interleaved(
    variants: Mapping[str, Variant], rounds: int = 5, *, twice: bool = True
) -> dict[str, Timing]:
    """Time variants in turn; see the module.

    Parameters
    ----------
    variants : mapping of str to Variant
    rounds : int
        Those that count.
    twice : bool
        Let each run twice in its turn, and time the second: the first finds memory as the variant
        before has left it, and pays for getting it. Not needed where a run repeats itself.
    """
    best = {name: (float("inf"), float("inf")) for name in variants}
    for number in range(rounds + 1):
        for name, variant in variants.items():
            variant.prepare()
            if twice:
                variant.run()
            cpu, wall = cpu_seconds(), time.perf_counter()
            variant.run()
            took = cpu_seconds() - cpu, time.perf_counter() - wall
            if number:
                best[name] = min(best[name][0], took[0]), min(best[name][1], took[1])
    for name, (cpu, wall) in best.items():
        say(f"  {name}: {cpu:.3f} CPU s, {wall:.3f} s")
    return {name: Timing(*least) for name, least in best.items()}


def as_in_the_product(run: Callable[[], Any]) -> Variant:
    """Return a variant that computes as our processes do, which keep freed memory."""
    return Variant(run, keep_freed_memory)


def as_published(run: Callable[[], Any]) -> Variant:
    """Return a variant that computes with the C library as it is."""
    return Variant(run, give_freed_memory_back)


def in_fresh_process(
    module: str, *arguments: str, timeout: float = 900, window: bool = False
) -> str:
    """Run ``python -m module arguments`` and return what it printed last.

    Parameters
    ----------
    module : str
    arguments : str
    timeout : float
        Seconds.
    window : bool
        Whether it opens one: without a display, it gets a virtual one.

    Raises
    ------
    CannotRunError
        If there is no display to be had.
    FailedError
        With the end of what it said, if it failed or took too long.
    """
    root = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    command = [*(_display() if window else ()), sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryDirectory() as home:
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                cwd=root,
                env={
                    **os.environ,
                    "PYTHONPATH": path,
                    "NAPARI_SAM_ADAPTER_HOME": home,
                    # As installed, where pip has compiled the package: "" lets Python keep that.
                    "PYTHONDONTWRITEBYTECODE": "",
                },
            )
        except subprocess.TimeoutExpired:
            raise FailedError(f"{module} took longer than {timeout:.0f} s") from None
    if ended.returncode or not ended.stdout.strip():
        said = f"{ended.stdout}\n{ended.stderr}"[-2000:]
        raise FailedError(f"{module} {' '.join(arguments)} failed ({ended.returncode}):\n{said}")
    *before, last = ended.stdout.rstrip().splitlines()
    for line in before:
        say(line)
    return last


def _display() -> Sequence[str]:
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        return ()
    if shutil.which("xvfb-run") is None:
        raise CannotRunError("there is no display, and no xvfb-run to make one")
    return ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")


def peak_memory() -> float:
    """Return the peak memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # there, ru_maxrss also remembers the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def say(text: str) -> None:
    """Tell on the terminal how far the measurement is."""
    print(text, flush=True)


def cpu_seconds() -> float:
    """Return the computing time of this process so far, of all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
