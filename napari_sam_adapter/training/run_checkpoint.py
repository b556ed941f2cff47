"""Where an unfinished run is kept. Apart from `resume`, which needs torch: the window does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STEPS_BETWEEN = 100
# Steps of a large model are slow; a person should not lose more than this.
SECONDS_BETWEEN = 60.0


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """Where a run writes its state, and how often.

    Attributes
    ----------
    path : Path
    every : int
        Steps between two checkpoints; a slow run writes one every minute.
    resume : bool
        Continue from the file if it is there.
    """

    path: Path
    every: int = STEPS_BETWEEN
    resume: bool = False
