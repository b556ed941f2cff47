"""What a worker of a cluster does: predict one slice, with a model that it loads once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter import __version__
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.errors import ClusterError, ImageError, SamAdapterError, WeightsError
from napari_sam_adapter.file_prediction import PredictedSlice, load_model, predict_one, source_of
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam

_END_BYTES = 1 << 16
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class SharedModel:
    """Which model all workers predict with, and how.

    Attributes
    ----------
    base : str or None
        As for `registry.base_model`; None for the one of the adapter.
    adapter : Path or None
        Absolute: on every worker's machine the file is at the same place.
    adapter_sha256 : str
        Of that file.
    device : str
    bfloat16_on_cpu : bool
        Decided once for all: each machine's own probe could find something else, and the slices of
        one volume would differ.
    views : int
    tile : int or None
        See `predict_one`.
    version : str
        Of this package.
    """

    base: str | None
    adapter: Path | None
    adapter_sha256: str
    device: str
    bfloat16_on_cpu: bool
    views: int
    tile: int | None = None
    version: str = __version__


@dataclass(frozen=True, slots=True)
class SliceTask:
    """One slice to predict.

    Attributes
    ----------
    path : Path
        Absolute, of the file or folder.
    digest : str
        `digest_of` it, so that another file at the same place is not taken for it.
    shape : tuple of int
        Of its array.
    index : tuple of int
    is_one_of_many : bool
        Whether the file has more slices.
    tasks_by_host : mapping of str to int
        How many slices are predicted at a time on each machine: they share its cores.
    pixels : ndarray or None
        The slice, where workers cannot read the file.
    is_colour : bool
        Of the pixels.
    """

    path: Path
    digest: str
    shape: tuple[int, ...]
    index: SliceIndex
    is_one_of_many: bool
    tasks_by_host: Mapping[str, int]
    pixels: np.ndarray | None = None
    is_colour: bool = False


@dataclass(frozen=True, slots=True)
class PixelsNeeded:
    """The worker cannot read the file, or finds another one at its place."""


def predict_slice(model: SharedModel, task: SliceTask) -> PredictedSlice | PixelsNeeded:
    """Predict a slice; runs on a worker.

    Raises
    ------
    ImageError
        If the slice cannot be read or used, as in `predict_one`.
    ClusterError
        If this worker cannot load the model, naming the worker.
    """
    source, index = _source(task), task.index
    if source is None:
        return PixelsNeeded()
    if task.pixels is not None:
        index = ()
    _share_cores(task.tasks_by_host)
    found = predict_one(
        _model_here(model),
        source,
        index,
        model.views,
        is_one_of_many=task.is_one_of_many,
        tile=model.tile,
    )
    return replace(found, index=task.index)


def trouble_with(model: SharedModel) -> str:
    """Say why this worker cannot compute with a model, without loading it; "" if nothing is known.

    A clause that follows the worker's name.
    """
    if model.version != __version__:
        return (
            f"has napari-sam-adapter {__version__}, and {model.version} is needed; install the "
            "same version on all machines"
        )
    if model.base is not None:
        try:
            base_model(model.base).check_weights()
        except WeightsError as error:
            return f"cannot use the base model: {str(error).removesuffix('.')}"
    if model.adapter is None:
        return ""
    try:
        found = sha256_of(model.adapter)
    except OSError as error:
        return (
            f"cannot read the adapter {model.adapter} ({error.strerror or error}); it must be at "
            "the same place on all machines, for instance in a shared folder"
        )
    if found != model.adapter_sha256:
        return (
            f"finds another adapter at {model.adapter}; copy the file there that you predict with"
        )
    return ""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(path: Path) -> str:
    """Tell a file or folder from others that might be at its place on another machine.

    Of a file, from its size and its ends, not all of its bytes, which may be many; of a folder,
    from the names and sizes in it.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for one in sorted(path.iterdir()):
            size = one.stat().st_size if one.is_file() else -1
            digest.update(f"{one.name}\0{size}\0".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        size = path.stat().st_size
        digest.update(str(size).encode())
        digest.update(stream.read(_END_BYTES))
        stream.seek(max(0, size - _END_BYTES))
        digest.update(stream.read(_END_BYTES))
    return digest.hexdigest()


def _source(task: SliceTask) -> SliceSource | None:
    """Return where the slice is read from; None if it cannot be."""
    if task.pixels is not None:
        return SliceSource(task.pixels, is_colour=task.is_colour)
    try:
        if digest_of(task.path) != task.digest:
            return None
        with _lock:
            image = _image_here(task.path, task.digest)
    except (OSError, ImageError):  # a library may be missing here, or the file not be shared
        return None
    return source_of(image) if tuple(image.data.shape) == task.shape else None


@lru_cache(maxsize=2)
def _image_here(path: Path, digest: str) -> PlacedImage:
    """Open an image once for all of its slices."""
    del digest  # another one means another file
    return open_image(path)


def _model_here(model: SharedModel) -> AdaptedSam:
    with _lock:
        try:
            return _loaded(replace(model, views=1, tile=None))
        except SamAdapterError as error:
            from distributed import get_worker

            raise ClusterError(f"The worker {get_worker().address}: {error}") from error


@lru_cache(maxsize=1)
def _loaded(model: SharedModel) -> AdaptedSam:
    """Load the model once per process; views and tiles make no other one of it."""
    from napari_sam_adapter.sam.devices import decide_bfloat16

    trouble = trouble_with(model)
    if trouble:
        raise ClusterError(f"it {trouble}.")
    sam = load_model(model.adapter, model.base, model.device)
    decide_bfloat16(model.bfloat16_on_cpu if sam.device.type == "cpu" else None)
    return sam


def _share_cores(tasks_by_host: Mapping[str, int]) -> None:
    """Compute with this task's share of the machine's cores."""
    import torch
    from dask.system import CPU_COUNT
    from distributed import get_worker
    from distributed.comm import get_address_host

    worker = get_worker()
    n_tasks = tasks_by_host.get(get_address_host(worker.address), worker.state.nthreads)
    threads = max(1, CPU_COUNT // n_tasks)
    if torch.get_num_threads() != threads:  # a setting of each thread
        torch.set_num_threads(threads)
