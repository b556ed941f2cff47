"""A whole training run: build or load the model, train it, save the adapter file.

The command line runs it in its own process; the window describes the run here, without importing
torch, and lets `engine` do it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.errors import StorageError, TrainingError
from napari_sam_adapter.storage import is_missing, is_there, reason_of
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import TrainingEvent, TrainingFinished, TrainingStarted
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.training.split import History, those_that_tell

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.sam.feature_cache import FeatureCache
    from napari_sam_adapter.training.run_checkpoint import RunCheckpoint

GONE = "The project of this run was moved or deleted before its first step."


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
        None keeps that of ``init``, or suits the slices (`BaseModel.input_size_for`). Trained at a
        small size first and at a larger one then, an adapter sees more slices in the same time.
    adapter : AdapterConfig or None
        Shape of a new adapter; None is the base model's own. Only without ``init``.
    class_names : tuple of str or None
        One per label; None keeps those of ``init``, or is the single class "object". More classes
        than those of ``init`` may be added at the end.
    class_colors : tuple of str
        As ``#rrggbb``; kept in the adapter file.
    device : str
    checkpoint : RunCheckpoint or None
        Where the run writes its state to continue from after a crash; gone when it is done.
    refuge : Path or None
        The file to write instead where the folder of ``out``, or what the run is for
        (`RunCheckpoint.belongs_to`), is gone by then, or ``out`` cannot be written (a full disk).
        None makes the folder of ``out`` anew.
    notes : mapping
        Goes into the file's training summary (e.g. which data).
    """

    samples: Sequence[TrainingSample]
    out: Path
    config: TrainingConfig
    base: str
    init: Path | None = None
    input_size: int | None = None
    adapter: AdapterConfig | None = None
    class_names: tuple[str, ...] | None = None
    class_colors: tuple[str, ...] = ()
    device: str = "auto"
    checkpoint: RunCheckpoint | None = None
    refuge: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_homeless(self) -> bool:
        """Whether what the run is for was moved or deleted."""
        return self.checkpoint is not None and self.checkpoint.is_homeless

    @property
    def places(self) -> tuple[Path, ...]:
        """Where the adapter file may go now, the best place first."""
        if self.refuge is None:
            return (self.out,)
        is_gone = self.is_homeless or is_missing(self.out.parent)
        return (self.refuge,) if is_gone else (self.out, self.refuge)


@dataclass(frozen=True, slots=True)
class AdapterSaved:
    """The adapter file of a finished run is on disk."""

    path: Path
    card: AdapterCard


def run_job(
    job: TrainingJob,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    cache: FeatureCache | None = None,
) -> Iterator[TrainingEvent | AdapterSaved]:
    """Run a training job.

    Parameters
    ----------
    job : TrainingJob
    should_stop : callable
        Asked before each step.
    cache : FeatureCache, optional
        Where features of earlier runs and of predictions are; the result is the same without it.

    Yields
    ------
    TrainingEvent or AdapterSaved
        The events of `train_adapter`, then `AdapterSaved` as the last one (where several
        processes share the run, in the main one only).

    Raises
    ------
    SamAdapterError
        With a message for the person; nothing was written then.
    """
    import torch

    from napari_sam_adapter.sam.allocator import keep_freed_memory
    from napari_sam_adapter.sam.late import prepare_late
    from napari_sam_adapter.training.loop import train_adapter
    from napari_sam_adapter.training.run_options import RunOptions
    from napari_sam_adapter.training.starting_model import starting_model
    from napari_sam_adapter.training.summary import Curve
    from napari_sam_adapter.training.workers import start_workers

    keep_freed_memory()
    workers, device = start_workers(job.device)
    if job.is_homeless:
        raise TrainingError(f"{GONE} No adapter was made.")
    model, parent = starting_model(job)
    history = History.of(parent)
    if job.config.gear == "late":
        prepare_late(model)
    model.to_device(device)
    options = RunOptions(
        history,
        lambda: should_stop() or job.is_homeless,
        workers,
        job.checkpoint,
        _described_start(model, parent),
        cache,
    )
    finished: TrainingFinished | None = None
    curve, computed = Curve(), {}
    try:
        for event in train_adapter(model, job.samples, job.config, options):
            curve.add(event)
            yield event
            if isinstance(event, TrainingStarted):
                computed = {"device": event.device, "precision": event.precision}
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
        stopped = GONE if job.is_homeless else "Training was stopped before its first step."
        reason = finished.message or stopped
        raise TrainingError(f"{reason} No adapter was made.")
    workers.wait()
    if not workers.is_main:
        return
    yield _saved(job, model, finished, parent, cache, computed | {"curve": curve.described()})


def _saved(
    job: TrainingJob,
    model: AdaptedSam,
    finished: TrainingFinished,
    parent: AdapterCard | None,
    cache: FeatureCache | None,
    run: Mapping[str, Any],
) -> AdapterSaved:
    """Write the adapter file, with what the held-out slices say of it and how it was computed."""
    from napari_sam_adapter.sam.checkpoint import save_adapter
    from napari_sam_adapter.training.held_out import (
        SLICES_TO_TRUST,
        box_answers_of,
        report_held_out,
    )
    from napari_sam_adapter.training.summary import gear_of, new_classes, training_summary

    digests = set(finished.held_out)
    held_out = those_that_tell([one for one in job.samples if one.digest in digests])
    if finished.reason == "stopped":  # whoever pressed Stop wants the version, not its last digits
        held_out = held_out[:SLICES_TO_TRUST]
    views = job.config.views(model.spec.views)
    report = report_held_out(model, held_out, views, cache)
    model.settings = model.settings.with_changes(box_answers=box_answers_of(report))
    gear = gear_of(job.config.gear, parent)
    training = (
        training_summary(finished, job, History.of(parent))
        | {"new_classes": new_classes(model, parent)}
        | dict(run)
        | report
    )
    saved = _written(
        job,
        lambda place: save_adapter(
            place,
            model,
            gear=gear,
            training=training,
            parent_id="" if parent is None else parent.adapter_id,
            class_colors=job.class_colors or (() if parent is None else parent.class_colors),
        ),
    )
    if job.checkpoint is not None:
        with contextlib.suppress(OSError):  # it is of no use any more, and the adapter is there
            job.checkpoint.path.unlink(missing_ok=True)
    return saved


def _written(job: TrainingJob, write: Callable[[Path], AdapterCard]) -> AdapterSaved:
    """Write the adapter file at the best place that takes it: minutes of work depend on it."""
    troubles = []
    for place in job.places:
        try:
            return AdapterSaved(place, write(place))
        except StorageError as error:
            troubles.append(f"{place}: {reason_of(error)}")
    is_kept = job.checkpoint is not None and is_there(job.checkpoint.path)
    rest = "resume the run, which goes on at its last checkpoint" if is_kept else "train again"
    raise StorageError(
        f"The trained adapter could not be saved ({'; '.join(troubles)}). Mend that (free some "
        f"space, if the disk is full), then {rest}."
    )


def _described_start(model: AdaptedSam, parent: AdapterCard | None) -> str:
    """Describe what a run starts from: base model with the hash of its weights, shape, adapter."""
    adapter = "" if parent is None else parent.adapter_id
    return f"{model.settings} {model.base_sha256} {adapter}"
