"""The masks of an image as TIFF files, a slice each, for people and programs without us.

The journal is what counts; these files follow it a moment later. Each tells after which line of the
journal it was written, so that it can stand in where the journal is damaged.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from napari_sam_adapter.annotations.packed_labels import PackedLabels
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.storage import forget_unfinished, write_atomically
from napari_sam_adapter.volumes.slice_source import SliceIndex

MASKS = "masks"
SECONDS_TO_SETTLE = 1.0  # while a slice is painted on, its file is not written at every stroke
SECONDS_BETWEEN_TRIES = 1.0
_UNUSABLE = (OSError, ValueError, KeyError, TypeError, IndexError, tifffile.TiffFileError)


def mask_name(index: SliceIndex) -> str:
    """Name the file of a slice: ``0007.tif``, ``0002-0007.tif``; ``image.tif`` without slider."""
    return ("-".join(f"{position:04d}" for position in index) or "image") + ".tif"


def write_mask(path: Path, n: int, labels: np.ndarray) -> None:
    """Write one slice, atomically, into a folder that is there.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, labels, compression="zlib", description=json.dumps({"n": n}), metadata=None
    )
    write_atomically(path, buffer.getvalue(), makes_folder=False)


def read_mask_file(path: Path) -> tuple[int, np.ndarray] | None:
    """Return the journal line and the labels (Y, X) of a file; None where it cannot be used."""
    try:
        with tifffile.TiffFile(path) as file:
            return _line_of(file), file.pages[0].asarray()
    except _UNUSABLE:
        return None


def mask_lines(folder: Path, slider_shape: tuple[int, ...]) -> dict[SliceIndex, int]:
    """Return the journal line of each file, without reading its pixels.

    Parameters
    ----------
    folder : Path
    slider_shape : tuple of int
        Of the image; files of slices that it does not have are left out, as are unusable ones.
    """
    found = {}
    for path in folder.glob("*.tif"):
        index = _index_of(path, slider_shape)
        if index is None:
            continue
        try:
            with tifffile.TiffFile(path) as file:
                found[index] = _line_of(file)
        except _UNUSABLE:
            continue
    return found


def _line_of(file: tifffile.TiffFile) -> int:
    return int(json.loads(file.pages[0].tags["ImageDescription"].value)["n"])


def _index_of(path: Path, slider_shape: tuple[int, ...]) -> SliceIndex | None:
    try:
        index = () if path.stem == "image" else tuple(int(part) for part in path.stem.split("-"))
    except ValueError:
        return None
    is_inside = len(index) == len(slider_shape) and all(
        0 <= position < size for position, size in zip(index, slider_shape, strict=True)
    )
    return index if is_inside and mask_name(index) == path.name else None


@dataclass(slots=True)
class _Waiting:
    n: int
    labels: np.ndarray | PackedLabels
    due: float


class MaskFiles:
    """Writes changed slices in a thread of its own.

    A file is written a second after the first change that it does not hold, and never before the
    journal. What cannot be written is tried again, and once more when it is closed; the journal has
    it all the same.

    Parameters
    ----------
    folder : Path
        Made when the first file is written; the record it lies in must be there.
    acknowledged : callable
        Returns the number of the last journal line that is on the disk.
    """

    def __init__(self, folder: Path, acknowledged: Callable[[], int]) -> None:
        self.folder, self._acknowledged = folder, acknowledged
        # In the order in which they are due.
        self._waiting: dict[SliceIndex, _Waiting] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._end = 0.0  # until when there is time then
        self._thread = threading.Thread(target=self._run, name="masks", daemon=True)
        self._thread.start()

    def put(self, index: SliceIndex, n: int, labels: np.ndarray | PackedLabels) -> None:
        """Let a slice be written soon.

        Parameters
        ----------
        index : tuple of int
        n : int
            Journal line that made it what it is.
        labels : ndarray of int, shape (Y, X), or PackedLabels
            Not changed in place from now on. Packed where many slices come at once: those of a
            large volume would not fit into memory.
        """
        with self._changed:
            before = self._waiting.get(index)
            due = time.monotonic() + SECONDS_TO_SETTLE if before is None else before.due
            self._waiting[index] = _Waiting(n, labels, due)
            self._changed.notify_all()

    def close(self, timeout: float = 10.0) -> None:
        """Write what waits, and end. What cannot be written is in the journal."""
        with self._changed:
            self._closing, self._end = True, time.monotonic() + timeout
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        forget_unfinished(self.folder)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    break
                index, first = next(iter(self._waiting.items()))
                if first.due > time.monotonic():
                    self._changed.wait(first.due - time.monotonic())
                    continue
            if not self._write(index, first):
                with self._changed:
                    # The others come first; the disk is not asked more often than so.
                    self._waiting[index] = self._waiting.pop(index)
                    self._changed.wait_for(lambda: self._closing, SECONDS_BETWEEN_TRIES)
        for index, last in list(self._waiting.items()):
            if time.monotonic() < self._end:
                self._write(index, last)

    def _write(self, index: SliceIndex, waiting: _Waiting) -> bool:
        if waiting.n > self._acknowledged():
            return False  # else a killed program would leave masks of which nobody knows whose
        labels = waiting.labels
        if isinstance(labels, PackedLabels):
            labels = labels.unpacked()
        try:
            self.folder.mkdir(exist_ok=True)  # not the record: it may have been moved
            write_mask(self.folder / mask_name(index), waiting.n, labels)
        except (StorageError, OSError):
            return False  # the journal says so, if it does not fit either
        with self._changed:
            if self._waiting[index] is waiting:
                del self._waiting[index]
            else:  # changed meanwhile
                now = self._waiting.pop(index)
                now.due = time.monotonic() + SECONDS_TO_SETTLE
                self._waiting[index] = now
        return True
