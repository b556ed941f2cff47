"""JSON files with a format and a schema version: written atomically, refused where newer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.storage import write_atomically

SCHEMA_VERSION = 1


def read_described(path: Path, kind: str) -> dict[str, Any]:
    """Read a JSON file of ours.

    Parameters
    ----------
    path : Path
    kind : str
        What it must be, e.g. ``napari-sam-adapter project``.

    Raises
    ------
    StorageError
        If it cannot be read, is something else, or of a newer schema than this version knows.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} could not be read ({error}). Nothing was changed; restore the file from a "
            "copy, or choose another folder."
        ) from error
    if not isinstance(values, dict) or values.get("format") != kind:
        raise StorageError(f"{path} is no {kind}. Nothing was changed; choose another folder.")
    version = values.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise StorageError(f"{path} has no schema version. Nothing was changed.")
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} has schema version {version}; this program reads up to {SCHEMA_VERSION}. "
            "Nothing was changed; update napari-sam-adapter to open it."
        )
    return values


def write_described(
    path: Path, kind: str, values: Mapping[str, Any], *, makes_folder: bool = True
) -> None:
    """Write a JSON file of ours, see `storage.write_atomically`.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    content = {"format": kind, "schema_version": SCHEMA_VERSION, **values}
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, text.encode(), makes_folder=makes_folder)
