"""What is needed to go on with a training run after its window was closed, or died.

``runs/<id>/`` of a project exists as long as a run is not finished: ``run.json`` says what is
learned from (a line of an image's journal) and how, ``state.checkpoint`` is where it stands.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from napari_sam_adapter.annotations.slice_history import SliceHistory
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.mask_files import mask_name
from napari_sam_adapter.project.mending import read_record
from napari_sam_adapter.schema import read_described, write_described
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.volumes.slice_source import SliceIndex

_KIND = "napari-sam-adapter run"
RUN_FILE, CHECKPOINT = "run.json", "state.checkpoint"


@dataclass(frozen=True, slots=True)
class RunPart:
    """The slices of one image that a run learns from.

    Attributes
    ----------
    record : str
        Folder of the image's record in the project.
    line : int
        Of its journal: the masks are those just before it.
    slices : tuple of slice index
    dtype : str
        Of the masks.
    """

    record: str
    line: int
    slices: tuple[SliceIndex, ...]
    dtype: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunPart:
        """Rebuild a part from JSON; KeyError, TypeError or ValueError if it is damaged."""
        slices = tuple(tuple(int(i) for i in index) for index in values["slices"])
        np.dtype(values["dtype"])
        return cls(str(values["record"]), int(values["line"]), slices, str(values["dtype"]))

    def known(self, project: Path) -> dict[SliceIndex, SliceHistory]:
        """Return the slices that are learned from.

        Raises
        ------
        StorageError
            If the record is not there, or damaged.
        """
        record = project / "images" / self.record
        identity = ImageIdentity.read(record)
        contents = read_record(record, identity)
        known = contents.slices(before=self.line, dtype=np.dtype(self.dtype))
        missing = [index for index in self.slices if index not in known]
        if missing:
            raise StorageError(
                f"The masks of {identity.name} in {record} are damaged: nothing is known of "
                f"{mask_name(missing[0])}, so they cannot be learned from."
            )
        return {index: known[index] for index in self.slices}


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run was asked to do.

    Attributes
    ----------
    run : str
        Its random name.
    parts : tuple of RunPart
        The image that is open first.
    base : str
        Base model.
    parent : str
        Adapter id it continues from; "" is the base model.
    config : mapping
        See `TrainingConfig.to_dict`.
    input_size : int or None
    class_names, class_colors : tuple of str
    conditions : mapping of str to float, or None
        By name; None are the base model's own, or those of the parent.
    follows : str
        Name of the run whose next gear it is; "" for one that the person asked for.
    then : tuple of mapping
        Settings of the gears that are to follow it, as ``config``.
    learns_from_others : bool
        Whether these are to learn from the project's other images, too.
    """

    run: str
    parts: tuple[RunPart, ...]
    base: str
    parent: str
    config: Mapping[str, Any]
    input_size: int | None = None
    class_names: tuple[str, ...] = ()
    class_colors: tuple[str, ...] = ()
    conditions: Mapping[str, float] | None = field(default=None)
    follows: str = ""
    then: tuple[Mapping[str, Any], ...] = ()
    learns_from_others: bool = True

    @property
    def n_slices(self) -> int:
        """How many slices it learns from."""
        return sum(len(part.slices) for part in self.parts)

    def described(self) -> dict[str, Any]:
        """Return what the journal of the open image says of it, for JSON."""
        follows = {"follows": self.follows} if self.follows else {}
        return {
            "run": self.run,
            **follows,
            "parts": [asdict(part) for part in self.parts],
            "base": self.base,
            "parent": self.parent,
            "config": dict(self.config),
        }


class RunFolder:
    """The folder of a run that goes on; locked, so that another window leaves it alone.

    Parameters
    ----------
    project : Path
    plan : RunPlan

    Raises
    ------
    StorageError
        If it cannot be written, or another window has it.
    """

    def __init__(self, project: Path, plan: RunPlan) -> None:
        self.folder = project / "runs" / plan.run
        self.plan = plan
        self._lock = FileLock(project / "runs" / f"{plan.run}.lock", timeout=0, thread_local=False)
        try:
            self.folder.parent.mkdir(exist_ok=True)  # not the project: it may have been moved
            self.folder.mkdir(exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise StorageError("This run goes on in another window.") from error
        except OSError as error:
            raise StorageError(
                f"{self.folder} could not be written: {error.strerror or error}."
            ) from error
        if not (self.folder / RUN_FILE).exists():
            write_described(self.folder / RUN_FILE, _KIND, asdict(plan))

    @property
    def checkpoint(self) -> RunCheckpoint:
        """Where the run writes its state, and goes on from if there is one."""
        return RunCheckpoint(
            self.folder / CHECKPOINT, resume=True, belongs_to=self.folder / RUN_FILE
        )

    def finish(self) -> None:
        """Remove everything: the run has ended, well or not. A drive may keep what it wants."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.leave()
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def leave(self) -> None:
        """Let another window go on with it."""
        with contextlib.suppress(OSError):  # a drive that does not answer
            self._lock.release()


def unfinished_runs(project: Path) -> list[RunPlan]:
    """List the runs of a project that nobody goes on with; damaged ones are left out.

    On a drive that does not answer there are none for now.
    """
    found: list[RunPlan] = []
    try:
        paths = sorted((project / "runs").glob(f"*/{RUN_FILE}"))
    except OSError:
        return found
    for path in paths:
        lock = FileLock(path.parent.with_suffix(".lock"), timeout=0, thread_local=False)
        try:
            with lock:
                found.append(_plan_in(path))
        except (Timeout, OSError, StorageError):
            continue
    return found


def _plan_in(path: Path) -> RunPlan:
    values = read_described(path, _KIND)
    try:
        # Earlier versions did not write every key.
        plan = RunPlan(**{name: values[name] for name in RunPlan.__slots__ if name in values})
        return replace(
            plan,
            parts=tuple(RunPart.from_dict(part) for part in values["parts"]),
            class_names=tuple(plan.class_names),
            class_colors=tuple(plan.class_colors),
            then=tuple(plan.then),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path} is damaged: {error}.") from error
