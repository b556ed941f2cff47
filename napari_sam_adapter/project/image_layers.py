"""What a person's own layers say about an image, besides masks: boxes, points, voxel sizes.

A small JSON file per image, whatever masks layers it has. It is replaced as a whole, in a thread of
its own, and waits in memory where the disk is full.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.journal import SECONDS_BETWEEN_TRIES
from napari_sam_adapter.schema import read_described, write_described
from napari_sam_adapter.storage import make_folder, write_atomically

KINDS = ("object", "background")
SHAPES = ("rectangle", "ellipse", "polygon", "path", "line")
_KIND = "napari-sam-adapter layers"
Position = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ImageLayers:
    """What is said about an image; positions are in its pixels.

    Attributes
    ----------
    scale : tuple of float or None
        Size of a pixel along each axis, where somebody typed it: the image's file brings none.
    units : tuple of str or None
        Of these sizes.
    boxes : tuple of (str, tuple of Position)
        Type and corners of each shape, see `SHAPES`. Positions are (..., Y, X), one value per axis
        of the image; (Y, X) alone are in every slice.
    points : tuple of (Position, str)
        Each with its kind, see `KINDS`.
    """

    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    boxes: tuple[tuple[str, tuple[Position, ...]], ...] = ()
    points: tuple[tuple[Position, str], ...] = ()

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> ImageLayers:
        """Read the content of the file.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        try:
            scale, units = values.get("scale"), values.get("units")
            read = cls(
                None if scale is None else _position(scale),
                None if units is None else tuple(map(str, units)),
                tuple(
                    (one["type"], tuple(_position(corner) for corner in one["corners"]))
                    for one in values["boxes"]
                ),
                tuple((_position(one["at"]), one["kind"]) for one in values["points"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a value is missing or of another type: {error}") from error
        unknown = {kind for kind, _ in read.boxes}.difference(SHAPES)
        unknown |= {kind for _, kind in read.points}.difference(KINDS)
        if unknown or any(len(corners) < 2 for _, corners in read.boxes):
            raise ValueError(f"it holds shapes or points that are none: {sorted(unknown)}")
        return read

    def values(self) -> dict[str, Any]:
        """Return the content of the file."""
        typed: dict[str, Any] = {} if self.scale is None else {"scale": self.scale}
        if self.scale is not None and self.units is not None:
            typed["units"] = self.units
        return {
            **typed,
            "boxes": [{"type": kind, "corners": corners} for kind, corners in self.boxes],
            "points": [{"at": position, "kind": kind} for position, kind in self.points],
        }


class LayersFile:
    """The file of one image, locked while it is open.

    Parameters
    ----------
    folder : Path
        Of all such files of a project.
    digest, name : str
        Of the image: the file is named by the first, people know it by the second.
    told : callable, optional
        Called in the writing thread with a sentence when writing fails, and with "" when it works
        again; by `flush` when it takes long.

    Attributes
    ----------
    contents : ImageLayers
        What was put here last, written or not.

    Raises
    ------
    StorageError
        If it is open elsewhere, damaged, or newer than this program.
    """

    def __init__(
        self,
        folder: Path,
        digest: str,
        name: str,
        told: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.path, self._name, self._told = layers_path(folder, digest), name, told
        self._lock = _locked(self.path)
        try:
            self.contents = _read(self.path)
        except BaseException:
            self._lock.release()
            raise
        self._waiting: ImageLayers | None = None
        self._keeps_former = False
        self._closing = False
        self._problem = ""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="image layers", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why what was put here does not reach the disk; "" where it does."""
        return self._problem

    def put(self, contents: ImageLayers, *, keep_former: bool = False) -> None:
        """Let the file say this soon.

        Parameters
        ----------
        contents : ImageLayers
        keep_former : bool
            Whether what the file says now is kept in another one, named after the time.
        """
        with self._changed:
            self.contents = self._waiting = contents
            self._keeps_former |= keep_former
            self._changed.notify_all()

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until what was put here is written, or a problem keeps it from that.

        Returns
        -------
        bool
            Whether it is written. That it takes longer than `timeout` is a problem, too.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None or self._problem, timeout)
            is_written = self._waiting is None
            if not is_written and not self._problem:
                self._say(f"Boxes and points of {self._name} are still being written.")
        return is_written

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, and let others open the file.

        Raises
        ------
        StorageError
            If it could not be written; it is lost then.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        self._lock.release()
        if self._waiting is not None:
            reason = self._problem or "no time was left"
            raise StorageError(f"Boxes and points of {self._name} are lost: {reason}")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                waiting, keeps_former = self._waiting, self._keeps_former
                self._keeps_former = False
            if waiting is None:
                return
            try:
                self._write(waiting, keeps_former)
            except (StorageError, OSError) as error:
                self._say(
                    f"{error} Boxes and points are kept in memory and tried again each second: do "
                    "not close the window."
                )
                with self._changed:
                    self._keeps_former |= keeps_former
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, SECONDS_BETWEEN_TRIES)
                continue
            with self._changed:
                if self._waiting is waiting:
                    self._waiting = None
                self._say("")

    def _write(self, contents: ImageLayers, keep_former: bool) -> None:
        if keep_former and self.path.exists():
            at = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
            former = self.path.with_name(f"{self.path.stem}.until-{at}.json")
            write_atomically(former, self.path.read_bytes(), makes_folder=False)
        values = {"name": self._name, **contents.values()}
        write_described(self.path, _KIND, values, makes_folder=False)

    def _say(self, problem: str) -> None:
        with self._changed:
            is_news = problem != self._problem
            self._problem = problem
            self._changed.notify_all()
        if is_news:
            self._told(problem)


def layers_path(folder: Path, digest: str) -> Path:
    """Return where the file of an image is, or would be."""
    return folder / f"{digest}.json"


def rename_layers(folder: Path, digest: str, new_digest: str) -> None:
    """Name the file of an image by another digest.

    Raises
    ------
    StorageError
        If it is open elsewhere, or cannot be renamed.
    """
    path = layers_path(folder, digest)
    lock = _locked(path)
    try:
        os.replace(path, layers_path(folder, new_digest))
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        lock.release()


def _read(path: Path) -> ImageLayers:
    if not path.exists():
        return ImageLayers()
    values = read_described(path, _KIND)
    try:
        return ImageLayers.of_values(values)
    except ValueError as error:
        raise StorageError(
            f"{path} is damaged: {error}. It is left as it is, and boxes and points of this image "
            "are not recorded: move it elsewhere, then choose the image again."
        ) from error


def _locked(path: Path) -> FileLock:
    try:
        make_folder(path.parent)
        lock = FileLock(path.with_suffix(".lock"), timeout=0, thread_local=False)
        lock.acquire()
    except Timeout as error:
        raise StorageError(
            "The boxes and points of this image are open in another window. Those drawn here are "
            "not recorded while it is: close it there."
        ) from error
    except OSError as error:
        raise _unwritten(path, error) from error
    return lock


def _unwritten(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} could not be written: {error.strerror or error}. Boxes and points are not "
        "recorded: choose another project folder."
    )


def _position(values: Sequence[Any]) -> Position:
    """Read a position or sizes; JSON may hold numbers that are none."""
    position = tuple(float(value) for value in values)
    if not all(map(isfinite, position)) or len(position) < 2:
        raise ValueError(f"{list(values)} is no position in an image")
    return position
