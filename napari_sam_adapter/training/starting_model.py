"""What a run starts from: the base model, or an adapter with the shape and classes asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.adapter.classes import check_class_names
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.errors import CheckpointError, TrainingError

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.training.job import TrainingJob


def check_start(
    init: Path | None, adapter: AdapterConfig | None, class_names: tuple[str, ...] | None
) -> None:
    """Refuse what a run cannot start from; it takes no image, so it may come before reading them.

    Parameters
    ----------
    init : Path or None
        An adapter file.
    adapter : AdapterConfig or None
        The shape asked for.
    class_names : tuple of str or None
        The classes asked for.

    Raises
    ------
    CheckpointError
        If ``init`` cannot be read, or is of another shape, or knows more classes.
    TrainingError
        If the classes cannot be told apart.
    """
    if class_names is not None:
        try:
            check_class_names(class_names)
        except ValueError as error:
            raise TrainingError(f"The classes cannot be used: {error}.") from error
    if init is None:
        return
    card = read_card(init)
    difference = "" if adapter is None else card.adapter.difference(adapter)
    if difference:
        raise CheckpointError(
            f"{init} holds an adapter of another shape: {difference}. Leave the shape out to "
            "continue from it, or start from the base model."
        )
    if class_names is not None:
        check_none_is_dropped(card.class_names, class_names, str(init))


def starting_model(job: TrainingJob) -> tuple[AdaptedSam, AdapterCard | None]:
    """Build the model a run starts from.

    Returns
    -------
    model : AdaptedSam
    parent : AdapterCard or None
        Card of the adapter it started from; None for the base model.

    Raises
    ------
    CheckpointError
        If ``init`` cannot be used, or is another model than the one asked for.
    TrainingError
        If the classes cannot be told apart.
    """
    from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
    from napari_sam_adapter.sam.checkpoint import load_adapter
    from napari_sam_adapter.sam.registry import base_model

    check_start(job.init, job.adapter, job.class_names)
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
