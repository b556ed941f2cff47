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
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"{path} could not be written: {error.strerror or error}. What was there before is "
            "unchanged; free some space or choose another folder, then save again."
        ) from error
