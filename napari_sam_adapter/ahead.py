"""Items that are made in a thread of their own, a few ahead of whoever takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Make = Callable[[Callable[[], bool]], Generator[T, None, None]]

# How often a waiting thread looks around: whether it was stopped, or Ctrl+C was pressed, which on
# Windows does not wake a thread that waits.
LOOK_AROUND_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing follows; if there is an error, because of that."""

    error: BaseException | None = None


@contextmanager
def ahead(make: Make[T], depth: int = 1) -> Iterator[Iterator[T]]:
    """Run a generator in a thread, and hand out what it yields, in order.

    The thread starts when the first item is taken. At most ``depth + 1`` items are made before they
    are taken, so memory does not grow with their number.

    Parameters
    ----------
    make : callable
        Returns the generator. It is given a callable that tells whether the thread was asked to
        stop, for items that take long.
    depth : int

    Yields
    ------
    iterator
        What the generator yields; then what it raised is raised here. When the block ends, the
        thread is stopped, and waited for.
    """
    producer = _Producer(make, depth)
    try:
        yield producer.take()
    finally:
        producer.stop()


class _Producer(Generic[T]):
    """The thread and what waits to be taken from it."""

    def __init__(self, make: Make[T], depth: int) -> None:
        self._make = make
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def take(self) -> Iterator[T]:
        self._thread.start()
        while True:
            try:
                item = self._waiting.get(timeout=LOOK_AROUND_SECONDS)
            except queue.Empty:
                continue
            if not isinstance(item, _End):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                return

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with closing(self._make(self._stopped.is_set)) as items:
                for item in items:
                    self._put(item)
                    del item  # or it would be kept while the next one is made
                    if self._stopped.is_set():
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._put(_End(error))
        else:
            self._put(_End())

    def _put(self, item: T | _End) -> None:
        while not self._stopped.is_set():
            try:
                return self._waiting.put(item, timeout=LOOK_AROUND_SECONDS)
            except queue.Full:
                continue
