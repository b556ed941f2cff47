"""Folders of bare adapter files, as version 0.1 kept them before there were projects."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari_sam_adapter.errors import StorageError

_BARE = re.compile(r"adapter-\d{4,}\.safetensors|active\.json")


def move_bare_adapters(folder: Path) -> bool:
    """Move adapter files to where a project has them; where that was interrupted, it goes on.

    Returns
    -------
    bool
        Whether there were any.

    Raises
    ------
    StorageError
        If the folder cannot be read, or they cannot be moved; none is lost.
    """
    try:
        bare = [path for path in folder.iterdir() if _BARE.fullmatch(path.name)]
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{folder} could not be read: {error.strerror or error}.") from error
    if not bare:
        return False
    try:
        (folder / "adapters").mkdir(exist_ok=True)
        # What says which version is in use goes last: until then it is read here again.
        for path in sorted(bare, key=lambda one: one.suffix == ".json"):
            os.replace(path, folder / "adapters" / path.name)
    except OSError as error:
        raise StorageError(
            f"{folder} holds adapters of an earlier version, and they could not be moved "
            f"into its folder 'adapters': {error.strerror or error}. None is lost; make the "
            "folder writable, or choose another."
        ) from error
    return True
