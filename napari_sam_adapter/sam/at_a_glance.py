"""Look at a file of weights without loading it: is it one, whole, and of a SAM? No torch.

What is read of the pickle in it are its strings; nothing in it is executed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from napari_sam_adapter.adapter.other_methods import other_method, tensor_names
from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.registry import BASE_MODELS, base_model

ZIP, PICKLE = b"PK\x03\x04", b"\x80\x02"
ENCODER = "image_encoder."
# Architectures by what the names of their tensors tell: how many blocks a plain ViT has.
DEPTHS = {12: "vit_b", 24: "vit_l", 32: "vit_h"}
TINY_VITS = {"mobile_sam", "lite_medsam"}
_BLOCK = re.compile(r"image_encoder\.blocks\.(\d+)\.")
WHICH = "Choose a checkpoint of SAM, MobileSAM, MedSAM or LiteMedSAM."


def own_base(name: str) -> str:
    """Return the name of a base model with a file of one's own, unless it is evidently none.

    Parameters
    ----------
    name : str
        See `registry.base_model`.

    Raises
    ------
    WeightsError
        If there is no such model or file, or it is no checkpoint of a SAM, or of another one.
    """
    short, _, path = name.partition("@")
    file = Path(path).expanduser()
    if file.is_file():
        _check_is_of(short, file, check_is_sam(file))
    # Its hash takes seconds for a large file; once known, it is remembered.
    return base_model(name).name


def _check_is_of(asked: str, path: Path, names: Sequence[str]) -> None:
    """Refuse the weights of another base model than the one that is asked for."""
    blocks = {found[1] for name in names if (found := _BLOCK.search(name))}
    held = {DEPTHS[len(blocks)]} if len(blocks) in DEPTHS else set()
    if any(f"{ENCODER}layers." in name for name in names):
        held |= TINY_VITS
    model = BASE_MODELS.get(asked)
    if model is not None and held and model.architecture not in held:
        fitting = [one.name for one in BASE_MODELS.values() if one.architecture in held]
        raise WeightsError(
            f"{path} was not chosen: its tensors are those of {' or '.join(fitting)}, not of "
            f"{asked}. Choose the model that it is a version of, then this file for it."
        )


def check_is_checkpoint(path: Path) -> None:
    """Refuse a file that ``torch.save`` did not write, or not to its end.

    Raises
    ------
    WeightsError
        With what it is not.
    OSError
        If it cannot be read.
    """
    head = _beginning(path)
    # A zip archive, a pickle as torch wrote them before, or safetensors.
    if not head.startswith((ZIP, PICKLE)) and not is_safetensors(path):
        raise WeightsError(f"{path} was not loaded: it is no file that torch.save wrote.")
    if head.startswith(ZIP) and not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} was not loaded: it is damaged, or only a part of the file.")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: a length of eight bytes, then JSON."""
    head = _beginning(path)
    return head[8:] == b"{" and not head.startswith((ZIP, PICKLE))


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(9)


def check_is_sam(path: Path) -> list[str]:
    """Refuse what is evidently no checkpoint of a SAM, before it is chosen.

    Returns
    -------
    list of str
        The names of its tensors, as they are found in safetensors and in files as torch writes them
        today; of others the beginning alone is looked at, and loading them says more.

    Raises
    ------
    WeightsError
        If it is no checkpoint, damaged, or another model's or method's.
    """
    try:
        check_is_checkpoint(path)
        names = tensor_names(path)
    except OSError as error:
        raise WeightsError(f"{path} could not be read ({error.strerror or error}).") from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} was not loaded: it is damaged.") from error
    if not names and is_safetensors(path):  # where their names are, their lengths are, too
        raise WeightsError(f"{path} was not loaded: it is damaged, or only a part of the file.")
    if method := other_method(names):
        raise WeightsError(
            f"{path} is no base model: it looks like a checkpoint of {method}. {WHICH}"
        )
    if names and not any(ENCODER in name for name in names):
        raise WeightsError(
            f"{path} is no base model: a SAM has tensors named {ENCODER}…, and this file none. "
            f"{WHICH}"
        )
    return names
