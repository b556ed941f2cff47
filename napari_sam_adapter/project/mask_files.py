"""The masks of an image as TIFF files, a slice each, for people and programs without us.

The journal is what counts; these files follow it a moment later. Each tells after which line of the
journal it was written, so that it can stand in where the journal is damaged.
"""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.storage import write_atomically
from napari_sam_adapter.volume import SliceIndex

SECONDS_TO_SETTLE = 1.0  # while a slice is painted on, its file is not written at every stroke


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
            page = file.pages[0]
            return int(json.loads(page.tags["ImageDescription"].value)["n"]), page.asarray()
    except (OSError, ValueError, KeyError, TypeError, IndexError, tifffile.TiffFileError):
        return None


class MaskFiles:
    """Writes changed slices in a thread of its own.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting: dict[SliceIndex, tuple[int, np.ndarray, float]] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="masks", daemon=True)
        self._thread.start()

    def put(self, index: SliceIndex, n: int, labels: np.ndarray) -> None:
        """Let a slice be written soon.

        Parameters
        ----------
        index : tuple of int
        n : int
            Journal line that made it what it is.
        labels : ndarray of int, shape (Y, X)
            Not changed in place from now on.
        """
        with self._changed:
            self._waiting[index] = (n, labels, time.monotonic())
            self._changed.notify_all()

    def close(self, timeout: float = 10.0) -> None:
        """Write what waits, and end. What cannot be written is in the journal."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._closing:
                    self._changed.wait_for(lambda: self._closing, SECONDS_TO_SETTLE)
                if self._closing and not self._waiting:
                    return
                ready = time.monotonic() - SECONDS_TO_SETTLE
                batch = {
                    index: (n, labels)
                    for index, (n, labels, since) in self._waiting.items()
                    if since <= ready or self._closing
                }
            for index, (n, labels) in batch.items():
                self._write(index, n, labels)
                if self._waiting[index][0] == n:
                    with self._changed:
                        del self._waiting[index]

    def _write(self, index: SliceIndex, n: int, labels: np.ndarray) -> None:
        try:
            self.folder.mkdir(exist_ok=True)  # not the record: it may have been moved
            write_mask(self.folder / mask_name(index), n, labels)
        except (StorageError, OSError):
            # The journal has it, and says that the disk is full; the next stroke tries again.
            return
