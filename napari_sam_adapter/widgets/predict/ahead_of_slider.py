"""Encode the slices that will be asked for next, while the person looks at the one in view.

Most of a prediction's time goes into the image embedding. The prediction process keeps the latest
ones, so a slice that was encoded ahead is predicted in a fraction of the time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from weakref import WeakSet

from qtpy.QtCore import QObject

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.volumes.slice_source import SliceIndex
from napari_sam_adapter.widgets.preferences import preference
from napari_sam_adapter.widgets.rested_work import RestedWork

if TYPE_CHECKING:
    import numpy as np

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

REST_MS = 300
SLOW_SECONDS = 0.5  # to read a slice


class AheadOfSlider(QObject):
    """Encodes the slice in view, its neighbours along the slider moved last, and the suggested one.

    It starts when the slider has rested, encodes one slice at a time, and only while nothing else
    is computed; whatever the person asks for interrupts it (`Predictor.encode_ahead`). Of an image
    whose slices are slow to read, one is read ahead and no more: the disk or the network it comes
    from is left to what the person looks at.

    Parameters
    ----------
    session : Session
    layers : LayerChoice
    suggested : callable
        Returns the slice to correct next, or None.
    leaves_time : callable
        Tells whether nothing else is computed.
    """

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        suggested: Callable[[], SliceIndex | None],
        leaves_time: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers = session, layers
        self._suggested = suggested
        self._seen: SliceIndex = ()
        self._step: SliceIndex = ()
        self._encoded: set[SliceIndex] = set()
        self._slow: WeakSet[LayerBinding] = WeakSet()
        self.work = RestedWork(REST_MS, self._begin, leaves_time, self)
        layers.slices_changed.connect(self.wait)
        session.active_changed.connect(self.wait)

    def wait(self) -> None:
        """Begin anew when nothing has happened for a while."""
        self.work.wait()

    def close(self) -> None:
        """Begin nothing any more. It also runs after Qt has destroyed the dock."""
        with contextlib.suppress(RuntimeError):
            self.work.close()
            self._layers.slices_changed.disconnect(self.wait)

    def _begin(self) -> None:
        self._encoded.clear()  # the process forgets, and it costs little to ask
        self._encode_next()

    def _encode_next(self) -> None:
        binding = self._layers.binding
        if binding is None or not self._may_encode(binding):
            return
        index = next(self._wanted(binding), None)
        if index is None:
            return
        predictor, model = self._session.predictor, self._session.in_use.reference
        self._encoded.add(index)
        self.work.start(
            lambda: predictor.encode_ahead(self._read(binding, index), model), self._on_encoded
        )

    def _read(self, binding: LayerBinding, index: SliceIndex) -> np.ndarray:
        """Read a slice, in the job's thread."""
        start = time.monotonic()
        image = binding.source.read(index)
        if time.monotonic() - start > SLOW_SECONDS:
            self._slow.add(binding)
        return image

    def _may_encode(self, binding: LayerBinding) -> bool:
        return (
            not self.work.is_closed
            and preference("computing", "encode_ahead") is not False
            and self.work.leaves_time()
            and binding.is_alive
            and binding not in self._slow
            and binding.slices_are_in_view()
            and binding.sliders_pick_slices()
        )

    def _wanted(self, binding: LayerBinding) -> Iterator[SliceIndex]:
        """Iterate over the slices that are not encoded, the likeliest first."""
        for index in self._likely(binding):
            open_ = binding.tracker.state(index) is not SliceState.ACCEPTED
            if open_ and index not in self._encoded:
                yield index

    def _likely(self, binding: LayerBinding) -> Iterator[SliceIndex]:
        here, shape = binding.index_in_view(), binding.source.slider_shape
        step = self._step_to(here)
        yield here
        for sign in (1, -1):
            beside = tuple(at + sign * by for at, by in zip(here, step, strict=True))
            inside = all(0 <= at < size for at, size in zip(beside, shape, strict=True))
            if inside and beside != here:
                yield beside
        suggested = self._suggested()
        if suggested is not None:
            yield suggested

    def _step_to(self, here: SliceIndex) -> SliceIndex:
        """Return the step, of one slice, that leads on from the slice seen before to this one."""
        if here != self._seen or len(self._step) != len(here):
            moved: list[int] = []
            if len(self._seen) == len(here):
                moved = [axis for axis, at in enumerate(here) if at != self._seen[axis]]
            axis = moved[-1] if moved else len(here) - 1
            back = bool(moved) and here[axis] < self._seen[axis]
            self._step = tuple((-1 if back else 1) * (i == axis) for i in range(len(here)))
            self._seen = here
        return self._step

    def _on_encoded(self, done: bool | None) -> None:
        if done is False:  # it gave way to the person
            self.wait()
        elif done and not self.work.is_waiting:
            self._encode_next()
