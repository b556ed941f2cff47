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
    belongs_to : Path or None
        A file without which the run ends, as if it were stopped, and writes nothing here any more:
        what it is for was moved or deleted.
    """

    path: Path
    every: int = STEPS_BETWEEN
    resume: bool = False
    belongs_to: Path | None = None

    @property
    def is_homeless(self) -> bool:
        """Whether what the run is for is gone."""
        return self.belongs_to is not None and not self.belongs_to.exists()
