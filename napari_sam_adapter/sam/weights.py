"""Read weight files safely: by hash, and never by executing what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.weight_files import check_sha256


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
    check_sha256(path, sha256)
    return flat_state(read_plain(path), path)


def read_plain(path: Path) -> Any:
    """Read a file of ``torch.save`` that holds tensors and plain containers only.

    Raises
    ------
    WeightsError
        If it cannot be read, or holds anything else; nothing in it is executed.
    """
    # The one place that calls torch.load; weights_only refuses pickled code. Its reader fails with
    # whatever error comes first where a file is no pickle at all.
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise WeightsError(
            f"{path} does not hold plain tensors and was not loaded ({reason})."
        ) from error


def flat_state(content: Any, path: Path) -> dict[str, Tensor]:
    """Return a state dict that is known to be flat.

    Raises
    ------
    WeightsError
        If it is no table of tensors.
    """
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} does not hold a flat table of tensors.")
    return dict(content)
