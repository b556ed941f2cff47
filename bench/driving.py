"""The driver of docs/driver.py, in Qt's own event loop: nothing polls while something is timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QEventLoop, QTimer

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from driver import Driver

__all__ = ["Driver", "run_until", "timer"]

TIMEOUT_S = 300


def timer(milliseconds: int, call: Callable[[], object]) -> QTimer:
    """Start calling something every so many milliseconds."""
    started = QTimer()
    started.setInterval(milliseconds)
    started.timeout.connect(call)
    started.start()
    return started


def run_until(
    condition: Callable[[], bool], every_ms: int = 20, timeout_s: float = TIMEOUT_S
) -> None:
    """Run the event loop until a condition holds, or raise TimeoutError."""
    loop = QEventLoop()
    checks = timer(every_ms, lambda: condition() and loop.quit())
    limit = timer(round(timeout_s * 1000), lambda: loop.exit(1))
    failed = loop.exec_() if hasattr(loop, "exec_") else loop.exec()
    checks.stop()
    limit.stop()
    if failed:
        raise TimeoutError(f"nothing happened within {timeout_s:.0f} s")
