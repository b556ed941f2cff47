"""Run a generator of events in a worker thread. The only file that knows threads.

superqt's generator workers lose ``RuntimeError`` (a torch error would leave a button disabled for
ever), and after ``quit()`` a generator's ``finally`` may never run. So nothing is raised through
them and nobody quits them: a failure is the last event, and whoever wants to stop a job asks the
generator's own ``should_stop``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, QThreadPool, Signal

from napari_sam_adapter.errors import SamAdapterError, sentence_of
from napari_sam_adapter.widgets.trouble import is_shown, show_trouble

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    details: str


class _Described(partial[Iterator[Any]]):
    """A call whose text is a description: napari shows it when it asks before closing."""

    description = ""

    def __str__(self) -> str:
        return self.description


class _Worker(GeneratorWorker):
    """napari calls ``quit`` of every running worker when its window closes."""

    on_quit: Callable[[], None]

    def quit(self) -> None:
        """End what runs outside of this thread, then the thread."""
        self.on_quit()
        super().quit()


class Job(QObject):
    """One background job. Its signals arrive in the main thread.

    Parameters
    ----------
    events : callable
        Called in the worker thread; returns the events to report.
    description : str
        Closing napari's window asks first while the job runs, and shows this.
    cancel : callable
        Called when the window closes all the same.

    Attributes
    ----------
    event_reported : Signal(object)
    failed : Signal(str)
        A sentence for the person. `finished` follows.
    finished : Signal()
        Always the last.
    """

    event_reported = Signal(object)
    failed = Signal(str)
    finished = Signal()

    def __init__(
        self,
        events: Callable[[], Iterable[Any]],
        description: str,
        cancel: Callable[[], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        call = _Described(_guarded, [events])
        call.description = description
        self._worker = create_worker(call, _start_thread=False, _worker_class=_Worker)
        self._worker.on_quit = cancel
        self._worker.yielded.connect(self._on_yielded)
        self._worker.finished.connect(self._on_finished)

    def start(self) -> None:
        """Start the worker thread."""
        # Our threads only wait for a process. Without this, two of them would fill the pool of a
        # two-core machine, and a third job would wait until one of them ends.
        QThreadPool.globalInstance().releaseThread()
        self._worker.start()

    def _on_yielded(self, event: Any) -> None:
        if isinstance(event, _Failure):
            self.failed.emit(event.message)
            if event.details and not is_shown(event.message):
                show_trouble(self, event.message, event.details)
        else:
            self.event_reported.emit(event)

    def _on_finished(self) -> None:
        QThreadPool.globalInstance().reserveThread()
        self.finished.emit()
        self.let_go()

    def let_go(self) -> None:
        """Report nothing more.

        Qt keeps a job as long as its owner, and with it what its listeners hold: images and masks.
        """
        for signal in (self.event_reported, self.failed, self.finished):
            with contextlib.suppress(TypeError):  # nobody listens
                signal.disconnect()


class QuietJob(QObject):
    """A background job that nobody asked for: closing napari does not ask whether to stop it.

    Parameters
    ----------
    act : callable
        Called in a thread of its own. What it raises goes to the log.

    Attributes
    ----------
    finished : Signal(object)
        What it returned; None if it raised.
    """

    finished = Signal(object)

    def __init__(self, act: Callable[[], Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._act = act

    def start(self) -> None:
        """Start the thread; it does not keep Python from ending."""
        threading.Thread(target=self._run, name="quiet job", daemon=True).start()

    def _run(self) -> None:
        found = None
        try:
            found = self._act()
        except Exception:
            LOGGER.info("a background job nobody asked for failed", exc_info=True)
        with contextlib.suppress(RuntimeError):  # Qt has deleted it with its dock
            self.finished.emit(found)


def _guarded(holder: list[Callable[[], Iterable[Any]]]) -> Iterator[Any]:
    """Report whatever goes wrong as the last event.

    napari keeps the worker for ever; taking the call out of its holder lets go of the images in it.
    """
    try:
        yield from holder.pop()()
    except SamAdapterError as error:
        yield _Failure(str(error), error.details)
    except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes a message
        details = traceback.format_exc()
        LOGGER.error("unexpected error in a background job\n%s", details)
        yield _Failure(sentence_of(error), details)
