"""The card inside an adapter file: what it belongs to, how it was made. Reads without torch."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from napari_sam_adapter.adapter.classes import check_class_names
from napari_sam_adapter.adapter.config import AdapterConfig, Condition
from napari_sam_adapter.adapter.other_methods import ORIGINAL, OURS, other_method, tensor_names
from napari_sam_adapter.errors import CheckpointError, StorageError
from napari_sam_adapter.storage import check_writable, is_empty

FORMAT = "napari-sam-adapter"
FORMAT_VERSION = 1
# Said wherever a person or a program gives prompts to an imported adapter.
TAKES_NO_PROMPTS = (
    "comes from an original SAM-Adapter checkpoint, whose position encoding is its own: boxes and "
    "points were never trained with it."
)


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """Everything in an adapter file besides its tensors.

    Attributes
    ----------
    adapter_id : str
        Random and unique: the name a mask can be traced back to.
    base_model, base_sha256 : str
        The base the adapter was trained on. It loads on no other.
    gear : str
        ``quick`` (mask decoder only), ``late`` or ``full``: the deepest that it or a parent was
        trained with.
    input_size : int
        Side of the square encoder input, in pixels.
    normalisation, fit, standing_prompt : str
    class_names : tuple of str
        Label k of the masks is the k-th of them.
    class_colors : tuple of str
        As ``#rrggbb``, one per class; empty where nobody chose any.
    adapter : AdapterConfig
    training : mapping
        Summary for people: numbers of slices, steps, seconds, held-out Dice, settings.
    created : str
        ISO 8601, with time zone.
    parent_id : str
        `adapter_id` of the adapter it started from; empty for the base model.
    box_answers : str
        Who answers to boxes, see `ModelSettings`.
    own_prompt_embedding : bool
        Whether it brings its own position encoding, see `ModelSettings`.
    """

    adapter_id: str
    base_model: str
    base_sha256: str
    gear: str
    input_size: int
    normalisation: str
    standing_prompt: str
    class_names: tuple[str, ...]
    adapter: AdapterConfig
    training: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    parent_id: str = ""
    fit: str = "pad"
    class_colors: tuple[str, ...] = ()
    box_answers: str = "adapter"
    own_prompt_embedding: bool = False

    @property
    def knows_mirror_images(self) -> bool:
        """Whether it was trained on slices mirrored and turned in every way."""
        return self._augmentation == "views"

    @property
    def keeps_upright(self) -> bool:
        """Whether it was trained on slices as they lie, because that means something."""
        return self._augmentation in ("upright", "none")

    @property
    def _augmentation(self) -> object:
        config = self.training.get("config")
        return config.get("augmentation") if isinstance(config, Mapping) else None

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of a safetensors file (its values are strings by definition)."""
        values = asdict(self)
        return {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "card": json.dumps(values, sort_keys=True, allow_nan=False),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, source: str) -> AdapterCard:
        """Rebuild a card.

        Raises
        ------
        CheckpointError
            If the metadata are not an adapter's, or of a newer format.
        """
        if not metadata or metadata.get("format") != FORMAT:
            raise CheckpointError(f"{source} is not an adapter of napari-sam-adapter.")
        version = metadata.get("format_version", "")
        if not version.isdecimal() or int(version) > FORMAT_VERSION:
            raise CheckpointError(
                f"{source} has adapter format {version or 'unknown'}; this version of the program "
                f"reads up to {FORMAT_VERSION}. Update napari-sam-adapter to open it."
            )
        try:
            values = json.loads(metadata["card"])
            if further := _unknown_keys(values):
                raise CheckpointError(
                    f"{source} was written by a newer version of the program: its card also has "
                    f"{', '.join(sorted(further))}. Update napari-sam-adapter to open it."
                )
            _check_types(values)
            values["adapter"] = AdapterConfig.from_dict(values["adapter"])
            for key in ("class_names", "class_colors"):
                values[key] = tuple(str(one) for one in values.get(key, ()))
            check_class_names(values["class_names"])
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The card inside {source} is damaged ({error}).") from error


def _unknown_keys(values: Mapping[str, Any]) -> set[str]:
    """Return what is not known here: it may change what the adapter computes."""
    adapter = values["adapter"]
    known = ((values, AdapterCard), (adapter, AdapterConfig))
    conditions = ((one, Condition) for one in adapter["conditions"])
    return {
        key
        for part, kind in (*known, *conditions)
        for key in part.keys() - {field.name for field in fields(kind)}
    }


_TYPES: dict[str, type | tuple[type, ...]] = {
    "adapter_id": str,
    "base_model": str,
    "base_sha256": str,
    "gear": str,
    "input_size": int,
    "normalisation": str,
    "standing_prompt": str,
    "class_names": list,
    "class_colors": list,
    "fit": str,
    "own_prompt_embedding": bool,
    "box_answers": str,
    "adapter": dict,
    "training": dict,
    "created": str,
    "parent_id": str,
}
_NUMBER = (int, float, type(None))
_TRAINING_TYPES: dict[str, type | tuple[type, ...]] = {
    "n_slices": int,
    "trained_on": list,
    "held_out": list,
    "held_out_scores": list,
    "new_classes": list,
    "held_out_dice_before": _NUMBER,
    "held_out_dice_after": _NUMBER,
    "held_out_dice_classes": dict,
    "confidence_pairs": dict,
    "run": str,
}


def _check_types(values: Mapping[str, Any]) -> None:
    """Refuse a card whose values would trip whoever reads them later."""
    for table, types in ((values, _TYPES), (values["training"], _TRAINING_TYPES)):
        for key, expected in types.items():
            if key in table and not isinstance(table[key], expected):
                raise TypeError(f"{key} is {table[key]!r}")
    for name, before, after in values["training"].get("held_out_scores", ()):
        if not (isinstance(name, str) and all(isinstance(x, int | float) for x in (before, after))):
            raise TypeError(f"a held-out score is {(name, before, after)!r}")


def read_card(path: Path) -> AdapterCard:
    """Read the card of an adapter file, without its tensors and without torch.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, or not an adapter.
    """
    try:
        if not path.is_file():
            raise CheckpointError(f"There is no adapter file at {path}.")
        # Opened before, because safetensors says of a closed file that it is not there.
        with path.open("rb"), safe_open(str(path), framework="numpy") as tensors:
            metadata = tensors.metadata()
    except OSError as error:
        raise CheckpointError(f"{path} could not be read ({error.strerror or error}).") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file, as adapters are. {_guess_at(path)} "
            "Nothing was loaded."
        ) from error
    if not metadata or metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not an adapter of napari-sam-adapter: it has no card. {_guess_at(path)}"
        )
    return AdapterCard.from_metadata(metadata, str(path))


def check_adapter_place(path: Path) -> None:
    """Find out whether an adapter file may be written before minutes of work depend on it.

    Another adapter may be replaced; anything else that is there is the person's.

    Raises
    ------
    StorageError
        If something else has that name, or nothing can be written there.
    """
    check_writable(path)
    if not path.exists() or is_empty(path):
        return
    try:
        read_card(path)
    except CheckpointError as error:
        raise StorageError(
            f"{path} is there already and is not an adapter of this program, so it is not "
            "overwritten. Choose another name for the adapter file."
        ) from error


def _guess_at(path: Path) -> str:
    """Say what a file that is no adapter looks like, and what to do; nothing in it is executed."""
    names: list[str] = []
    with contextlib.suppress(OSError, ValueError, zipfile.BadZipFile):
        names = tensor_names(path)
    method = other_method(names)
    if method == OURS:
        return "It has an adapter's tensors: take the file as it was written here."
    if method:
        what_to_do = "" if method == ORIGINAL else " Give an adapter that was trained here."
        return f"It looks like a checkpoint of {method}.{what_to_do}"
    if any("image_encoder.patch_embed." in name for name in names):
        return (
            "It looks like the weights of a SAM without an adapter: give them as a base model, "
            f"--model NAME@{path}, with the name of the model they are of, such as sam_vit_b."
        )
    if _is_of_torch(path):
        return (
            "It looks like a PyTorch checkpoint. One of the original SAM-Adapter becomes an "
            "adapter by 'napari-sam-adapter adapters import FILE --out ADAPTER'; SAM's own weights "
            "are chosen as a base model."
        )
    return "It may be cut short, of another program, or of another format."


def _is_of_torch(path: Path) -> bool:
    """Whether a file begins as those of torch.save, which are zip archives, or pickles before."""
    try:
        with path.open("rb") as stream:
            return stream.read(2) in (b"PK", b"\x80\x02", b"\x80\x04")
    except OSError:
        return False
