"""Walk over all slices of a masks layer again and again, a few milliseconds at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from qtpy.QtCore import QObject, QTimer

from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource
from napari_sam_adapter.widgets.trouble import guarded

INTERVAL_MS = 700
SECONDS = 0.008
# While there is something to find: half of the time is left to the window.
HURRIED_MS = 25
HURRIED_SECONDS = 0.025


class SliceWalk(QObject):
    """Finds by looking what napari's events do not tell.

    Writes from the console, strokes that reach slices out of view, masks that another plugin has
    replaced.

    Parameters
    ----------
    source : SliceSource
    look : callable
        Looks at the slices of an iterator; returns whether anything was found there.
    owner : QObject or None
        Over whose dock an error of the program is shown.
    """

    def __init__(
        self,
        source: SliceSource,
        look: Callable[[Iterator[SliceIndex]], bool],
        owner: QObject | None,
    ) -> None:
        super().__init__()
        self._source, self._look = source, look
        self._next = 0
        self._hurried = 0  # slices to look at soon
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(guarded(owner, self._go_on, once=True))
        self._timer.start()

    def hurry(self) -> None:
        """Look at every slice once, without delay: many of them may have changed."""
        self._hurried = self._source.n_slices
        self._timer.setInterval(HURRIED_MS)

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    def _go_on(self) -> None:
        if self._look(self._portion(HURRIED_SECONDS if self._hurried else SECONDS)):
            self.hurry()  # one such slice seldom comes alone
        elif not self._hurried:
            self._timer.setInterval(INTERVAL_MS)

    def _portion(self, seconds: float) -> Iterator[SliceIndex]:
        end = time.perf_counter() + seconds
        for _ in range(self._source.n_slices):
            yield self._source.index_of(self._next)
            self._next = (self._next + 1) % self._source.n_slices
            self._hurried = max(self._hurried - 1, 0)
            if time.perf_counter() > end:
                return
