"""Import the original SAM-Adapter's checkpoints: whole models of 329, 521 or 649 tensors.

An adapter file needs only what differs from SAM. The frozen encoder is compared with the base
model's and left out; position encoding and no-mask embedding come along, because the reference code
trained with random ones of its own (a defect of it: the names in SAM's file do not match).

References
----------
github.com/tianrun-chen/SAM-Adapter-PyTorch, ``models/sam.py`` and ``models/mmseg/models/sam``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from napari_sam_adapter.adapter.card import AdapterCard, check_adapter_place
from napari_sam_adapter.adapter.config import PLAIN_VIT_ADAPTER
from napari_sam_adapter.adapter.other_methods import ORIGINAL, OURS, other_method
from napari_sam_adapter.errors import CheckpointError, StorageError, WeightsError
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings
from napari_sam_adapter.sam.build import ARCHITECTURES, architecture_of, assemble, model_of
from napari_sam_adapter.sam.checkpoint import check_finite, check_shapes, save_adapter
from napari_sam_adapter.sam.plain_vit import PATCH_SIZE, VIT_B, VIT_H, VIT_L
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.sam.weight_files import file_sha256
from napari_sam_adapter.sam.weights import flat_state, read_plain
from napari_sam_adapter.storage import check_writable, is_empty, is_same_file, write_atomically

State = Mapping[str, Tensor]
VARIANTS = {VIT_B.width: "b", VIT_L.width: "l", VIT_H.width: "h"}
GENERATOR = "image_encoder.prompt_generator."
# Their names for the parts of the adapter, and ours.
_RENAMED = (
    (f"{GENERATOR}shared_mlp.", "adapter.stages.0.mlp_up."),
    (f"{GENERATOR}embedding_generator.", "adapter.stages.0.patch_embedding_tune."),
    (f"{GENERATOR}prompt_generator.proj.", "adapter.stages.0.image_tune.high_frequency.conv."),
    ("pe_layer.", "prompt_embedding.pe_layer."),
    ("no_mask_embed.", "prompt_embedding.no_mask_embed."),
    ("mask_decoder.", "mask_decoder."),
)


@dataclass(frozen=True, slots=True)
class OriginalCheckpoint:
    """A checkpoint of the original SAM-Adapter, checked key by key.

    Attributes
    ----------
    state : mapping of str to Tensor
        With the names of the reference code.
    variant : str
        ``b``, ``l`` or ``h``.
    input_size : int
        Side of the square input, in pixels.
    """

    state: State
    variant: str
    input_size: int

    @property
    def grid(self) -> int:
        """Side of its position embedding, in patches."""
        return self.input_size // PATCH_SIZE

    @property
    def base(self) -> str:
        """Name of the base model it was trained on."""
        return f"sam_vit_{self.variant}"


def read_original(path: Path) -> OriginalCheckpoint:
    """Read a checkpoint of the original SAM-Adapter.

    Raises
    ------
    CheckpointError
        If it is none; the message says what it looks like instead.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}.")
    try:
        state = flat_state(read_plain(path), path)
    except WeightsError as error:
        raise CheckpointError(str(error)) from error
    if not any(key.startswith(GENERATOR) for key in state):
        raise CheckpointError(
            f"{path} is not a checkpoint of the original SAM-Adapter: it has no "
            f"{GENERATOR}* tensors. {_looks_like(state, path)}"
        )
    width = _shape(state, f"{GENERATOR}shared_mlp.weight", path)[0]
    grid = _shape(state, "image_encoder.pos_embed", path)[1]
    if width not in VARIANTS:
        raise CheckpointError(
            f"{path} has an encoder of width {width}; known are 768, 1024 and 1280 (ViT-B, L, H)."
        )
    checkpoint = OriginalCheckpoint(state, VARIANTS[width], grid * PATCH_SIZE)
    _check_keys(checkpoint, path)
    check_finite(path, state)
    return checkpoint


def import_original(
    path: Path, out: Path, *, base: str | None = None, base_out: Path | None = None
) -> AdapterCard:
    """Turn a checkpoint of the original SAM-Adapter into an adapter file.

    Parameters
    ----------
    path, out : Path
    base : str, optional
        Base model it was trained on; by default the SAM of its size.
    base_out : Path, optional
        Where to write the checkpoint's own encoder as a file of base weights. Needed only if SAM's
        own weights are not at hand, or are not those in the checkpoint.

    Returns
    -------
    AdapterCard

    Raises
    ------
    SamAdapterError
        If it is no such checkpoint, or its encoder is not the base model's, or both ``base`` and
        ``base_out`` are given, or a file would be overwritten that is not to be. Nothing is
        written then.
    """
    if base is not None and base_out is not None:
        raise CheckpointError(
            "Give --model or --base-out, not both: the adapter belongs to the base model that is "
            "named, or to the checkpoint's own encoder."
        )
    _check_places(path, out, base_out)
    checkpoint = read_original(path)
    if base_out is not None:
        _write_base_weights(checkpoint, base_out)
        base = f"{checkpoint.base}@{base_out}"
    spec = base_model(base or checkpoint.base)
    if spec.architecture != f"vit_{checkpoint.variant}":
        raise CheckpointError(
            f"{path} was trained on SAM ViT-{checkpoint.variant.upper()}, and {spec.name} is "
            f"another model. Leave --model out, or name {checkpoint.base} or a file of it."
        )
    try:
        sam = spec.build(checkpoint.input_size)
    except WeightsError as error:
        raise WeightsError(f"{error} {_HOW_TO_DO_WITHOUT}") from error
    differing = _differing_keys(checkpoint, dict(sam.state_dict()))
    if differing:
        raise CheckpointError(
            f"The encoder in {path} is not that of {spec.name}: {len(differing)} of its tensors "
            f"differ, the first is {differing[0]}. {_HOW_TO_DO_WITHOUT}"
        )
    model = AdaptedSam(sam, settings_of_original(checkpoint, spec.name))
    model.load_state_dict(adapter_state(checkpoint.state), strict=True)
    notes = {"imported_from": "SAM-Adapter", "file": path.name, "n_tensors": len(checkpoint.state)}
    return save_adapter(out, model, gear="full", training=notes)


def _check_places(path: Path, out: Path, base_out: Path | None) -> None:
    """Refuse to write over what is read, or one file over the other; and what cannot be written."""
    places = [("FILE", path), ("--out", out)]
    places += [] if base_out is None else [("--base-out", base_out)]
    for (name, one), (other_name, other) in combinations(places, 2):
        if is_same_file(one, other):
            raise CheckpointError(
                f"{name} {one} and {other_name} {other} are the same file: one would overwrite the "
                "other. Give each a name of its own; nothing was written."
            )
    check_adapter_place(out)
    if base_out is not None:
        check_writable(base_out)


_HOW_TO_DO_WITHOUT = (
    "To do without SAM's own file, let the checkpoint's encoder be written as base weights with "
    "--base-out FILE; the adapter then belongs to that file."
)


def settings_of_original(checkpoint: OriginalCheckpoint, base: str) -> ModelSettings:
    """Return how the reference code's models take their input: squashed, without any prompt."""
    return ModelSettings(
        base=base,
        input_size=checkpoint.input_size,
        standing_prompt="none",
        adapter=PLAIN_VIT_ADAPTER,
        normalisation="imagenet",
        fit="squash",
        own_prompt_embedding=True,
    )


def adapter_state(state: State) -> dict[str, Tensor]:
    """Rename the tensors of the adapter, the decoder and the prompt embedding to ours."""
    renamed = {}
    for key, value in state.items():
        block, _, part = key.removeprefix(f"{GENERATOR}lightweight_mlp_").partition(".0.")
        if block.isdecimal():
            renamed[f"adapter.stages.0.mlp_tune.{block}.{part}"] = value
        for theirs, ours in _RENAMED:
            if key.startswith(theirs):
                renamed[ours + key.removeprefix(theirs)] = value
    return renamed


def _write_base_weights(checkpoint: OriginalCheckpoint, path: Path) -> None:
    """Write the checkpoint's encoder; a file that is there stays, and must be the very same.

    Even another one that was written here may not be replaced: adapters belong to it.
    """
    stream = io.BytesIO()
    torch.save(_as_base_weights(checkpoint), stream)
    content = stream.getvalue()
    if not path.exists() or is_empty(path):
        write_atomically(path, content)
    elif file_sha256(path) != hashlib.sha256(content).hexdigest():
        raise StorageError(
            f"{path} is there already and holds something else than this checkpoint's encoder, so "
            "it is not overwritten. Choose another name for --base-out; nothing was written."
        )


def _as_base_weights(checkpoint: OriginalCheckpoint) -> dict[str, Tensor]:
    """Return the checkpoint as a file of SAM weights; what it lacks (prompts) is zero."""
    like = _expected_base(checkpoint)
    state = {key: value for key, value in checkpoint.state.items() if not key.startswith(GENERATOR)}
    for name in ("pe_layer.positional_encoding_gaussian_matrix", "no_mask_embed.weight"):
        state[f"prompt_encoder.{name}"] = state.pop(name)
    return {key: state.get(key, torch.zeros(shape)) for key, shape in like.items()}


def _expected_base(checkpoint: OriginalCheckpoint) -> dict[str, tuple[int, ...]]:
    architecture = f"vit_{checkpoint.variant}"
    with torch.device("meta"):
        base = assemble(architecture, checkpoint.input_size, checkpoint.grid)
    return {
        key.replace("image_encoder.vit.", "image_encoder."): tuple(value.shape)
        for key, value in base.state_dict().items()
    }


def _check_keys(checkpoint: OriginalCheckpoint, path: Path) -> None:
    """Refuse a checkpoint that lacks a tensor, or has one too many or of another shape."""
    with torch.device("meta"):
        base = assemble(f"vit_{checkpoint.variant}", checkpoint.input_size)
        model = AdaptedSam(base, settings_of_original(checkpoint, checkpoint.base))
    expected = {_their_name(key): tuple(v.shape) for key, v in model.state_dict().items()}
    frozen = _expected_base(checkpoint).items()
    expected |= {key: shape for key, shape in frozen if key.startswith("image_encoder.")}
    found = {key: tuple(value.shape) for key, value in checkpoint.state.items()}
    check_shapes(path, found, expected, "is not a complete SAM-Adapter checkpoint")


def _their_name(key: str) -> str:
    block, _, part = key.removeprefix("adapter.stages.0.mlp_tune.").partition(".")
    if block.isdecimal():
        return f"{GENERATOR}lightweight_mlp_{block}.0.{part}"
    for theirs, ours in _RENAMED:
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    raise AssertionError(key)


def _differing_keys(checkpoint: OriginalCheckpoint, base: State) -> list[str]:
    """List the frozen tensors that are not the base model's."""
    ours = ARCHITECTURES[f"vit_{checkpoint.variant}"].convert(checkpoint.state)
    return [
        key.replace("image_encoder.vit.", "image_encoder.")
        for key, value in base.items()
        if key.startswith("image_encoder.")
        and (ours[key].shape != value.shape or not torch.equal(ours[key], value))
    ]


def _shape(state: State, key: str, path: Path) -> tuple[int, ...]:
    if key not in state or state[key].ndim < 2:
        raise CheckpointError(f"{path} is not a complete SAM-Adapter checkpoint: missing {key}.")
    return tuple(state[key].shape)


def _looks_like(state: State, path: Path) -> str:
    method = other_method(state)
    if method in (OURS, ORIGINAL):
        return f"It looks like a checkpoint of {method}."
    if method:
        return f"It looks like a checkpoint of {method}, which cannot be imported."
    with contextlib.suppress(WeightsError):
        return (
            "It looks like a plain SAM checkpoint without an adapter: use it as a base model, "
            f"--model {model_of(architecture_of(state))}@{path}"
        )
    first = ", ".join(list(state)[:3])
    return f"Its first entries are {first}: no method that is known here."
