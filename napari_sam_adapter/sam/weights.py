"""Read weight files safely: by hash, and never by executing what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.at_a_glance import check_is_checkpoint, is_safetensors
from napari_sam_adapter.sam.weight_files import check_sha256

# What wrappers put before all names: DataParallel, torch.compile, Lightning, micro-sam.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "sam.")
_DEEPEST = 4  # a file may hold itself
_PYTHON_OBJECT = re.compile(r"GLOBAL (\S+)")


def load_state_dict(path: Path, sha256: str, *, only_shapes: bool = False) -> dict[str, Tensor]:
    """Load the state dict of a file that has exactly the expected content.

    Parameters
    ----------
    path : Path
        A file written by ``torch.save``.
    sha256 : str
        Expected hexadecimal digest of the file.
    only_shapes : bool
        Leave the values of the tensors in the file.

    Returns
    -------
    dict of str to Tensor
        On the CPU; of shapes alone, on torch's device "meta".

    Raises
    ------
    WeightsError
        If the file is missing, differs from the published one, or holds no table of tensors, or
        Python objects beside it.
    """
    check_sha256(path, sha256)
    return flat_state(read_plain(path, only_shapes=only_shapes), path)


def read_plain(path: Path, *, only_shapes: bool = False) -> Any:
    """Read a file of ``torch.save`` that holds tensors and plain containers only, or safetensors.

    Raises
    ------
    WeightsError
        If it cannot be read, or holds anything else; nothing in it is executed.
    """
    try:
        check_is_checkpoint(path)
        if is_safetensors(path):
            return _shapes_of(path) if only_shapes else load_file(path)
        # The one place that calls torch.load; weights_only refuses pickled code. Its reader fails
        # with whatever error comes first where a file is no pickle at all.
        device = "meta" if only_shapes else "cpu"
        return torch.load(path, map_location=device, weights_only=True)  # noqa: TID251
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path} could not be read ({error.strerror or error}).") from error
    except Exception as error:
        raise WeightsError(f"{path} was not loaded: {_reason(error)}.") from error


def _shapes_of(path: Path) -> dict[str, Tensor]:
    """Read a file of safetensors without the values of its tensors."""
    with safe_open(path, framework="pt") as tensors:
        return {
            name: torch.empty(tensors.get_slice(name).get_shape(), device="meta")
            for name in tensors.keys()  # noqa: SIM118 - it is no dict
        }


def _reason(error: Exception) -> str:
    """Say why torch refuses a file; its own words advise to run what is in it."""
    if found := _PYTHON_OBJECT.search(str(error)):
        return (
            f"beside tensors it holds {found[1]}, and loading Python objects can run any program. "
            "Save its tensors alone, with torch.save(model.state_dict(), FILE), where it was made"
        )
    return "it is damaged, or only a part of the file"


def flat_state(content: Any, path: Path) -> dict[str, Tensor]:
    """Return a model's state dict without what training scripts put around it.

    The state dict may lie in others, beside an optimizer's and numbers of all kinds: the largest
    table of tensors is taken. What all names begin with is taken off if it only says ``module`` or
    the like.

    Raises
    ------
    WeightsError
        If there is no table of tensors.
    """
    state = max(_tables(content), key=len, default={})  # the first of several
    if not state:
        raise WeightsError(f"{path} was not loaded: there is no table of tensors in it.")
    while prefix := next((p for p in _WRAPPERS if all(key.startswith(p) for key in state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers alone, neither NaN nor infinite ones."""
    return bool(torch.isfinite(tensor).all())


def _tables(content: Any, depth: int = 0) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors with names of each dict in a checkpoint, the outermost first."""
    if not isinstance(content, dict) or depth > _DEEPEST:
        return
    yield {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    for value in content.values():
        yield from _tables(value, depth + 1)
