"""The processes that share one training run: usually this one alone.

Under ``torchrun`` or ``accelerate launch`` Hugging Face accelerate tells who is who, on which
device, in which precision and with how many batches per step, and carries numbers between the
processes. Every process must make the same calls in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.sam.devices import choose_device, decide_bfloat16, uses_bfloat16
from napari_sam_adapter.training.launch import check_launch, n_started

# Written by `accelerate launch`, also where nobody asked for anything; torchrun leaves it out.
PRECISION_VARIABLE = "ACCELERATE_MIXED_PRECISION"
Shared = TypeVar("Shared")


class Workers:
    """Who takes part in a run.

    Attributes
    ----------
    count : int
    rank : int
        Of this process, from 0 on; 0 writes files and speaks to the person.
    accumulation : int
        How many batches each process adds up before a step.
    """

    count = 1
    rank = 0
    accumulation = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks to the person."""
        return self.rank == 0

    @property
    def n_batches(self) -> int:
        """How many batches a step takes, over all processes."""
        return self.count * self.accumulation

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every process the mean of all gradients."""

    def sums(self, *numbers: float) -> list[float]:
        """Return sums over all processes."""
        return list(numbers)

    def gathered(self, text: str) -> list[str]:
        """Return what each process has to say."""
        return [text]

    def shared(self, value: Shared) -> Shared:
        """Return the first process's value."""
        return value

    def wait(self) -> None:
        """Wait until all processes are here."""


class AcceleratedWorkers(Workers):
    """Several processes, each with its share of the slices.

    Parameters
    ----------
    device : str
        ``auto``, or what the person asked for.

    Raises
    ------
    SamAdapterError
        If the device is not there; a `TrainingError` if accelerate is set to a precision that is
        not offered here, or to share parameters out, or does not bring together all processes that
        were started.
    """

    def __init__(self, device: str) -> None:
        from accelerate import Accelerator

        check_launch()
        asked = os.environ.get(PRECISION_VARIABLE, "")
        if asked not in ("", "no", "bf16"):
            raise TrainingError(
                f"accelerate is set to the mixed precision {asked!r}; adapters are trained in "
                "'bf16' or 'no'. Choose one of these with --mixed_precision."
            )
        # Left to itself on a machine without GPUs, accelerate lets each process train alone.
        self._accelerator: Any = Accelerator(cpu=choose_device(device).type == "cpu")
        self.count = int(self._accelerator.num_processes)
        _check_count(self.count)
        self.rank = int(self._accelerator.process_index)
        self.accumulation = int(self._accelerator.gradient_accumulation_steps)
        # Without a precision asked for, the first process's look at its machine holds for all.
        found = asked == "bf16" if asked else self.is_main and uses_bfloat16(self.device)
        decide_bfloat16(self.sums(float(found))[0] > 0)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self._accelerator.device
        return device

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every process the mean of all gradients, in one message.

        What the loss does not reach has no gradient in any of them, and gets none here: a zero in
        its place would let the optimizer's weight decay at it, which it does not in a run alone.
        """
        found = [p.grad for p in parameters if p.grad is not None]
        mean: Tensor = self._accelerator.reduce(
            torch.cat([gradient.flatten() for gradient in found]), reduction="mean"
        )
        parts = torch.split(mean, [gradient.numel() for gradient in found])
        for gradient, part in zip(found, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sums(self, *numbers: float) -> list[float]:
        """Return sums over all processes."""
        if self.count == 1:  # Apple's GPUs have no double precision, and no second process
            return list(numbers)
        mine = torch.tensor(numbers, dtype=torch.float64, device=self._accelerator.device)
        total: Tensor = self._accelerator.reduce(mine, reduction="sum")
        return [float(value) for value in total]

    def gathered(self, text: str) -> list[str]:
        """Return what each process has to say."""
        from accelerate.utils import gather_object

        return list(gather_object([text]))

    def shared(self, value: Shared) -> Shared:
        """Return the first process's value."""
        from accelerate.utils import broadcast_object_list

        found: Shared = broadcast_object_list([value])[0]
        return found

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()


ALONE = Workers()


def start_workers(device: str) -> tuple[Workers, torch.device]:
    """Return the processes that share the run, and the device of this one.

    Parameters
    ----------
    device : str
        What the person asked for, e.g. ``auto`` or ``cpu``.

    Raises
    ------
    SamAdapterError
        If that device is not there, or accelerate is set to what is not offered.
    """
    if not is_launched():
        return ALONE, choose_device(device)
    workers = AcceleratedWorkers(device)
    return workers, workers.device


def is_launched() -> bool:
    """Whether ``torchrun``, ``accelerate launch`` or an MPI started this process."""
    return n_started() > 1 or PRECISION_VARIABLE in os.environ


def _check_count(count: int) -> None:
    """Refuse that each of several processes trains alone: all would write the same file."""
    if count != n_started():
        raise TrainingError(
            f"{n_started()} processes were started, and only {count} work together on this device. "
            "Start one process for each GPU, or add --device cpu."
        )
