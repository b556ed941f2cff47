"""Whose turn it is at a process: what a person asks for goes before what is done ahead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.protocol import Message
from napari_sam_adapter.errors import EngineError


class Turns:
    """Lets one thread at a time talk to a process.

    Work that is done ahead begins only where nobody waits, and gives way as soon as somebody does.
    """

    def __init__(self) -> None:
        self._lock, self._count_lock = threading.Lock(), threading.Lock()
        # How many wait for the lock or an answer, and the process that works ahead just now.
        self._n_asking = 0
        self._working_ahead: EngineProcess | None = None

    @property
    def is_working_ahead(self) -> bool:
        """Whether something is being done that nobody waits for."""
        return self._working_ahead is not None

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Have the process to oneself; what is done ahead is not waited for."""
        with self._count_lock:
            self._n_asking += 1
        try:
            working = self._working_ahead
            if working is not None:
                with contextlib.suppress(EngineError):  # it has died, and is replaced by the caller
                    working.send("give_way")
            with self._lock:
                yield
        finally:
            with self._count_lock:
                self._n_asking -= 1

    @contextlib.contextmanager
    def ahead(self) -> Iterator[bool]:
        """Have the process where nobody else wants it; tell whether that is so."""
        if not self._lock.acquire(blocking=False):
            yield False
            return
        try:
            yield self._n_asking == 0
        finally:
            self._working_ahead = None
            self._lock.release()

    def work_ahead(self, process: EngineProcess, request: Message) -> bool:
        """Have something done within `ahead`; return whether it was done to its end.

        Raises
        ------
        EngineError
            If it failed, or the process has ended.
        """
        process.send(request.kind, request.values, request.arrays)
        self._working_ahead = process
        if self._n_asking:  # since the look in `ahead`; later ones see that it works
            process.send("give_way")
        return bool(process.receive().values["done"])
