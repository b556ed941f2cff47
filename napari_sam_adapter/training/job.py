"""A whole training run: build or load the model, train it, save the adapter file.

The command line runs it in its own process; the window describes the run here, without importing
torch, and lets `engine` do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.errors import CheckpointError, TrainingError
from napari_sam_adapter.storage import check_writable
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import TrainingEvent, TrainingFinished
from napari_sam_adapter.training.samples import NO_HISTORY, History, TrainingSample

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train, from where, and where to.

    Attributes
    ----------
    samples : sequence of TrainingSample
    out : Path
        The adapter file to write.
    config : TrainingConfig
    base : str
        Base model; must be the one of ``init`` if that is given.
    init : Path or None
        Adapter to start from; None starts from the base model.
    input_size : int or None
        Only without ``init``, whose input size is kept.
    device : str
    notes : mapping
        Goes into the file's training summary (e.g. which data).
    """

    samples: Sequence[TrainingSample]
    out: Path
    config: TrainingConfig
    base: str
    init: Path | None = None
    input_size: int | None = None
    device: str = "auto"
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdapterSaved:
    """The adapter file of a finished run is on disk."""

    path: Path
    card: AdapterCard


def run_job(
    job: TrainingJob, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[TrainingEvent | AdapterSaved]:
    """Run a training job.

    Yields
    ------
    TrainingEvent or AdapterSaved
        The events of `train_adapter`, then `AdapterSaved` as the last one.

    Raises
    ------
    SamAdapterError
        With a message for the person; nothing was written then.
    """
    import torch

    from napari_sam_adapter.sam.checkpoint import save_adapter
    from napari_sam_adapter.sam.devices import choose_device
    from napari_sam_adapter.training.loop import train_adapter

    device = choose_device(job.device)
    check_writable(job.out)
    model, parent = starting_model(job.base, job.init, job.input_size, seed=job.config.seed)
    history = History.of(parent)
    model.to_device(device)
    finished: TrainingFinished | None = None
    try:
        for event in train_adapter(
            model, job.samples, job.config, history=history, should_stop=should_stop
        ):
            yield event
            if isinstance(event, TrainingFinished):
                finished = event
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The memory of {device} is full. Close other programs, choose a smaller input size, "
            "or train on the CPU."
        ) from error
    if finished is None:  # pragma: no cover - train_adapter always finishes or raises
        raise TrainingError("Training ended without a result.")
    if finished.steps == 0:
        reason = finished.message or "Training was stopped before its first step."
        raise TrainingError(f"{reason} No adapter was made.")
    card = save_adapter(
        job.out,
        model,
        gear=_gear_of(job.config.gear, parent),
        training=training_summary(finished, job, history),
        parent_id="" if parent is None else parent.adapter_id,
    )
    yield AdapterSaved(job.out, card)


def starting_model(
    base: str, init: Path | None, input_size: int | None, *, seed: int
) -> tuple[AdaptedSam, AdapterCard | None]:
    """Build the model a run starts from.

    Returns
    -------
    model : AdaptedSam
    parent : AdapterCard or None
        Card of the adapter it started from; None for the base model.

    Raises
    ------
    CheckpointError
        If ``init`` cannot be used, or has another input size than the one asked for.
    """
    from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
    from napari_sam_adapter.sam.checkpoint import load_adapter

    if init is None:
        return build_adapted_sam(ModelSettings.default(base, input_size), seed=seed), None
    model, card = load_adapter(init, base=base)
    if input_size not in (None, card.input_size):
        raise CheckpointError(
            f"{init} works at input size {card.input_size}, not {input_size}. Leave the input size "
            "out to continue from it, or start from the base model."
        )
    return model, card


def _gear_of(gear: str, parent: AdapterCard | None) -> str:
    """Name the deepest gear in the adapter's history: after ``full``, the encoder is adapted."""
    return "full" if parent is not None and parent.gear == "full" else gear


def training_summary(
    finished: TrainingFinished, job: TrainingJob, history: History = NO_HISTORY
) -> dict[str, Any]:
    """Return the training summary of an adapter file: plain data for people and programs.

    ``trained_on`` names by digest all slices that the adapter or one of its parents learned from,
    so that the next run holds out none of them.
    """
    return {
        "n_slices": len(job.samples),
        "n_training": len(finished.trained_on),
        "n_held_out": len(finished.held_out),
        "held_out_dice_before": finished.held_out_before,
        "held_out_dice_after": finished.held_out_after,
        "last_loss": finished.last_loss,
        "steps": finished.steps,
        "seconds": round(finished.seconds, 1),
        "ended": finished.reason,
        "gear_of_this_run": job.config.gear,
        "slices": [sample.name for sample in job.samples],
        "trained_on": sorted({*history.trained_on, *finished.trained_on}),
        "held_out": list(finished.held_out),
        "config": job.config.to_dict(),
        **job.notes,
    }
