"""A training job on its way to the process that runs it. No torch: the window writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.job import TrainingJob
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.training.samples import TrainingSample


def job_request(kind: str, job: TrainingJob, disk_bytes: int) -> Message:
    """Return a request that carries a job.

    Parameters
    ----------
    kind : {"train", "prepare"}
    job : TrainingJob
    disk_bytes : int
        See `Trainer`.
    """
    arrays = {f"image{i}": sample.image for i, sample in enumerate(job.samples)}
    arrays |= {f"labels{i}": sample.labels for i, sample in enumerate(job.samples)}
    values = {
        "names": [(one.name, one.group, one.is_as_predicted) for one in job.samples],
        "out": str(job.out),
        "refuge": None if job.refuge is None else str(job.refuge),
        "config": job.config.to_dict(),
        "base": job.base,
        "init": None if job.init is None else str(job.init),
        "input_size": job.input_size,
        "adapter": None if job.adapter is None else job.adapter.to_dict(),
        "class_names": None if job.class_names is None else list(job.class_names),
        "class_colors": list(job.class_colors),
        "device": job.device,
        "notes": dict(job.notes),
        "checkpoint": _described(job.checkpoint),
        "disk_bytes": disk_bytes,
    }
    return Message(kind, values, arrays)


def job_in(message: Message) -> TrainingJob:
    """Return the job that a request carries."""
    values, arrays = message.values, message.arrays
    samples = [
        TrainingSample(arrays[f"image{i}"], arrays[f"labels{i}"], *described)
        for i, described in enumerate(values["names"])
    ]
    init, adapter, names = values["init"], values["adapter"], values["class_names"]
    return TrainingJob(
        samples=samples,
        out=Path(values["out"]),
        refuge=None if values.get("refuge") is None else Path(values["refuge"]),
        config=TrainingConfig.from_dict(values["config"]),
        base=values["base"],
        init=None if init is None else Path(init),
        input_size=values["input_size"],
        adapter=None if adapter is None else AdapterConfig.from_dict(adapter),
        class_names=None if names is None else tuple(names),
        class_colors=tuple(values["class_colors"]),
        device=values["device"],
        notes=values["notes"],
        checkpoint=_checkpoint_from(values["checkpoint"]),
    )


def _described(checkpoint: RunCheckpoint | None) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    return {
        "path": str(checkpoint.path),
        "every": checkpoint.every,
        "resume": checkpoint.resume,
        "belongs_to": None if checkpoint.belongs_to is None else str(checkpoint.belongs_to),
    }


def _checkpoint_from(values: dict[str, Any] | None) -> RunCheckpoint | None:
    if values is None:
        return None
    belongs_to = None if values.get("belongs_to") is None else Path(values["belongs_to"])
    return RunCheckpoint(Path(values["path"]), values["every"], values["resume"], belongs_to)
