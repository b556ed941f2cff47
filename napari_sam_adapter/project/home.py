"""Where projects are: the one chosen last, else a default one in a folder of our own."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.storage import write_atomically

HOME_VARIABLE = "NAPARI_SAM_ADAPTER_HOME"


def default_folder() -> Path:
    """Return the project that is open when nobody says otherwise.

    The environment variable ``NAPARI_SAM_ADAPTER_HOME`` moves the folder of our own. Adapters that
    version 0.1 kept there move into the default project.

    Raises
    ------
    StorageError
        If they cannot be moved; they stay where they are.
    """
    try:
        chosen = Path((_home() / "folder.txt").read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return _default()
    return chosen if chosen.is_dir() else _default()


def remember_folder(folder: Path) -> None:
    """Let `default_folder` return this folder from now on.

    Raises
    ------
    StorageError
        If that cannot be written down.
    """
    write_atomically(_home() / "folder.txt", str(folder.resolve()).encode())


def _default() -> Path:
    folder, before = _home() / "projects" / "default", _home() / "adapters"
    if before.is_dir() and not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.replace(before, folder)  # bare adapters: `Project` makes a project of them
        except OSError as error:
            raise StorageError(
                f"The adapters in {before} could not be moved to {folder}: "
                f"{error.strerror or error}. None is lost; make the folder writable."
            ) from error
    return folder


def _home() -> Path:
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) if home else Path(platformdirs.user_data_dir("napari-sam-adapter", False))
