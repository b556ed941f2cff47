"""What encoders made of slices, in files that outlive a process and that several processes share.

Nothing depends on them: whatever cannot be read or written is computed again, and nobody is told.
Each file is complete or not there, so readers, writers and those that delete need no locks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)

FOLDER_VARIABLE = "NAPARI_SAM_ADAPTER_FEATURES"
"""Environment variable that moves the folder, or is ``off``."""

FORMAT = "1"
GIGABYTE = 1024**3
FREE_BYTES_LEFT = GIGABYTE  # of the disk: the last of it belongs to the person
# Shares of the bound. A process looks at the folder once it has written `_STEP`, since others write
# there, too; down to `_AFTER` is deleted, so that two processes together stay below the bound.
_STEP, _FULL, _AFTER = 1 / 16, 7 / 8, 3 / 4
# Files of others in a folder of the person's choice are neither counted nor deleted.
_OURS = re.compile(r"\.?[0-9a-f]{40}\.safetensors(\.[0-9a-f]{8})?")


def features_folder() -> Path | None:
    """Return the folder of the files, which ``NAPARI_SAM_ADAPTER_FEATURES`` moves; None is off.

    So it is where the person has no home folder, as in some containers.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen == "off":
        return None
    with contextlib.suppress(RuntimeError):
        if chosen:
            return Path(chosen).expanduser()
        return Path(platformdirs.user_cache_dir("napari-sam-adapter", False)) / "features"
    return None


def open_feature_files(n_bytes: int) -> FeatureFiles | None:
    """Return the person's files with a bound of their own; None where none are wanted."""
    folder = features_folder()
    return None if folder is None or n_bytes <= 0 else FeatureFiles(folder, n_bytes)


def delete_feature_files() -> int:
    """Delete the person's files, and return how many there were."""
    folder = features_folder()
    return 0 if folder is None else FeatureFiles(folder, 0).clear()


class FeatureFiles:
    """A folder of files, one for each input of an encoder, the latest used up to a bound.

    Parameters
    ----------
    folder : Path
        Made when it is first written to; only its owner can look inside.
    n_bytes : int
        What all files together may take. One that takes more than a sixteenth of it is not kept.
    """

    def __init__(self, folder: Path, n_bytes: int) -> None:
        self.folder, self.n_bytes = folder, n_bytes
        self._room = 0.0

    def read(self, key: str) -> dict[str, Tensor] | None:
        """Return tensors by name, as they were written; None if they are not there or damaged."""
        path = self._path(key)
        try:
            features = _unpacked(path.read_bytes(), key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.debug("%s is computed again: %s", path, error)
            return None
        with contextlib.suppress(OSError):  # it is used where it may not be touched, too
            os.utime(path)
        return features

    def write(self, key: str, features: Mapping[str, Tensor]) -> None:
        """Keep tensors under a key of 40 hexadecimal digits, if there is room."""
        path = self._path(key)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            content = _packed(key, features)
            if not self._make_room(len(content)):
                return
            # Not `storage.write_atomically`: waiting for the disk would take longer than encoding,
            # and a file that a power cut has torn is known by its checksum.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
                stream.write(content)
            os.replace(temporary, path)
        except OSError as error:
            _log.debug("%s is not kept: %s", path, error)
            with contextlib.suppress(OSError):
                temporary.unlink()

    def clear(self) -> int:
        """Delete all files, and return how many there were."""
        return sum(_delete(path) for _, _, path in self._files())

    def size(self) -> int:
        """Return how many bytes all files take."""
        return sum(size for _, size, _ in self._files())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _make_room(self, size: int) -> bool:
        """Tell whether a file fits in, deleting those that were not used for longest."""
        if size > self.n_bytes * _STEP:
            return False
        if size > self._room:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = sorted(self._files())
            total = sum(one for _, one, _ in files)
            if total > self.n_bytes * _FULL:
                for _, one, path in files:
                    if total <= self.n_bytes * _AFTER:
                        break
                    total -= one if _delete(path) else 0
            free = shutil.disk_usage(self.folder).free - FREE_BYTES_LEFT
            self._room = min(self.n_bytes - total, self.n_bytes * _STEP, free)
        self._room -= size
        return self._room >= 0

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Iterate over time of last use, size and path of all files, unfinished ones, too."""
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if not _OURS.fullmatch(entry.name):
                        continue
                    try:
                        stat = entry.stat()
                    except FileNotFoundError:  # another process was faster
                        continue
                    yield stat.st_mtime, stat.st_size, Path(entry.path)
        except OSError as error:
            _log.debug("%s cannot be looked at: %s", self.folder, error)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        _log.debug("%s is not deleted: %s", path, error)
        return False
    return True


def _packed(key: str, features: Mapping[str, Tensor]) -> bytes:
    """Write tensors in the order in which they lie in memory, which is part of what they are.

    Kernels choose their way by it, and another way rounds otherwise.
    """
    from safetensors.torch import save

    orders, tensors = {}, {}
    for name, x in features.items():
        order = sorted(range(x.ndim), key=x.stride, reverse=True)
        orders[name] = order
        tensors[name] = x.detach().cpu().permute(order).contiguous()
    metadata = {
        "format": FORMAT,
        "key": key,
        "orders": json.dumps(orders),
        "checksum": str(_checksum(tensors)),
    }
    return save(tensors, metadata)


def _unpacked(content: bytes, key: str) -> dict[str, Tensor]:
    """Read what `_packed` has written.

    Raises
    ------
    ValueError
        If it is anything else, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        end = 8 + int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8:end])["__metadata__"]
        if (metadata["format"], metadata["key"]) != (FORMAT, key):
            raise ValueError("it is something else")
        tensors = load(content)
        if metadata["checksum"] != str(_checksum(tensors)):
            raise ValueError("it is damaged")
        features = {}
        for name, order in json.loads(metadata["orders"]).items():
            back = [order.index(axis) for axis in range(len(order))]
            # A copy lies as torch lays tensors out: where they begin decides how they are summed.
            features[name] = tensors[name].clone().permute(back)
    except (SafetensorError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    return features


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    import torch

    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, checksum)
    return checksum
