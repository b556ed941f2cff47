"""What a training run reports while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(frozen=True, slots=True)
class TrainingFinished:
    """The run is over; ``state`` is what to keep.

    Attributes
    ----------
    reason : {"completed", "stopped", "diverged"}
        ``diverged``: the loss was no longer a number; the last good state is kept.
    state : dict of str to Tensor
        State dict of the adapted model (adapter and mask decoder), on the CPU.
    trained_on, held_out : tuple of str
        Digests of the slices on either side of the split.
    held_out_before, held_out_after : float or None
        Mean Dice on the held-out slices at the start and of ``state``; None without any.
    """

    reason: str
    state: dict[str, Tensor]
    steps: int
    seconds: float
    last_loss: float | None
    trained_on: tuple[str, ...]
    held_out: tuple[str, ...]
    held_out_before: float | None
    held_out_after: float | None
    message: str = ""


TrainingEvent = TrainingStarted | StepReport | ValidationReport | TrainingFinished
