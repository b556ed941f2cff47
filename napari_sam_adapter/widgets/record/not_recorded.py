"""Masks whose changes do not reach the disk: why not, and whether anything would be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.widgets.record.masks_left import MasksLeft
from napari_sam_adapter.widgets.record.restoring import what_differs

if TYPE_CHECKING:
    from napari_sam_adapter.project.image_identity import ImageIdentity
    from napari_sam_adapter.project.image_record import Restored
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.record.open_records import OpenRecords

RETRY_MS = 10_000


class NotRecorded(QObject):
    """What one window does not record.

    Parameters
    ----------
    layers : LayerChoice
    records : OpenRecords
        Each knows whether the disk takes its changes.
    parent : QObject or None

    Attributes
    ----------
    changed : Signal()
        Something does not reach the disk any more, or does again.
    due : Signal()
        Some time has passed: the disk may have space again.
    left : MasksLeft
        Masks whose image was removed.
    """

    changed = Signal()
    due = Signal()

    def __init__(
        self, layers: LayerChoice, records: OpenRecords, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._records = records
        self.left = MasksLeft(layers, self)
        self.left.changed.connect(self.changed)
        # Masks whose record could not be opened, and why.
        self._refused: dict[LayerBinding, str] = {}
        # What the masks of a project are that can be looked at alone.
        self._shown: WeakKeyDictionary[LayerBinding, Restored] = WeakKeyDictionary()
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(self.due)

    def __contains__(self, binding: object) -> bool:
        return binding in self._refused

    @property
    def problem(self) -> str:
        """Why what is done does not reach the disk; "" where it does."""
        for binding, message in self._refused.items():
            return f"{binding.labels.name} is not recorded: {message}"
        return self._records.problem or self.left.problem

    @property
    def is_tried_again(self) -> bool:
        """Whether the problem passes by itself, once its reason has; else it is the person's."""
        for binding in self._refused:
            return binding not in self._shown
        return bool(self._records.problem)

    @property
    def is_at_risk(self) -> bool:
        """Whether something that was done would be lost if the window were closed now."""
        for binding in self._refused:
            binding.check_all()
        is_behind = any(map(self._is_behind, self._refused))
        return bool(self._records.problem) or is_behind or self.left.is_at_risk

    def refuse(self, binding: LayerBinding, message: str) -> bool:
        """Take note that a record cannot be opened, now; return whether that is news."""
        is_news = self._refused.get(binding) != message
        self._refused[binding] = message
        self._retry.start(RETRY_MS)
        self.changed.emit()
        return is_news

    def show(self, binding: LayerBinding, restored: Restored, message: str) -> None:
        """Take note of masks that are there to be looked at, and never will be recorded."""
        self._refused[binding], self._shown[binding] = message, restored
        self.changed.emit()

    def next_to_try(self) -> LayerBinding | None:
        """Return masks whose record may be opened now; another time, soon, others."""
        waiting = (one for one in self._refused if one.is_alive and one not in self._shown)
        binding = next(waiting, None)
        if binding is not None:
            self._refused[binding] = self._refused.pop(binding)
            self._retry.start(RETRY_MS)  # whatever comes of it
        return binding

    def is_recorded(self, binding: LayerBinding) -> bool:
        """Take note that masks are recorded from now on; return whether they were not before."""
        was_left = self.left.forget(binding.labels)
        if self._refused.pop(binding, None) is None and not was_left:
            return False
        self.changed.emit()
        return True

    def let_go(self, binding: LayerBinding) -> None:
        """Forget masks that nobody works on any more."""
        if self._refused.pop(binding, None) is not None:
            self.changed.emit()

    def leave(
        self, binding: LayerBinding, identity: ImageIdentity | None, *, is_written: bool
    ) -> None:
        """Take note of masks whose image was removed, and whether all that was done is recorded.

        Of a project that cannot be written to the person knows already.
        """
        if binding not in self._shown:
            if not is_written:
                binding.check_all()
            is_behind = not is_written and self._is_behind(binding)
            self.left.note(binding, identity, is_behind=is_behind)

    def begin_anew(self) -> None:
        """Forget all, for another project."""
        self._refused.clear()
        self.changed.emit()

    def close(self) -> None:
        """Try no more. Emits nothing."""
        self._retry.stop()
        self._refused.clear()  # so that nothing is said of masks that are let go after this
        self.left.close()

    def _is_behind(self, binding: LayerBinding) -> bool:
        return any(True for _ in what_differs(binding, self._shown.get(binding)))
