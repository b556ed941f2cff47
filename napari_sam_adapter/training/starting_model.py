"""What a run starts from: the base model, or an adapter with the shape and classes asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_sam_adapter.adapter.card import AdapterCard, check_adapter_place, read_card
from napari_sam_adapter.adapter.classes import check_class_names
from napari_sam_adapter.errors import CheckpointError, TrainingError
from napari_sam_adapter.sam.adapter_base import check_adapter_base
from napari_sam_adapter.sam.base_model import check_input_size
from napari_sam_adapter.sam.registry import base_model

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.sam.base_model import BaseModel
    from napari_sam_adapter.training.job import TrainingJob


def check_start(job: TrainingJob) -> None:
    """Refuse a run that cannot start; it takes no samples, so it may come before reading them.

    The names and shapes of the weights are looked at; what takes as long as loading tensors is left
    to `starting_model`.

    Raises
    ------
    StorageError
        If ``out`` cannot be written, or is there and no adapter.
    CheckpointError
        If ``init`` cannot be read, is of another base model or shape, or knows more classes.
    TrainingError
        If the classes cannot be told apart.
    WeightsError
        If there is no such base model, its weights are not here, damaged or another model's, or it
        does not offer the input size.
    ConditionError
        If there is no such condition.
    SamAdapterError
        If the device is not there.
    """
    _checked_base(job).check_weights()


def _checked_base(job: TrainingJob) -> BaseModel:
    """Return the base model, once all but its weights fits the run."""
    from napari_sam_adapter.adapter.conditions import image_condition
    from napari_sam_adapter.sam.devices import choose_device

    choose_device(job.device)
    check_adapter_place(job.out)
    card = _checked_init(job)
    spec = base_model(job.base)
    if card is not None:
        spec = check_adapter_base(card, str(job.init), wanted=job.base)
    if job.input_size is not None:
        check_input_size(spec, job.input_size)
    shape = (job.adapter or spec.adapter) if card is None else card.adapter
    for condition in shape.image_conditions:
        image_condition(condition.name, mask_ratio=shape.mask_ratio)
    return spec


def _checked_init(job: TrainingJob) -> AdapterCard | None:
    """Return the card of what the run starts from, once shape and classes fit it."""
    class_names = job.class_names
    if class_names is not None:
        try:
            check_class_names(class_names)
        except ValueError as error:
            raise TrainingError(f"The classes cannot be used: {error}.") from error
    if job.init is None:
        return None
    card = read_card(job.init)
    difference = "" if job.adapter is None else card.adapter.difference(job.adapter)
    if difference:
        raise CheckpointError(
            f"{job.init} holds an adapter of another shape: {difference}. Leave the shape out to "
            "continue from it, or start from the base model."
        )
    if class_names is not None:
        check_none_is_dropped(card.class_names, class_names, str(job.init))
    return card


def starting_model(job: TrainingJob) -> tuple[AdaptedSam, AdapterCard | None]:
    """Build the model a run starts from.

    Returns
    -------
    model : AdaptedSam
    parent : AdapterCard or None
        Card of the adapter it started from; None for the base model.

    Raises
    ------
    SamAdapterError
        See `check_start`; or the tensors of ``init`` are damaged.
    """
    from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
    from napari_sam_adapter.sam.checkpoint import load_adapter

    _checked_base(job)
    if job.init is None:
        size = job.input_size
        if size is None:
            shapes = [sample.slice_shape for sample in job.samples]
            largest = max(shapes, key=max, default=(0, 0))
            size = base_model(job.base).input_size_for(largest)
        settings = ModelSettings.default(job.base, size)
        if job.adapter is not None:
            settings = settings.with_changes(adapter=job.adapter)
        if job.class_names is not None:
            settings = settings.with_changes(class_names=job.class_names)
        return build_adapted_sam(settings, seed=job.config.seed), None
    model, card = load_adapter(job.init, base=job.base, input_size=job.input_size)
    return with_classes(model, job.class_names or card.class_names, str(job.init)), card


def with_classes(model: AdaptedSam, class_names: tuple[str, ...], source: str) -> AdaptedSam:
    """Give a model names for its classes, and more classes where there are more names, in place.

    Raises
    ------
    CheckpointError
        If it knows more classes than there are names.
    """
    from napari_sam_adapter.sam.class_decoder import new_class

    known = model.settings.class_names
    if class_names == known:
        return model
    check_none_is_dropped(known, class_names, source)
    model.settings = model.settings.with_changes(class_names=class_names)
    added = len(class_names) - len(known)
    model.further_classes.extend(new_class(model.mask_decoder) for _ in range(added))
    return model


def check_none_is_dropped(known: Sequence[str], class_names: Sequence[str], source: str) -> None:
    """Refuse fewer classes than an adapter knows.

    Raises
    ------
    CheckpointError
    """
    if len(class_names) < len(known):
        raise CheckpointError(
            f"{source} knows {len(known)} classes ({', '.join(known)}), more than are "
            f"asked for ({', '.join(class_names)}). Start from the base model to have fewer."
        )
