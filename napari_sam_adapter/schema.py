"""JSON files with a format and a schema version: written atomically, refused where newer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sam_adapter.errors import DamagedFileError, StorageError
from napari_sam_adapter.storage import write_atomically

SCHEMA_VERSION = 1


def read_described(path: Path, kind: str, *, was_bare: bool = False) -> dict[str, Any]:
    """Read a JSON file of ours.

    Parameters
    ----------
    path : Path
    kind : str
        What it must be, e.g. ``napari-sam-adapter project``.
    was_bare : bool
        Whether the first files of this kind named neither format nor schema.

    Raises
    ------
    StorageError
        If it cannot be read, is something else, or of a newer schema than this version knows.
    DamagedFileError
        If it is none of ours any more: torn, or changed by something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(_unread(path, error)) from error
    except ValueError as error:
        raise DamagedFileError(_unread(path, error)) from error
    if was_bare and isinstance(values, dict) and "format" not in values:
        values = {"format": kind, "schema_version": SCHEMA_VERSION, **values}
    if not isinstance(values, dict) or values.get("format") != kind:
        raise DamagedFileError(f"{path} is no {kind}. Nothing was changed; choose another folder.")
    version = values.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise DamagedFileError(f"{path} has no schema version. Nothing was changed.")
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} has schema version {version}; this program reads up to {SCHEMA_VERSION}. "
            "Nothing was changed; update napari-sam-adapter to open it."
        )
    return values


def read_if_there(path: Path, kind: str, *, was_bare: bool = False) -> dict[str, Any]:
    """Read a JSON file of ours that is only there once it has something to say.

    Only a file that is missing is empty: to take any other for empty would be to write over it.

    Raises
    ------
    StorageError
        As `read_described`.
    """
    return read_described(path, kind, was_bare=was_bare) if os.path.lexists(path) else {}


def put_aside(path: Path) -> Path:
    """Rename a damaged file, so that another may take its place, and return its new name.

    Raises
    ------
    StorageError
        If it cannot be renamed; it is where it was then.
    """
    count, aside = 1, path.with_name(f"{path.name}.damaged")
    while os.path.lexists(aside):
        count += 1
        aside = path.with_name(f"{path.name}.damaged-{count}")
    try:
        os.replace(path, aside)
    except OSError as error:
        raise StorageError(
            f"{path} is damaged, and could not be renamed: {error.strerror or error}. Nothing was "
            "changed; move it elsewhere, then try again."
        ) from error
    return aside


def _unread(path: Path, error: Exception) -> str:
    return (
        f"{path} could not be read ({error}). Nothing was changed; restore the file from a copy, "
        "or choose another folder."
    )


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
