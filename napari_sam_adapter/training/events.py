"""What a training run reports while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """The run has read its samples and is about to take its first step."""

    n_training: int
    n_held_out: int
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step is done.

    Attributes
    ----------
    progress : float
        Share of the run that is done, 0..1.
    seconds, seconds_left : float
        Elapsed, and still to come at the pace so far.
    """

    step: int
    loss: float
    progress: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The held-out slices were scored (mean Dice at original size).

    Attributes
    ----------
    is_kept : bool
        Whether the run would end with this state if it ended now: it is about as good as the best.
    """

    step: int
    dice: float
    is_kept: bool


class PairedScore(NamedTuple):
    """Dice of a slice before and after a run (mean of its classes, original size), as in JSON.

    Attributes
    ----------
    name : str
    before : float
        Of the model the run started from.
    after : float
        Of the state that is kept.
    """

    name: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class TrainingFinished:
    """The run is over; ``state`` is what to keep.

    Attributes
    ----------
    reason : {"completed", "stopped", "diverged"}
        ``diverged``: the loss or a condition was no longer a number; the last good state is kept.
    state : dict of str to Tensor
        State dict of the adapted model (adapter and mask decoder), on the CPU.
    steps : int
        Taken; 0 where nothing that was learned is kept, and ``state`` is that of the start.
    trained_on, held_out : tuple of str
        Digests of the slices on either side of the split.
    held_out_scores : tuple of PairedScore
        In the order of ``held_out``, without what `split.those_that_tell` leaves out.
    earlier_scores : tuple of PairedScore
        Of slices that the adapter the run started from knew, whether learned from or held out:
        at most 16 (`split.earlier_samples`), and 4 of a run that was stopped.
    held_out_leaks : bool
        Whether held-out slices are of a volume, video or patient that was learned from, too: their
        scores flatter.
    message : str
        What broke down, in a sentence; empty otherwise.
    """

    reason: str
    state: dict[str, Tensor]
    steps: int
    seconds: float
    last_loss: float | None
    trained_on: tuple[str, ...]
    held_out: tuple[str, ...]
    held_out_scores: tuple[PairedScore, ...]
    earlier_scores: tuple[PairedScore, ...] = ()
    held_out_leaks: bool = False
    message: str = ""

    @property
    def held_out_before(self) -> float | None:
        """Mean Dice on the held-out slices at the start; None without any."""
        return _mean([score.before for score in self.held_out_scores])

    @property
    def held_out_after(self) -> float | None:
        """Mean Dice on the held-out slices of what is kept; None without any."""
        return _mean([score.after for score in self.held_out_scores])


def _mean(scores: list[float]) -> float | None:
    return sum(scores) / len(scores) if scores else None


TrainingEvent = TrainingStarted | StepReport | ValidationReport | TrainingFinished
