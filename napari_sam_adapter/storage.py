"""Write files so that a crash, a full disk or a power cut leaves the old content or the new."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from napari_sam_adapter.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content in one step.

    Parameters
    ----------
    path : Path
        Its folder is made if it is missing.
    content : bytes

    Raises
    ------
    StorageError
        If the content cannot be written. What stood at ``path`` is still there, and no temporary
        file is left behind.
    """
    # In the same folder: only within one file system is the final rename atomic. Opened the plain
    # way, not by tempfile, whose files nobody else in the lab could read.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"{path} could not be written: {error.strerror or error}. What was there before is "
            "unchanged; free some space or choose another folder, then save again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: Path) -> None:
    """Find out whether a file can be written before minutes of work depend on it.

    Raises
    ------
    StorageError
        If ``path`` is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise StorageError(f"{path} is a folder; name a file in it.")
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}.") from error
