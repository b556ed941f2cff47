"""The slices of files, predicted by the workers of a cluster, in order."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_sam_adapter.cluster.connection import large_tasks_are_meant
from napari_sam_adapter.cluster.task import (
    PixelsNeeded,
    SharedModel,
    SliceTask,
    digest_of,
    predict_slice,
)
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.errors import ClusterError, ImageError, SamAdapterError, sentence_of
from napari_sam_adapter.file_prediction import OpenedFile, PredictedSlice, source_of

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.01
ASK_SECONDS = 2.0
TAKE_SECONDS = 30.0
WORKERLESS_SECONDS = 60.0


def predict_files_on(
    client: Any,
    model: SharedModel,
    paths: Sequence[Path],
    on_progress: Callable[[float], None] = lambda share: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[OpenedFile | PredictedSlice, None, None]:
    """Predict all slices of files on a cluster; the stream is that of `predict_files`.

    A slice whose worker dies is given to another one. At most two slices per thread of the workers,
    and two more, are on their way or wait to be taken.

    Parameters
    ----------
    client : distributed.Client
    model : SharedModel
    paths : sequence of Path
    on_progress, should_stop : callable
        As for `predict_files`.

    Yields
    ------
    OpenedFile or PredictedSlice

    Raises
    ------
    SamAdapterError
        If a file cannot be read or used, the model not be loaded, or the cluster is gone; it comes
        when all slices before it have been yielded.
    """
    spread = _Spread(client, model, should_stop)
    try:
        for item in spread.in_order(paths):
            if isinstance(item, PredictedSlice):
                on_progress(spread.share)
            yield item
    except _StoppedError:
        return
    finally:
        spread.cancel()


class _StoppedError(Exception):
    """The person does not want the rest."""


class _Sent:
    """A slice on its way."""

    def __init__(self, image: PlacedImage, task: SliceTask, future: Any) -> None:
        self.image, self.task, self.future = image, task, future


class _Spread:
    """Sends slices, a bounded number at a time, and takes them back in order."""

    def __init__(self, client: Any, model: SharedModel, should_stop: Callable[[], bool]) -> None:
        self._client, self._model, self._should_stop = client, model, should_stop
        self._under_way: deque[_Sent | OpenedFile | SamAdapterError] = deque()
        self._pixels_travel = False
        self._asked_at = float("-inf")
        self._seen_at = time.monotonic()
        self._tasks_by_host: dict[str, int] = {}
        self.share = 0.0

    def in_order(self, paths: Sequence[Path]) -> Iterator[OpenedFile | PredictedSlice]:
        """Yield what is done, and send more instead of it."""
        for item in self._items(paths):
            self._under_way.append(item)
            while len(self._under_way) > 2 + 2 * self._n_tasks():
                yield self._first()
        while self._under_way:
            yield self._first()

    def cancel(self) -> None:
        """Take back all slices that are under way."""
        futures = [item.future for item in self._under_way if isinstance(item, _Sent)]
        self._under_way.clear()
        with contextlib.suppress(Exception):  # the cluster may be what is gone
            self._client.cancel(futures)

    def _items(self, paths: Sequence[Path]) -> Iterator[_Sent | OpenedFile | SamAdapterError]:
        """Open files and send their slices. An error waits for its turn, too."""
        try:
            for path in paths:
                image = open_image(path)
                for note in image.notes:
                    _log.warning(note)
                source, digest = source_of(image), _digest_of(path)
                yield OpenedFile(image, source.n_slices)
                for index in source.indices():
                    yield self._sent(
                        image,
                        SliceTask(
                            path.resolve(),
                            digest,
                            tuple(image.data.shape),
                            index,
                            len(paths) > 1 or source.n_slices > 1,
                            self._tasks_by_host,
                            is_colour=image.is_colour,
                        ),
                    )
        except SamAdapterError as error:
            yield error

    def _sent(self, image: PlacedImage, task: SliceTask) -> _Sent:
        """Send a slice, with its pixels where workers cannot read them."""
        sent = task
        if self._pixels_travel:
            sent = _with_pixels(image, task)
        with large_tasks_are_meant():
            future = self._client.submit(predict_slice, self._model, sent, pure=False)
        return _Sent(image, task, future)

    def _first(self) -> OpenedFile | PredictedSlice:
        """Wait for what comes next."""
        first = self._under_way[0]
        if isinstance(first, SamAdapterError):
            raise first
        if isinstance(first, OpenedFile):
            self._under_way.popleft()
            self.share = 1 / first.n_predicted
            return first
        found = self._result(first)
        if isinstance(found, PixelsNeeded):
            if not self._pixels_travel:
                _log.warning(
                    f"A worker cannot read {first.task.path}, or finds another file there; pixels "
                    "are sent to the workers."
                )
            self._pixels_travel = True
            self._under_way[0] = first = self._sent(first.image, first.task)
            found = self._result(first)
        self._under_way.popleft()
        assert isinstance(found, PredictedSlice)
        return found

    def _result(self, sent: _Sent) -> PredictedSlice | PixelsNeeded:
        from distributed import KilledWorker

        where = sent.image.name
        if sent.task.index:
            where += f", {source_of(sent.image).describe(sent.task.index)}"
        try:
            return self._waited_for(sent.future, where)
        except ImageError as error:
            raise ImageError(f"{sent.image.name}: {error}") from error
        except (SamAdapterError, _StoppedError):
            raise
        except KilledWorker as error:
            raise ClusterError(
                f"{where}: every worker that was given this slice died. It may need more memory "
                "than they have; start fewer workers per machine."
            ) from error
        except CancelledError as error:
            raise ClusterError(
                f"{where}: the connection to the cluster was lost. Check its scheduler, and run "
                "the command again."
            ) from error
        except Exception as error:
            raise ClusterError(f"{where}: a worker failed. {sentence_of(error)}") from error

    def _waited_for(self, future: Any, where: str) -> PredictedSlice | PixelsNeeded:
        """Look around while waiting: for Ctrl+C, and whether any worker is left."""
        while not self._should_stop():
            if future.status != "pending":
                # The worker that has it may die all the same; so there is a time limit. A short
                # one, in place of looking at the status, would confuse Dask 2026.8.
                try:
                    found: PredictedSlice | PixelsNeeded = future.result(timeout=TAKE_SECONDS)
                except TimeoutError:
                    if future.status == "error":
                        raise  # the worker's own, as of a drive that did not answer it
                else:
                    return found
            time.sleep(LOOK_SECONDS)
            self._n_tasks()
            if time.monotonic() - self._seen_at > WORKERLESS_SECONDS:
                raise ClusterError(
                    f"{where}: the cluster has had no worker for {WORKERLESS_SECONDS:.0f} seconds. "
                    "Start some, and run the command again."
                )
        raise _StoppedError

    def _n_tasks(self) -> int:
        """Return how many slices the cluster predicts at a time; asked for now and then."""
        from distributed.comm import get_address_host

        now = time.monotonic()
        if now - self._asked_at > ASK_SECONDS:
            threads: dict[str, int] = {}
            with contextlib.suppress(Exception):  # told by the slices, if the cluster is gone
                threads = self._client.nthreads()
            self._asked_at = now
            if threads:
                self._seen_at = now
                self._tasks_by_host = {}
            for address, n in threads.items():
                host = get_address_host(address)
                self._tasks_by_host[host] = self._tasks_by_host.get(host, 0) + n
        return sum(self._tasks_by_host.values())


def _digest_of(path: Path) -> str:
    try:
        return digest_of(path)
    except OSError as error:
        raise ImageError(f"{path} could not be read: {error.strerror or error}.") from error


def _with_pixels(image: PlacedImage, task: SliceTask) -> SliceTask:
    try:
        return replace(task, pixels=source_of(image).read(task.index))
    except ImageError as error:
        raise ImageError(f"{image.name}: {error}") from error
