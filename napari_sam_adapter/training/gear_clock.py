"""The time of a walk through the gears, counted from the click."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

# However long starting and scoring took, the last gear has at least this share of its time: without
# training it would gain nothing.
LEAST_SHARE = 0.5
# The last gear takes a little longer around its training than the one before: more is saved.
MARGIN_S = 1.0


class GearClock:
    """Makes a walk end when the person expects it: after the minutes they gave it.

    Each run also starts a process, encodes, scores and saves. What that has cost, the last gear,
    which has most of the time, makes up for.

    Parameters
    ----------
    seconds : sequence of float
        Of training, of each gear; together what the person gave.
    now : callable, optional
        Seconds of a clock.
    """

    def __init__(self, seconds: Sequence[float], now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._gears = now, deque(seconds)
        self._end = now() + sum(seconds)
        self._begun = now()

    def next_gear(self) -> float:
        """Return for how many seconds the gear trains that begins now, the one before having ended.

        Raises
        ------
        IndexError
            If that was the last one.
        """
        before, seconds = self._gears.popleft(), self._gears[0]
        now, begun = self._now(), self._begun
        self._begun = now
        if len(self._gears) > 1:
            return seconds
        around = max(now - begun - before, 0.0)  # as much as the last one will take besides
        left = self._end - now - around - MARGIN_S
        return min(max(left, LEAST_SHARE * seconds), seconds)
