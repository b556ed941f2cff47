"""Write files so that a crash, a full disk or a power cut leaves the old content or the new."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from filelock import FileLock, Timeout

from napari_sam_adapter.errors import StorageError

# How long a window waits for another one that changes a file; that takes milliseconds.
LOCK_SECONDS = 5.0
# As the functions below name what they write; nobody else's file is called so.
_UNFINISHED = re.compile(r"\..+\.(safetensors|json|tif)\.[0-9a-f]{8}")
_DAY = 24 * 3600.0
# What the system says where somebody may read, and not write.
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def write_atomically(path: Path, content: bytes, *, makes_folder: bool = True) -> None:
    """Replace a file's content in one step.

    Parameters
    ----------
    path : Path
    content : bytes
    makes_folder : bool
        Whether its folder is made if it is missing. Not where it was there before: one that was
        moved or renamed meanwhile must not come into being again, half empty, at its old place.

    Raises
    ------
    StorageError
        If the content cannot be written. What stood at ``path`` is still there, and no temporary
        file is left behind.
    """
    with replaced_when_done(path, makes_folder=makes_folder) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replaced_when_done(path: Path, *, makes_folder: bool = True) -> Iterator[Path]:
    """Give a name to write a big file under, piece by piece, and put it in place at the end.

    Parameters
    ----------
    path : Path
    makes_folder : bool
        Whether its folder is made if it is missing, see `write_atomically`.

    Yields
    ------
    Path
        In the same folder. The file written there replaces ``path`` when the block ends; if it ends
        with an error, what stood at ``path`` is still there, and nothing else.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    # In the same folder: only within one file system is the final rename atomic. Opened the plain
    # way, not by tempfile, whose files nobody else in the lab could read.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        if makes_folder:
            make_folder(path.parent)
        yield temporary
        with temporary.open("r+b") as stream:
            sync(stream.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.parent.exists():
            raise _is_gone(path) from error
        raise StorageError(
            f"{path} could not be written: {error.strerror or error}. What was there before is "
            "unchanged; free some space, or choose another folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def reason_of(error: StorageError) -> str:
    """Return what the system said, for a sentence of one's own; else the whole error."""
    cause = error.__cause__
    return str((cause.strerror if isinstance(cause, OSError) else None) or error)


def _is_gone(path: Path) -> StorageError:
    return StorageError(
        f"{path} could not be written: its folder is gone. If it was moved or renamed, bring it "
        "back, or choose it where it is now."
    )


@contextlib.contextmanager
def held(lock: FileLock, *, makes_folder: bool = True) -> Iterator[None]:
    """Change files that other windows change too, one window at a time.

    Parameters
    ----------
    lock : FileLock
        It may be held already, in the same thread.
    makes_folder : bool
        Whether its folder is made if it is missing, see `write_atomically`.

    Raises
    ------
    StorageError
        If another window does not let go of it, or it cannot be written. Nothing was done then.
    """
    path = Path(lock.lock_file)
    try:
        if makes_folder:
            make_folder(path.parent)
        elif not path.parent.exists():
            raise _is_gone(path)  # FileLock would make it
        lock.acquire()
    except Timeout as error:
        raise StorageError(
            f"Another window is changing {path.parent} and does not come to an end. Nothing was "
            "changed; try again."
        ) from error
    except OSError as error:
        raise StorageError(
            f"{path} could not be written: {error.strerror or error}. Nothing was changed."
        ) from error
    try:
        yield
    finally:
        lock.release()


def moved_to_new(path: Path, target: Path) -> bool:
    """Give a file another name that nobody has: whole, or not at all.

    Returns
    -------
    bool
        Whether it has it now; False where something has that name already.

    Raises
    ------
    OSError
        If it cannot be moved; it is where it was then.
    """
    try:
        os.link(path, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: the name is taken first, and empty for a moment
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            return False
        os.replace(path, target)
        return True
    with contextlib.suppress(OSError):
        path.unlink()
    return True


def is_there(path: Path) -> bool:
    """Whether something has this name; not where its folder may not be looked into.

    `Path.exists` raises an error there.
    """
    return os.path.exists(path)


def is_missing(path: Path) -> bool:
    """Whether nothing has this name; not where a drive does not answer, which may do so again."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_empty(path: Path) -> bool:
    """Whether a program was killed when it had taken a name for a file, and written nothing."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def forget_unfinished(folder: Path) -> None:
    """Delete what programs that were killed were writing into a folder, a day ago or earlier."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _DAY:
                path.unlink()


def sync(file_number: int) -> None:
    """Wait until what was written to an open file is on the disk, and survives a power cut.

    Raises
    ------
    OSError
        If it cannot be brought there.
    """
    if fcntl is not None and hasattr(
        fcntl, "F_FULLFSYNC"
    ):  # macOS: fsync alone leaves it in the drive's own memory
        fcntl.fcntl(file_number, fcntl.F_FULLFSYNC)
    else:
        os.fsync(file_number)


def make_folder(folder: Path) -> None:
    """Make a folder, and those it lies in, so that a power cut does not take their names away.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Wait until new names in a folder are on the disk. Windows has no such call."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def check_writable(path: Path) -> None:
    """Find out whether a file can be written before minutes of work depend on it.

    Raises
    ------
    StorageError
        If ``path`` is a folder, or its folder cannot be made or written to.
    """
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        if path.is_dir():
            raise StorageError(f"{path} is a folder; name a file in it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}.") from error


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names are of the same file, however they are spelled, and there or not."""
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other.resolve()


def is_read_only(folder: Path) -> bool:
    """Whether a folder may be looked at, and not be written to: a file is made there to see."""
    probe = folder / f".probe.{uuid.uuid4().hex[:8]}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        return error.errno in _READ_ONLY
    return False
