"""Computing time until the package is imported, in a process that has nothing of it yet.

This module imports nothing of the bench, which imports parts of the package itself.
"""

from __future__ import annotations

import resource
import sys


def main() -> float:
    """Import the package.

    Raises
    ------
    RuntimeError
        If it was imported before, so that there is nothing left to be timed.
    """
    if "napari_sam_adapter" in sys.modules:
        raise RuntimeError("the package was imported before its import was timed")
    start = _cpu_seconds()
    import napari_sam_adapter

    seconds = _cpu_seconds() - start
    assert napari_sam_adapter.__version__
    return seconds


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(main(), flush=True)
