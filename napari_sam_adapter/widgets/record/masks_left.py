"""Masks layers that stay in the viewer when their image is removed: nothing records them then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.annotations.slice_tracker import SliceTracker
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.widgets.record.restoring import MARKS
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

MOMENT_MS = 500  # whoever removes both layers, or closes the window, is told nothing


@dataclass(frozen=True, slots=True)
class _Left:
    """What is known of masks since their image was removed. It keeps no pixels of the image."""

    image: str
    identity: ImageIdentity | None
    tracker: SliceTracker
    is_behind: bool  # something was not recorded before


class MasksLeft(QObject):
    """The masks layers of one viewer whose image was removed.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    changed : Signal()
        There is another one, or one less.
    """

    said = Signal(str, bool)
    changed = Signal()

    def __init__(self, layers: LayerChoice, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._left: WeakKeyDictionary[Labels, _Left] = WeakKeyDictionary()
        self._untold: list[Labels] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(MOMENT_MS)
        self._soon.timeout.connect(guarded(self, self._tell, once=True))
        layers.viewer.layers.events.removed.connect(self._on_removed)

    def __contains__(self, labels: object) -> bool:
        return any(one is labels for one, _ in self._now())

    @property
    def problem(self) -> str:
        """Why what is painted in one of them does not reach the disk; "" where there is none."""
        return next((_sentence(*one) for one in self._now()), "")

    @property
    def is_at_risk(self) -> bool:
        """Whether something was painted in one of them that is not recorded."""
        return any(left.is_behind or _differs(labels, left.tracker) for labels, left in self._now())

    @property
    def folders(self) -> set[Path]:
        """The records that they were written to."""
        return {MARKS[labels].folder for labels, _ in self._now() if labels in MARKS}

    def known_images(self) -> Iterator[tuple[Labels, ImageIdentity]]:
        """Yield those whose image the project knows, and as what."""
        for labels, left in list(self._now()):
            if left.identity is not None:
                yield labels, left.identity

    def note(
        self, binding: LayerBinding, identity: ImageIdentity | None, *, is_behind: bool
    ) -> None:
        """Take note that the image of a masks layer was removed."""
        self._left[binding.labels] = _Left(binding.image.name, identity, binding.tracker, is_behind)
        self._untold.append(binding.labels)
        self._soon.start()

    def forget(self, labels: Labels) -> bool:
        """Take note that a masks layer is recorded again; return whether it was not."""
        return self._left.pop(labels, None) is not None

    def close(self) -> None:
        """Let go of the viewer. Emits nothing."""
        self._soon.stop()
        self._layers.viewer.layers.events.removed.disconnect(self._on_removed)

    def _now(self) -> Iterator[tuple[Labels, _Left]]:
        """Yield those that are still there and were chosen for no other image since."""
        bound = [binding.labels for binding in self._layers.bindings()]
        for labels, left in self._left.items():
            if labels in self._layers.viewer.layers and labels not in bound:
                yield labels, left

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        said = [_sentence(*one) for one in self._now() if one[0] in untold]
        if said:
            self.said.emit(" ".join(said), True)
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        if event.value in self._left:
            self.changed.emit()


def _sentence(labels: Labels, left: _Left) -> str:
    return (
        f"{labels.name} is not recorded any more, because its image was removed: add or open "
        f"{left.image} again, and what was painted meanwhile is recorded, too."
    )


def _differs(labels: Labels, tracker: SliceTracker) -> bool:
    """Whether a layer holds anything else than it did when it was looked at last."""
    data = labels.data
    if data.shape[-2:] != tracker.slice_shape:
        return True
    for index in np.ndindex(data.shape[:-2]):
        known = tracker.history_of(index)
        if data[index].any() if known is None else not known.seen.is_of(data[index]):
            return True
    return False
