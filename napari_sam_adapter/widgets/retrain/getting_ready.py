"""Get the training process ready while the person corrects, so that Retrain begins at once.

Starting it takes seconds, and so does encoding what a first short run learns from. Both are done
when a slice has been corrected or accepted, nothing else is computed, and a moment has passed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psutil
from qtpy.QtCore import QObject, QTimer

from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.session.next_version import RunStart, prepare
from napari_sam_adapter.widgets.preferences import preference
from napari_sam_adapter.widgets.rested_work import RestedWork
from napari_sam_adapter.widgets.retrain.run_start import request_on
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    from napari_sam_adapter.annotations.slice_tracker import SliceTracker
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.panels.retrain_panel import RetrainSettings
    from napari_sam_adapter.widgets.record.recording import Recording

REST_MS = 1500
# A short run uses no more orientations of slices than about so many, however many slices there are.
MOST_VIEWS = 128
AT_ONCE = 8  # slices; the process gives way between two lots, too
KEPT_MS = 10 * 60_000  # without another correction: the process takes some 800 MB
FREE_BYTES = 2 << 30  # on a small machine memory is worth more than the seconds


class GettingReady(QObject):
    """Prepares for the next run (`Trainer.prepare`), and gives way to it.

    Parameters
    ----------
    session : Session
    layers : LayerChoice
    recording : Recording
    leaves_time : callable
        Tells whether nothing else is computed.

    Attributes
    ----------
    settings : callable or None
        Returns what a run would be asked to do now; nothing is prepared without it.
    """

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        recording: Recording,
        leaves_time: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._recording = session, layers, recording
        self.settings: Callable[[], RetrainSettings] | None = None
        # How much of what the person has done in an image a run knows.
        self._learned: WeakKeyDictionary[SliceTracker, int] = WeakKeyDictionary()
        self._prepared_for: tuple[Any, ...] = ()
        self._prepared: set[SliceIndex] = set()
        self.work = RestedWork(REST_MS, self._begin, leaves_time, self)
        self._kept = QTimer(self)
        self._kept.setSingleShot(True)
        self._kept.setInterval(KEPT_MS)
        self._kept.timeout.connect(guarded(self, self.release, once=True))
        layers.edited.connect(self._wait)
        layers.slices_changed.connect(self._wait)
        session.active_changed.connect(self._wait)

    def on_training(self, running: bool) -> None:
        """Begin anew with what is corrected after a run began: its process ends with it."""
        self._kept.stop()
        self._forget()
        binding = self._layers.binding
        if running and binding is not None:
            self._learned[binding.tracker] = binding.tracker.n_human
        self._wait()

    def release(self) -> None:
        """End the process that waits, where nobody came back to use it."""
        self._forget()
        self._session.trainer.release()

    def close(self) -> None:
        """Begin nothing any more. It also runs after Qt has destroyed the dock."""
        with contextlib.suppress(RuntimeError):
            self.work.close()
            self._kept.stop()
            self._layers.edited.disconnect(self._wait)
            self._layers.slices_changed.disconnect(self._wait)
        self.release()

    def _forget(self) -> None:
        self._prepared_for, self._prepared = (), set()

    def _wait(self, *_: object) -> None:
        if self._is_due:
            self.work.wait()

    @property
    def _is_due(self) -> bool:
        """Whether the person has done something in the image that no run has learned from."""
        binding = self._layers.binding
        if binding is None:
            return False
        return binding.tracker.n_human > self._learned.get(binding.tracker, 0)

    def _begin(self) -> None:
        binding, settings = self._layers.binding, self.settings
        if binding is None or settings is None or not self._may_prepare(binding):
            return
        asked = settings()
        # What decides which features a run asks for; its minutes, rates and classes do not.
        config = asked.config
        views = (config.gear, config.augmentation, config.seed)
        shape = (asked.input_size, asked.conditions)
        what_for = (id(binding), self._session.in_use.reference, *views, *shape)
        if what_for != self._prepared_for:
            self._prepared_for, self._prepared = what_for, set()
        ready = binding.tracker.ready()
        missing = [index for index in ready if index not in self._prepared][:AT_ONCE]
        if missing:
            # Nobody has asked for it: what cannot be learned from is said when they do.
            with contextlib.suppress(SamAdapterError):
                self._prepare(binding, asked, missing, max(1, MOST_VIEWS // len(ready)))

    def _may_prepare(self, binding: LayerBinding) -> bool:
        return (
            self._is_due
            and preference("computing", "encode_ahead") is not False
            and binding.is_alive
            and psutil.virtual_memory().available >= FREE_BYTES
        )

    def _prepare(
        self,
        binding: LayerBinding,
        settings: RetrainSettings,
        indices: Iterable[SliceIndex],
        n_views: int,
    ) -> None:
        masks = {index: binding.labels_of(index).copy() for index in indices}
        request = request_on(masks, binding, self._recording, self._session, settings)
        start, trainer = RunStart.of(self._session), self._session.trainer
        is_first = not self._prepared
        # What fails is not tried again before something else is asked for: a run says why.
        self._prepared.update(masks)
        self._kept.start()
        self.work.start(
            lambda: prepare(trainer, start, request, n_views, is_first),
            lambda done: self._on_prepared(masks, done),
        )

    def _on_prepared(self, masks: Iterable[SliceIndex], done: bool | None) -> None:
        if done is False:  # it gave way to the person
            self._prepared.difference_update(masks)
        elif done is None:
            return
        self._wait()
