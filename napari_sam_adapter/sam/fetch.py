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
from napari_sam_adapter.sam.weight_files import WeightFile, check_sha256

CHUNK = 1024 * 1024
TIMEOUT_SECONDS = 30.0
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
        Asked at least once a megabyte.

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
    import requests

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
    except requests.RequestException as error:
        raise WeightsError(
            f"{weights.name} could not be downloaded from {weights.url}: {error}. What has arrived "
            "is kept, and the next try continues there. On a machine without a network, copy the "
            f"file to {target.parent}."
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

        part = self._weights.locate().with_name(f"{self._weights.name}.part")
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
        import requests

        here = part.stat().st_size if part.is_file() else 0
        headers = {"Range": f"bytes={here}-"} if here else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink()
                self._download(url, part)
                return
            response.raise_for_status()
            continued = response.status_code == requests.codes.partial_content
            here = here if continued else 0
            with part.open("ab" if continued else "wb") as file:
                self._progress(here, self._weights.n_bytes)
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    here += len(chunk)
                    self._progress(here, self._weights.n_bytes)
                    if self._should_stop():
                        raise FetchStopped(
                            f"The download of {self._weights.name} was stopped. What has arrived "
                            "is kept, and the next try continues there."
                        )
        if here < self._weights.n_bytes:
            raise requests.ConnectionError(
                f"the connection ended after {here:,} of {self._weights.n_bytes:,} bytes"
            )
