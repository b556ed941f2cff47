"""Download weights into the models folder: resumable, checked by hash, stopped at any time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam_adapter.errors import StorageError, WeightsError
from napari_sam_adapter.sam.download import DownloadError, receive
from napari_sam_adapter.sam.weight_files import WeightFile, check_sha256

REPORT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """Bytes that are here, and that there will be."""

    done: int
    total: int


class FetchStopped(WeightsError):
    """The person stopped a download; what has arrived is kept for the next try."""


def fetch(
    weights: WeightFile,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Return the path of weights, downloading them first where they are not here.

    Parameters
    ----------
    weights : WeightFile
    progress : callable
        Called with the bytes that are here and those there will be.
    should_stop : callable
        Asked several times a second, also while nothing arrives.

    Returns
    -------
    Path
        Of a file whose hash is right.

    Raises
    ------
    FetchStopped
        If ``should_stop`` said so.
    WeightsError
        If it cannot be downloaded, or a file of another content stands in its place. Files that
        somebody put there are never changed.
    StorageError
        If it cannot be written.
    """
    target = weights.locate()
    if target.exists() or not weights.url:
        check_sha256(target, weights.sha256)
        return target
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = _ResumingDownloader(weights, progress, should_stop)
    try:
        found = pooch.retrieve(
            weights.url,
            known_hash=f"sha256:{weights.sha256}",
            fname=weights.name,
            path=target.parent,
            downloader=downloader,
        )
    except ValueError as error:  # pooch: the hash is wrong
        raise WeightsError(
            f"What {weights.url} sent is not the published file {weights.name} (its sha256 is "
            "another), so it was not kept. The download may have been altered on its way: try "
            f"again, or copy a file you trust to {target.parent}."
        ) from error
    except DownloadError as error:
        raise WeightsError(
            f"{weights.name} could not be downloaded: {error}. {_what_to_do(weights)}"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{weights.name} could not be written to {target.parent}: {error.strerror or error}."
        ) from error
    return Path(found)


def fetch_with_progress(
    weights: WeightFile, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[FetchProgress]:
    """Do as `fetch`, as a generator that reports a few times a second; run it in a worker thread.

    Yields
    ------
    FetchProgress
        The last one says that all is here.
    """
    latest = FetchProgress(0, weights.n_bytes)

    def note(done: int, total: int) -> None:
        nonlocal latest
        latest = FetchProgress(done, total)

    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(fetch, weights, progress=note, should_stop=should_stop)
        while wait([future], timeout=REPORT_SECONDS).not_done:
            yield latest
        future.result()
    yield FetchProgress(weights.n_bytes, weights.n_bytes)


class _ResumingDownloader:
    """What pooch calls to download; an unfinished file is continued instead of begun again."""

    def __init__(
        self,
        weights: WeightFile,
        progress: Callable[[int, int], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._weights, self._progress, self._should_stop = weights, progress, should_stop

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download ``url`` beside ``output_file``, then put it there."""
        del pooch
        from filelock import FileLock, Timeout

        part = _part_of(self._weights)
        lock = part.with_suffix(".lock")
        try:
            with FileLock(lock, timeout=0):
                if not part.is_file() or part.stat().st_size != self._weights.n_bytes:
                    self._download(url, part)
                os.replace(part, output_file)
                with contextlib.suppress(OSError):  # Windows keeps it until it is let go
                    lock.unlink()
        except Timeout as error:
            raise WeightsError(
                f"{self._weights.name} is being downloaded by another program. Wait until it is "
                "there, or stop that download first."
            ) from error

    def _download(self, url: str, part: Path) -> None:
        total = self._weights.n_bytes
        with part.open("ab") as file:
            here = part.stat().st_size
            self._progress(here, total)
            with contextlib.closing(receive(url, here, total, self._check_stop)) as parts:
                for place, chunk in parts:
                    if place != here:  # the server begins again
                        file.truncate(place)
                    file.write(chunk)
                    here = place + len(chunk)
                    self._progress(here, total)
        if here < total:
            raise DownloadError(f"the connection ended after {here:,} of {total:,} bytes")

    def _check_stop(self) -> None:
        if self._should_stop():
            raise FetchStopped(
                f"The download of {self._weights.name} was stopped. What has arrived is kept, and "
                "the next try continues there."
            )


def _part_of(weights: WeightFile) -> Path:
    """Return where a download is while it is not complete."""
    return weights.locate().with_name(f"{weights.name}.part")


def _what_to_do(weights: WeightFile) -> str:
    part = _part_of(weights)
    has_begun = part.is_file() and part.stat().st_size > 0
    kept = "What has arrived is kept, and the next try continues there. " if has_begun else ""
    return (
        f"{kept}On a machine without a network, download {weights.url} elsewhere and copy the file "
        f"to {weights.locate().parent}."
    )
