"""Save and load adapters: safetensors with a card, strict in every key and shape, no pickle."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.errors import CheckpointError, ConditionError, WeightsError
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.adapter_base import check_adapter_base
from napari_sam_adapter.sam.weights import is_finite
from napari_sam_adapter.storage import write_atomically


def save_adapter(
    path: Path,
    model: AdaptedSam,
    *,
    gear: str,
    training: Mapping[str, Any] | None = None,
    parent_id: str = "",
    class_colors: tuple[str, ...] = (),
) -> AdapterCard:
    """Write an adapter file, atomically.

    Parameters
    ----------
    path : Path
        Conventionally ending in ``.safetensors``.
    model : AdaptedSam
    gear : str
        How it was trained.
    training : mapping, optional
        Summary that JSON can hold.
    parent_id : str
        The adapter it started from.
    class_colors : tuple of str
        One per class, or none.

    Returns
    -------
    AdapterCard
        What was written beside the tensors.

    Raises
    ------
    StorageError
        If the file cannot be written; an older file at ``path`` stays.
    """
    settings, spec = model.settings, model.spec
    card = AdapterCard(
        adapter_id=uuid.uuid4().hex,
        base_model=spec.short_name,
        base_sha256=model.base_sha256,
        gear=gear,
        input_size=settings.input_size,
        normalisation=settings.normalisation,
        fit=settings.fit,
        standing_prompt=settings.standing_prompt,
        class_names=settings.class_names,
        class_colors=class_colors,
        box_answers=settings.box_answers,
        own_prompt_embedding=settings.own_prompt_embedding,
        adapter=settings.adapter,
        training=dict(training or {}),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        parent_id=parent_id,
    )
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_atomically(path, save(tensors, metadata=card.to_metadata()))
    return card


def load_adapter(
    path: Path, *, base: str | None = None, input_size: int | None = None
) -> tuple[AdaptedSam, AdapterCard]:
    """Build the model an adapter file belongs to and put its tensors in.

    Parameters
    ----------
    path : Path
    base : str, optional
        The base model that is wanted; by default the one the file names.
    input_size : int, optional
        Another one than the adapter was trained at, to train it on there.

    Returns
    -------
    model : AdaptedSam
        On the CPU.
    card : AdapterCard

    Raises
    ------
    CheckpointError
        If the file is broken or foreign, belongs to another base model, or a tensor is missing,
        unexpected, of another shape, or not finite.
    """
    card = read_card(path)
    spec = check_adapter_base(card, str(path), wanted=base)
    try:
        settings = settings_of(card, spec.name)
        if input_size is not None:
            settings = settings.with_changes(input_size=input_size)
        model = build_adapted_sam(settings)
    except (ValueError, ConditionError, WeightsError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error
    model.load_state_dict(_read_tensors(path, model.state_dict()), strict=True)
    return model, card


def settings_of(card: AdapterCard, base: str) -> ModelSettings:
    """Return the settings of the model an adapter belongs to.

    Parameters
    ----------
    card : AdapterCard
    base : str
        Name of its base model, with the file where the weights are the person's own.

    Raises
    ------
    ValueError
        If the card holds a value that is not possible.
    """
    return ModelSettings(
        base=base,
        input_size=card.input_size,
        standing_prompt=card.standing_prompt,
        adapter=card.adapter,
        class_names=card.class_names,
        normalisation=card.normalisation,  # type: ignore[arg-type]
        fit=card.fit,  # type: ignore[arg-type]
        box_answers=card.box_answers,  # type: ignore[arg-type]
        own_prompt_embedding=card.own_prompt_embedding,
    )


def _read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            shapes = {key: tuple(t.shape) for key, t in expected.items()}
            check_shapes(path, found, shapes, "does not fit its own card")
            tensors = {key: file.get_tensor(key) for key in found}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} could not be read to its end ({error}).") from error
    check_finite(path, tensors)
    return tensors


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that hold anything but numbers.

    Raises
    ------
    CheckpointError
        Naming the first one.
    """
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() or not is_finite(tensor):
            raise CheckpointError(f"{path}: the tensor {key!r} holds values that are not numbers.")


def check_shapes(
    path: Path,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    complaint: str,
) -> None:
    """Compare names and shapes before any tensor is read, so that a huge one is never loaded.

    Raises
    ------
    CheckpointError
        That the file does what ``complaint`` says, with the first differences.
    """
    problems = [f"missing {key}" for key in expected.keys() - found.keys()]
    problems += [f"unexpected {key}" for key in found.keys() - expected.keys()]
    problems += [
        f"{key} has shape {found[key]}, expected {expected[key]}"
        for key in found.keys() & expected.keys()
        if found[key] != expected[key]
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:4])
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise CheckpointError(f"{path} {complaint}: {shown}{more}.")
