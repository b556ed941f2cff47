"""A folder of our own: which project is chosen, else a default one, and how the dock is folded."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import platformdirs

from napari_sam_adapter.errors import SamAdapterError, StorageError
from napari_sam_adapter.storage import write_atomically

HOME_VARIABLE = "NAPARI_SAM_ADAPTER_HOME"
Opened = TypeVar("Opened")


def open_home(open_one: Callable[[Path], Opened]) -> tuple[Opened, str]:
    """Open the project that is open when nobody says otherwise.

    That is the one chosen last, else a default one. The environment variable
    ``NAPARI_SAM_ADAPTER_HOME`` moves the folder of our own that holds both the default project and
    the choice. Adapters that version 0.1 kept there move into the default project.

    Where a project cannot be opened another one takes its place, so that the person can read why
    and choose; the choice itself stays, for when its drive is there again.

    Parameters
    ----------
    open_one : callable
        Opens the project in a folder, or raises a `SamAdapterError`.

    Returns
    -------
    (opened, trouble) : (object, str)
        What ``open_one`` has returned, and what the person should know of it.
    """
    chosen, default = _chosen(), _home() / "projects" / "default"
    troubles: list[str] = []
    if chosen is not None and chosen != default:
        try:
            return open_one(_present(chosen)), ""
        except SamAdapterError as error:
            troubles.append(f"The project chosen last is not open. {error}")
    try:
        return open_one(_with_first_adapters(default)), _told(troubles, default)
    except SamAdapterError as error:
        troubles.append(f"The default project is not open. {error}")
    second = default.with_name("default-2")
    with contextlib.suppress(SamAdapterError):
        return open_one(second), _told(troubles, second)
    # Nothing is written there before there is something to keep.
    last = Path(tempfile.gettempdir()) / f"napari-sam-adapter-{uuid.uuid4().hex[:8]}"
    return open_one(last), _told(troubles, last)


def remember_folder(folder: Path) -> None:
    """Let `open_home` open this folder from now on.

    Raises
    ------
    StorageError
        If that cannot be written down.
    """
    write_atomically(_home() / "folder.txt", str(folder.resolve()).encode())


def refuge_for(project: Path) -> Path:
    """Return a new path for an adapter of a project that may be gone when it is finished."""
    return _home() / "rescued" / f"{project.name}-{uuid.uuid4().hex[:8]}.safetensors"


def folded_sections() -> frozenset[str]:
    """Return the titles of the dock's sections that were folded when it was closed."""
    with contextlib.suppress(OSError, ValueError):
        return frozenset((_home() / "folded.txt").read_text(encoding="utf-8").splitlines())
    return frozenset()


def remember_folded(titles: Iterable[str]) -> None:
    """Let `folded_sections` return these from now on.

    Raises
    ------
    StorageError
        If that cannot be written down.
    """
    write_atomically(_home() / "folded.txt", "\n".join(titles).encode())


def _chosen() -> Path | None:
    with contextlib.suppress(OSError, ValueError):
        folder = Path((_home() / "folder.txt").read_text(encoding="utf-8").strip())
        return folder if folder.is_absolute() else None  # a torn file names no folder
    return None


def _present(folder: Path) -> Path:
    """Refuse a folder that is gone. Where a drive was, there may be an empty one."""
    try:
        is_there = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise StorageError(f"{folder} could not be read: {error.strerror or error}.") from error
    if not is_there:
        raise StorageError(f"There is nothing in {folder}: is its drive connected?")
    return folder


def _told(troubles: list[str], folder: Path) -> str:
    if not troubles:
        return ""
    return (
        f"{' '.join(troubles)} {folder} is open instead, and what you do is kept "
        "there. Open the other one by ⋯ beside the project's name once that is mended."
    )


def _with_first_adapters(default: Path) -> Path:
    before = _home() / "adapters"
    try:
        if before.is_dir() and not default.exists():
            default.parent.mkdir(parents=True, exist_ok=True)
            os.replace(before, default)  # bare adapters: `Project` makes a project of them
    except OSError as error:
        raise StorageError(
            f"The adapters in {before} could not be moved to {default}: "
            f"{error.strerror or error}. None is lost; make the folder writable."
        ) from error
    return default


def _home() -> Path:
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) if home else Path(platformdirs.user_data_dir("napari-sam-adapter", False))
