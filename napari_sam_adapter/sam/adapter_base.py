"""The base model that an adapter file belongs to; no torch is imported."""

from __future__ import annotations

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.errors import CheckpointError, WeightsError
from napari_sam_adapter.sam.base_model import BaseModel
from napari_sam_adapter.sam.registry import BASE_MODELS, base_model
from napari_sam_adapter.sam.weight_files import remembered_file


def base_of_adapter(card: AdapterCard) -> str:
    """Name the base model of an adapter, with the file where its weights are one's own.

    The card knows the hash alone; a file that was used before is known by it.
    """
    published = BASE_MODELS.get(card.base_model)
    if published is None:
        return card.base_model
    if published.weights.sha256 == card.base_sha256 and published.weights.is_here:
        return card.base_model
    file = remembered_file(card.base_sha256)
    return card.base_model if file is None else f"{card.base_model}@{file}"


def check_adapter_base(card: AdapterCard, source: str, *, wanted: str | None = None) -> BaseModel:
    """Find the base model an adapter belongs to; refuse another one, or other weights of it.

    Parameters
    ----------
    card : AdapterCard
    source : str
        The file, for the message.
    wanted : str, optional
        The base model that is asked for; by default the adapter's, see `base_of_adapter`.

    Returns
    -------
    BaseModel

    Raises
    ------
    CheckpointError
        Naming both base models.
    """
    try:
        spec = base_model(wanted or base_of_adapter(card))
    except WeightsError as error:
        raise CheckpointError(
            f"{source} was trained on the base model {card.base_model!r}. {error}"
        ) from error
    if spec.short_name != card.base_model:
        raise CheckpointError(
            f"{source} was trained on the base model {card.base_model!r} and cannot be loaded on "
            f"{wanted!r}. Choose {card.base_model!r}, or another adapter."
        )
    if spec.weights.sha256 != card.base_sha256:
        raise CheckpointError(
            f"{source} was trained on weights of {card.base_model!r} with the hash "
            f"{card.base_sha256[:12]}..., these are {spec.weights.sha256[:12]}...: the adapter "
            "would compute something else than when it was trained. If it was trained on a file of "
            f"your own, name that file once: in the dock, choose {card.base_model} and, in the "
            "menu beside it, 'Use a weights file for this model…'; on the command line, --model "
            f"{card.base_model}@/path/to/file.pth."
        )
    return spec
