"""What a retraining starts with: the corrections of this moment, and the plan kept of them."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam_adapter.adapter.config import Condition
from napari_sam_adapter.errors import StorageError, TrainingError
from napari_sam_adapter.project.other_images import other_images
from napari_sam_adapter.project.retrain_request import MarkedImage, RetrainRequest
from napari_sam_adapter.project.retrain_words import started
from napari_sam_adapter.project.run_folder import RunFolder, RunPart, RunPlan
from napari_sam_adapter.project.run_request import with_other_images
from napari_sam_adapter.session.next_version import RunStart, train
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.samples import check_mask
from napari_sam_adapter.widgets.panels.retrain_panel import RetrainSettings
from napari_sam_adapter.widgets.readers import PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from napari_sam_adapter.engine.trainer import Trainer
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.record.recording import Recording


@dataclass(frozen=True, slots=True)
class Begun:
    """What is learned from is known, and the run has a place for its checkpoints, if possible."""

    plan: RunPlan
    run: RunFolder | None
    sentence: str
    missed: list[str]


def begin(
    trainer: Trainer, start: RunStart, request: RetrainRequest, plan: RunPlan | None, others: bool
) -> Iterator[object]:
    """Begin a run, and train; in a worker thread.

    Parameters
    ----------
    trainer : Trainer
    start : RunStart
    request : RetrainRequest
    plan : RunPlan or None
        None where nothing is recorded.
    others : bool
        Whether to learn from the other images of the project, too.

    Yields
    ------
    Begun, TrainingEvent or AdapterSaved

    Raises
    ------
    SamAdapterError
        With a message for the person.
    """
    project = start.project
    if plan is not None:
        missed: list[str] = []
        run = None
        request.run = plan.run
        if others:
            plan, request, missed = with_other_images(project, plan, request)
            check_shows_object(request.images)
        # Without a place to write to it runs all the same; only, it cannot be resumed.
        with contextlib.suppress(StorageError):
            run = RunFolder(project.folder, plan)
            request.checkpoint = run.checkpoint
        yield Begun(plan, run, started(request.images), missed)
    yield from train(trainer, start, request)


def request_for(
    binding: LayerBinding | None,
    recording: Recording,
    session: Session,
    settings: RetrainSettings,
) -> RetrainRequest:
    """Ask for a run on what is corrected and accepted.

    Raises
    ------
    ImageError, TrainingError
        If there is nothing to learn from, or the conditions cannot be used.
    """
    if binding is None or not binding.is_alive:
        raise TrainingError(
            "This image has nothing to train on yet: predict a slice, correct its mask or accept "
            "it, then retrain."
        )
    masks = binding.masks_to_train_on()
    if not masks:
        for index in binding.tracker.left_out():
            binding.class_labels(index, one_class=True)  # says why it cannot be learned from
        raise TrainingError(
            "No slice of this image is corrected or accepted yet. Paint on a mask, or accept a "
            "slice that needs no change, then retrain."
        )
    name = binding.image.name
    for index, mask in masks.items():
        described = f"{name}, {binding.source.describe(index)}"
        check_mask(described, mask, session.classes.names)
    return request_on(masks, binding, recording, session, settings)


def request_on(
    masks: Mapping[SliceIndex, np.ndarray],
    binding: LayerBinding,
    recording: Recording,
    session: Session,
    settings: RetrainSettings,
) -> RetrainRequest:
    """Ask for a run on some masks.

    Raises
    ------
    TrainingError
        If the conditions cannot be used.
    """
    name = binding.image.name
    weights = settings.conditions
    conditions = None
    try:
        if weights is not None:
            conditions = tuple(Condition(name, weight) for name, weight in weights.items())
    except ValueError as error:
        raise TrainingError(f"The conditions cannot be used: {error}.") from error
    record = recording.record_of(binding)
    key, file = name, None
    patient = binding.image.metadata.get(PATIENT)
    if record is not None:
        name, key = record.identity.name, record.folder.name
        patient, file = record.identity.patient, record.identity.source
    known = {index: binding.tracker.history_of(index) for index in masks}
    as_predicted = {index for index, one in known.items() if one and one.is_as_predicted}
    return RetrainRequest(
        images=(MarkedImage(binding.source, masks, name, key, patient, file, as_predicted),),
        config=settings.config,
        input_size=settings.input_size,
        classes=session.classes,
        conditions=conditions,
    )


def check_shows_object(images: Sequence[MarkedImage]) -> None:
    """Refuse to learn from masks none of which shows anything.

    Raises
    ------
    TrainingError
        With what to do.
    """
    if not any(mask.any() for image in images for mask in image.masks.values()):
        where = "" if len(images) == 1 else ", in the project's other images, too"
        raise TrainingError(
            f"All masks to train on are empty{where}. Correct at least one slice that shows the "
            "object."
        )


def has_others(recording: Recording, session: Session, binding: LayerBinding | None) -> bool:
    """Whether the project has other images that a run could learn from, too."""
    record = None if binding is None else recording.record_of(binding)
    return record is not None and bool(other_images(session.project, record.identity))


def plan_for(
    binding: LayerBinding | None,
    recording: Recording,
    session: Session,
    request: RetrainRequest,
    follows: str,
    settings: RetrainSettings,
) -> RunPlan | None:
    """Describe the run, on the masks of this moment; None where nothing is recorded.

    See `RunPlan` for ``follows``.
    """
    record = None if binding is None else recording.record_of(binding)
    if binding is None or record is None:
        return None
    active, conditions = session.in_use.version, request.conditions
    (own,) = request.images
    dtype = binding.labels.data.dtype.str
    return RunPlan(
        run=uuid.uuid4().hex,
        parts=(RunPart(record.folder.name, record.journal.last + 1, tuple(own.masks), dtype),),
        base=session.in_use.reference.base,
        parent="" if active is None else active.card.adapter_id,
        config=request.config.to_dict(),
        input_size=request.input_size,
        class_names=request.classes.names,
        class_colors=request.classes.colors,
        conditions=None if conditions is None else {c.name: c.weight for c in conditions},
        follows=follows,
        then=tuple(config.to_dict() for config in settings.gears[1:]),
        learns_from_others=settings.learns_from_others,
    )


def settings_of(plan: RunPlan) -> RetrainSettings:
    """Return what was set for a run, and for the gears that are to follow it."""
    settings: RetrainSettings | None = None
    for values in reversed((plan.config, *plan.then)):
        config = TrainingConfig.from_dict(values)
        settings = RetrainSettings(
            config, plan.input_size, plan.conditions, plan.learns_from_others, settings
        )
    assert settings is not None
    return settings


def end_rounds(recording: Recording, project: Path, plan: RunPlan) -> None:
    """Let a round end in the other images that are open here, whose journals do not tell of it."""
    for part in plan.parts[1:] if not plan.follows else ():
        binding = recording.records.binding_of(project / "images" / part.record)
        record = None if binding is None else recording.record_of(binding)
        if record is not None:
            record.ledger.end_round(part.line)
