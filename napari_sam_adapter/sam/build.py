"""Build base models from weight files: one entry per architecture, strict in every key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_sam_adapter.adapter.other_methods import other_method
from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.at_a_glance import WHICH
from napari_sam_adapter.sam.base import BaseSam, build_mask_decoder, build_prompt_encoder
from napari_sam_adapter.sam.plain_vit import (
    PRETRAINED_GRID,
    VIT_B,
    VIT_H,
    VIT_L,
    PlainViT,
    PlainViTConfig,
)
from napari_sam_adapter.sam.tiny_vit import TinyViT, TinyViTConfig, fold_batch_norms
from napari_sam_adapter.sam.weights import is_finite, load_state_dict

State = dict[str, Tensor]
# Weights of a small model are kept: it is built anew for each adapter that is loaded.
BYTES_WORTH_KEEPING = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to build an encoder and what its weight file looks like.

    Attributes
    ----------
    encoder : callable
        From the side of the position embedding, in patches (TinyViT has none), to the encoder.
    stride : int
        Input pixels per cell of the image embedding.
    convert : callable
        From the published state dict to ours.
    """

    encoder: Callable[[int], nn.Module]
    stride: int
    convert: Callable[[Mapping[str, Tensor]], State]


def _wrap_plain_vit(state: Mapping[str, Tensor]) -> State:
    prefix = "image_encoder."
    return {
        f"{prefix}vit.{key.removeprefix(prefix)}" if key.startswith(prefix) else key: value
        for key, value in state.items()
    }


# MobileSAM's file carries the classifier its encoder was distilled with; nothing computes with it.
_CLASSIFIER = {
    f"image_encoder.{name}.{part}" for name in ("norm_head", "head") for part in ("weight", "bias")
}


def _fold_mobile_sam(state: Mapping[str, Tensor]) -> State:
    return fold_batch_norms({k: v for k, v in state.items() if k not in _CLASSIFIER})


def _plain_vit(config: PlainViTConfig) -> Architecture:
    return Architecture(partial(PlainViT, config), 16, _wrap_plain_vit)


def _tiny_vit(config: TinyViTConfig, grid: int) -> TinyViT:
    del grid
    return TinyViT(config)


MOBILE_SAM_ENCODER = TinyViTConfig(stem_kernel=3, stem_stride=2)

ARCHITECTURES: dict[str, Architecture] = {
    "lite_medsam": Architecture(partial(_tiny_vit, TinyViTConfig()), 4, fold_batch_norms),
    "mobile_sam": Architecture(partial(_tiny_vit, MOBILE_SAM_ENCODER), 16, _fold_mobile_sam),
    "vit_b": _plain_vit(VIT_B),
    "vit_l": _plain_vit(VIT_L),
    "vit_h": _plain_vit(VIT_H),
}


def build_base(
    architecture: str, path: Path, sha256: str, input_size: int, *, asked: str
) -> BaseSam:
    """Build a base model with the weights of a file.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    path : Path
    sha256 : str
        Digest the file must have.
    input_size : int
        Side of the square encoder input; the weights themselves are size-free.
    asked : str
        What the person calls the model: its name in the registry.

    Raises
    ------
    WeightsError
        If the weights are missing, altered, or do not fit the architecture key by key.
    """
    small = path.is_file() and path.stat().st_size < BYTES_WORTH_KEEPING
    state = (_converted if small else _converted.__wrapped__)(architecture, path, sha256, asked)
    base = _filled(architecture, state, path, input_size, asked)
    base.sha256 = sha256
    return base


def check_weights(
    architecture: str, path: Path, sha256: str, input_size: int, *, asked: str
) -> None:
    """Refuse what `build_base` would refuse, without reading the values of any tensor.

    The parameters are those of `build_base`. The digest of a file is computed once in a process,
    so asking here takes no time from those who build the model later.

    Raises
    ------
    WeightsError
        As `build_base`.
    """
    state = _read(architecture, path, sha256, asked, only_shapes=True)
    with torch.device("meta"):
        _filled(architecture, state, path, input_size, asked)


def _filled(architecture: str, state: State, path: Path, input_size: int, asked: str) -> BaseSam:
    """Put weights into the modules of a base model, strict in every key and shape."""
    base = assemble(architecture, input_size, grid_of(state))
    try:
        base.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise _does_not_fit(path, asked, str(error)) from error
    return base


def _does_not_fit(path: Path, asked: str, reason: str) -> WeightsError:
    reason = " ".join(reason.split())[:400]
    return WeightsError(f"The weights in {path} do not fit the base model {asked}: {reason}")


def _check_architecture(architecture: str, state: State, path: Path, asked: str) -> None:
    """Refuse the weights of another model or method in words, not by a list of tensors."""
    if method := other_method(state):
        raise WeightsError(
            f"{path} is no base model {asked}: it looks like a checkpoint of {method}. {WHICH}"
        )
    try:
        found = architecture_of(state)
    except WeightsError as error:
        raise WeightsError(f"{path} is no base model {asked}. {error}") from error
    if found != architecture:
        raise WeightsError(
            f"{path} holds the weights of {model_of(found)}, and {asked} was asked for: name the "
            f"model that fits the file, {model_of(found)}@{path}."
        )


def model_of(architecture: str) -> str:
    """Return the base model that is named by people for an architecture."""
    return f"sam_{architecture}" if architecture.startswith("vit") else architecture


def assemble(architecture: str, input_size: int, grid: int = PRETRAINED_GRID) -> BaseSam:
    """Build the modules of a base model, without weights."""
    spec = ARCHITECTURES[architecture]
    prompt_encoder = build_prompt_encoder(input_size, spec.stride)
    return BaseSam(spec.encoder(grid), prompt_encoder, build_mask_decoder())


def grid_of(state: Mapping[str, Tensor]) -> int:
    """Return the side of a plain ViT's position embedding; SAM's where there is none."""
    embedding = state.get("image_encoder.vit.pos_embed")
    square = embedding is not None and embedding.ndim == 4
    return int(embedding.shape[1]) if embedding is not None and square else PRETRAINED_GRID


@lru_cache(maxsize=1)
def _converted(architecture: str, path: Path, sha256: str, asked: str) -> State:
    return _read(architecture, path, sha256, asked)


def _read(
    architecture: str, path: Path, sha256: str, asked: str, *, only_shapes: bool = False
) -> State:
    state = load_state_dict(path, sha256, only_shapes=only_shapes)
    _check_architecture(architecture, state, path, asked)
    broken = () if only_shapes else (key for key, value in state.items() if not is_finite(value))
    if key := next(iter(broken), ""):
        raise WeightsError(
            f"{path} was not loaded: its tensor {key} holds values that are not numbers, as after "
            "a training that failed. Choose an earlier state of it."
        )
    try:
        return ARCHITECTURES[architecture].convert(state)
    except KeyError as error:
        raise _does_not_fit(path, asked, f"{error.args[0]} is missing.") from error
    except RuntimeError as error:
        raise _does_not_fit(path, asked, str(error)) from error


def architecture_of(state: Mapping[str, Tensor]) -> str:
    """Tell the architecture of a SAM state dict by its shapes.

    Raises
    ------
    WeightsError
        If it is none that is known here.
    """
    stem = state.get("image_encoder.patch_embed.seq.0.c.weight")
    if stem is not None:
        return "mobile_sam" if stem.shape[-1] == 3 else "lite_medsam"
    patch = state.get("image_encoder.patch_embed.proj.weight")
    widths = {VIT_B.width: "vit_b", VIT_L.width: "vit_l", VIT_H.width: "vit_h"}
    if patch is not None and patch.shape[0] in widths:
        return widths[patch.shape[0]]
    first = ", ".join(list(state)[:3])
    raise WeightsError(
        "The file is not a Segment Anything checkpoint known here (ViT-B, ViT-L, ViT-H, MobileSAM "
        f"or LiteMedSAM); its first entries are {first}."
    )
