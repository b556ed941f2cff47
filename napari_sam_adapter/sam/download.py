"""Receive a file over HTTP; whoever waits for it can stop at once, also while nothing arrives.

The one place that knows ``requests``. It is imported when something is downloaded: it takes long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

CHUNK = 16 * 1024
CHUNKS_AHEAD = 64
SILENCE_SECONDS = 30.0
LOOK_SECONDS = 0.1


class DownloadError(Exception):
    """A file did not arrive; the message says why in a few words, without a full stop."""


def receive(
    url: str, start: int, n_bytes: int, check: Callable[[], None]
) -> Generator[tuple[int, bytes]]:
    """Yield the parts of a file as they arrive, each with its place in the file.

    A name that is looked up, a connection and an answer may each take long, and cannot be given up
    by who waits for them. So they are waited for in a thread of their own, which is left to itself.

    Parameters
    ----------
    url : str
    start : int
        How many bytes are here already. A server that cannot continue begins at 0 again.
    n_bytes : int
        How many the whole file has.
    check : callable
        Called several times a second; what it raises ends the download.

    Raises
    ------
    DownloadError
        If the file cannot be had, another answer comes, or nothing arrives for `SILENCE_SECONDS`.
    """
    arrived: Queue[tuple[int, bytes] | DownloadError | None] = Queue(CHUNKS_AHEAD)
    unwanted = Event()
    Thread(
        target=_fill, args=(arrived, unwanted, url, start, n_bytes), name="download", daemon=True
    ).start()
    try:
        heard = time.monotonic()
        while True:
            check()
            try:
                part = arrived.get(timeout=LOOK_SECONDS)
            except Empty:
                if time.monotonic() - heard > SILENCE_SECONDS:
                    raise DownloadError(
                        f"{urlsplit(url).hostname} sent nothing for {SILENCE_SECONDS:g} seconds"
                    ) from None
                continue
            if part is None:
                return
            if isinstance(part, DownloadError):
                raise part
            yield part
            heard = time.monotonic()
    finally:
        unwanted.set()


def _fill(
    arrived: Queue[tuple[int, bytes] | DownloadError | None],
    unwanted: Event,
    url: str,
    start: int,
    n_bytes: int,
) -> None:
    """Put what arrives into a queue, then why there is no more of it: None is the end."""
    import requests

    def put(part: tuple[int, bytes] | DownloadError | None) -> None:
        while not unwanted.is_set():
            with suppress(Full):
                arrived.put(part, timeout=LOOK_SECONDS)
                return

    try:
        with closing(_parts(url, start, n_bytes)) as parts:
            for part in parts:
                put(part)
                if unwanted.is_set():
                    return
        put(None)
    except DownloadError as error:
        put(error)
    except requests.RequestException as error:
        failure = DownloadError(_reason(error, urlsplit(url).hostname or url))
        failure.__cause__ = error
        put(failure)


def _parts(url: str, start: int, n_bytes: int) -> Generator[tuple[int, bytes]]:
    import requests

    headers = {"Accept-Encoding": "identity"}  # so that a length is that of the file
    if start:
        headers["Range"] = f"bytes={start}-"
    # Longer than anybody waits: it only lets the thread end.
    with requests.get(url, headers=headers, stream=True, timeout=2 * SILENCE_SECONDS) as response:
        if response.status_code != requests.codes.requested_range_not_satisfiable:
            response.raise_for_status()
            place = start if response.status_code == requests.codes.partial_content else 0
            _check_is_file(response, n_bytes - place)
            for chunk in response.iter_content(CHUNK):
                yield place, chunk
                place += len(chunk)
            return
    yield from _parts(url, 0, n_bytes)


def _check_is_file(response: requests.Response, n_bytes: int) -> None:
    """Refuse a page in the file's place before it replaces what has arrived, or is continued."""
    length = response.headers.get("Content-Length", "")
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if is_page or (length.isdecimal() and int(length) != n_bytes):
        raise DownloadError(
            f"{urlsplit(response.url).hostname} sent something else than the file (a page to log "
            "in, perhaps)"
        )


def _reason(error: requests.RequestException, host: str) -> str:
    """Say what happened without the words of four libraries; they stay in the error's cause."""
    from requests import exceptions

    match error:
        case exceptions.HTTPError():
            status = f"{error.response.status_code} {error.response.reason or ''}".rstrip()
            return f"{host} answered {status}"
        case exceptions.Timeout():
            return f"{host} did not answer in time"
        case exceptions.ChunkedEncodingError():
            return f"the connection to {host} broke off"
        case exceptions.SSLError():
            return f"the certificate of {host} was not accepted"
        case exceptions.ProxyError():
            return f"there is no connection to {host} through the proxy that is set"
        case exceptions.ConnectionError():
            return f"there is no connection to {host}"
    return f"{host} gave no answer that can be used ({type(error).__name__})"
