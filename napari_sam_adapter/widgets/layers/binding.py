"""What becomes of the masks of an image. The only file that listens to layer events."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.annotations.slice_tracker import READY, SliceState, SliceTracker
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource
from napari_sam_adapter.widgets.layers.edits import EditedSlices, StepsTakenBack, Strokes
from napari_sam_adapter.widgets.layers.layer_axes import axes_of
from napari_sam_adapter.widgets.layers.layer_slices import LayerSlices
from napari_sam_adapter.widgets.layers.walk import SliceWalk
from napari_sam_adapter.widgets.panels.slice_words import changed_elsewhere
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.annotations.packed_labels import PackedLabels

STROKE_MS = 50  # between two looks at whether a stroke has ended, while a prediction waits for that
# What is known of a masks layer of a shape outlives the dock: it may be closed and opened again.
_TRACKERS: WeakKeyDictionary[Labels, tuple[tuple[int, ...], SliceTracker]] = WeakKeyDictionary()


class LayerBinding(LayerSlices):
    """Slices of an image layer with the masks of a Labels layer, and what is known of these.

    Parameters
    ----------
    viewer : napari.Viewer
    image : Image
    labels : Labels
        Of the image's shape, colours aside.
    owner : QObject or None
        Over whose dock an error of the program is shown.

    Attributes
    ----------
    slices_changed : Signal()
        The state of a slice changed.
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    edited : Signal(str)
        Something was painted or undone; states that follow from it are known. A sentence names
        slices out of view that undo or redo has changed.

    Raises
    ------
    ImageError
        If a layer cannot be used, or they do not fit each other.
    """

    slices_changed = Signal()
    said = Signal(str, bool)
    edited = Signal(str)

    def __init__(
        self,
        viewer: napari.Viewer,
        image: Image,
        labels: Labels,
        owner: QObject | None = None,
    ) -> None:
        super().__init__(viewer, image, source_of(image), labels)
        self.tracker = self._tracker()
        self._strokes, self._taken_back = Strokes(labels), StepsTakenBack(labels)
        self._edited = EditedSlices(labels)
        self._waiting: list[Callable[[], object]] = []
        self._is_open = True
        self._refusal = ""
        self._check_soon = QTimer(self)
        self._check_soon.setSingleShot(True)
        self._look_guarded = guarded(owner, self._look, once=True)
        self._check_soon.timeout.connect(self._look_guarded)
        self._after_stroke = QTimer(self)
        self._after_stroke.setSingleShot(True)
        self._after_stroke.setInterval(STROKE_MS)
        self._after_stroke.timeout.connect(self._look_after_stroke)
        self._walk = SliceWalk(self.source, self._look_at, owner)
        labels.events.paint.connect(self._on_edited)
        labels.events.set_data.connect(self._on_edited)
        labels.events.data.connect(self._on_replaced)
        self.check_known()

    def close(self) -> None:
        """Stop listening."""
        self._is_open = False
        self._walk.stop()
        self._check_soon.stop()
        self._after_stroke.stop()
        self.labels.events.paint.disconnect(self._on_edited)
        self.labels.events.set_data.disconnect(self._on_edited)
        self.labels.events.data.disconnect(self._on_replaced)

    @property
    def is_alive(self) -> bool:
        """Whether both layers are still in the viewer, and the image is still the same."""
        layers = self.viewer.layers
        return self._is_open and self.image in layers and self.labels in layers

    @property
    def is_being_painted(self) -> bool:
        """Whether a stroke or a polygon is begun and not finished."""
        polygon = getattr(self.labels, "_overlays", {}).get("polygon")
        return self._in_stroke or bool(getattr(polygon, "points", ()))

    @property
    def _in_stroke(self) -> bool:
        return bool(getattr(self.labels, "_block_history", False))

    def apply(self, prediction: SlicePredicted, corrected_too: bool = False) -> bool:
        """Write a prediction as one undoable edit that leaves the person's pixels alone.

        An accepted slice is left as it is, and so is a corrected one unless it is asked for. While
        the person draws a stroke it waits: napari would make both one step of its undo.

        Returns
        -------
        bool
            Whether it is written, or waits.
        """
        if self._in_stroke:
            self._waiting.append(partial(self.apply, prediction, corrected_too))
            self._after_stroke.start()
            return True
        index = prediction.index
        self._check([index])
        state = self.tracker.state(index)
        if state in READY and not (corrected_too and state is SliceState.CORRECTED):
            return False
        change = self.tracker.plan_prediction(index, self.labels_of(index), prediction.labels)
        if change.positions.size:
            self.labels.data_setitem(change.where(index, self.source.shape), change.new)
        written = self.labels_of(index)
        self.tracker.prediction_written(
            index,
            written,
            change,
            prediction.adapter_id,
            prediction.confidence,
            {**prediction.prompts.described(), **prediction.made_with},
        )
        self.slices_changed.emit()
        return True

    def toggle_accepted(self, index: SliceIndex) -> None:
        """Accept a slice, or take that back."""
        accepted = self.tracker.state(index) is not SliceState.ACCEPTED
        self._check([index])
        self.tracker.set_accepted(index, self.labels_of(index), accepted)
        self.slices_changed.emit()

    def masks_to_train_on(self) -> dict[SliceIndex, np.ndarray]:
        """Copy the labels of all slices to train on, see `SliceTracker.ready`."""
        self.check_known()
        return {index: self.labels_of(index).copy() for index in self.tracker.ready()}

    def check_known(self) -> None:
        """Look for edits at every slice that was ever predicted, painted or accepted."""
        if self._fits:
            self._tell(self._check([*self.tracker.known(), self.index_in_view()]))

    def check_slice_in_view(self) -> None:
        """Look at the slice in view, and at those that edits or undo reached since."""
        if self._fits:
            n_sliders, here = len(self.source.slider_shape), self.index_in_view()
            changed = self._check({here, *self._edited.since_last_look(n_sliders)})
            self._strokes.told()
            self._tell(changed)

    def check_all(self) -> None:
        """Look for edits at every slice, before the masks are let go of. Emits nothing.

        The layers need not be in the viewer any more.
        """
        if self._has_shape:
            self._check(self._edited.since_last_look(len(self.source.slider_shape)))
            self._strokes.told()
            self._check(self.source.indices())

    @property
    def _fits(self) -> bool:
        return self.is_alive and self._has_shape

    def _look_at(self, indices: Iterable[SliceIndex]) -> bool:
        changed = self._fits and self._check(indices)
        self._tell(changed)
        return changed

    def _check(self, indices: Iterable[SliceIndex]) -> bool:
        """Compare slices with what is known of them; return whether the state of any changed."""
        # Only undo fills napari's redo history, and every edit empties it: that tells a prediction
        # that was undone from one that was erased by hand.
        undone = bool(getattr(self.labels, "_redo_history", ()))
        stroke = self._strokes.number()
        changed = False
        for index in indices:
            try:
                labels = self.labels_of(index)
            except ImageError as error:  # the other slices go on
                self._refuse(str(error))
                continue
            changed |= self.tracker.observe(index, labels, painted=not undone, stroke=stroke)
        return changed

    def _refuse(self, sentence: str) -> None:
        if sentence != self._refusal:
            self._refusal = sentence
            self.said.emit(sentence, True)

    def _tell(self, changed: bool) -> None:
        if changed:
            self.slices_changed.emit()

    def _on_edited(self, event: Any) -> None:
        if event.type == "paint":
            self._strokes.step_made(event.value)
        if self._taken_back.is_undone:
            # The next edit, which may be a prediction, empties the history that tells an undo.
            self._look_guarded()
            return
        # A polygon announces itself before its pixels are there, so the look comes a moment later.
        self._check_soon.start(0)

    def _on_replaced(self, event: Any) -> None:
        if self.is_alive and not self._has_shape:
            try:
                self.labels_of(next(iter(self.source.indices())))
            except ImageError as error:
                self._refuse(str(error))
            return
        self._refusal = ""
        self._walk.hurry()

    def _look(self) -> None:
        self._check_soon.stop()
        before = self._seen_in_view()
        self.check_slice_in_view()
        elsewhere = self._changed_elsewhere()
        # napari announces what is merely shown, too.
        if elsewhere or self._seen_in_view() is not before:
            self.edited.emit(elsewhere)
        if not self._in_stroke:
            waiting, self._waiting = self._waiting, []
            for apply in waiting:
                apply()

    def _seen_in_view(self) -> PackedLabels | None:
        known = self.tracker.history_of(self.index_in_view()) if self._fits else None
        return None if known is None else known.seen

    def _look_after_stroke(self) -> None:
        """Write what waits also where a stroke has changed nothing: napari is silent then."""
        if self._waiting and self._in_stroke:
            self._after_stroke.start()
        elif self._waiting:
            self._look_guarded()

    def _changed_elsewhere(self) -> str:
        if not self._fits:
            return ""
        key, slices = self._taken_back.slices(len(self.source.slider_shape))
        elsewhere = sorted(slices - {self.index_in_view()})
        return changed_elsewhere(key, [*map(self.source.describe, elsewhere)])

    def _tracker(self) -> SliceTracker:
        """Return what is known of the masks layer, also from an earlier dock.

        Where the layer was cropped, say, a new one takes over what holds still: to the former one
        the record of the former masks may be listening.
        """
        shape, known = _TRACKERS.get(self.labels, ((), None))
        if known is not None:
            if shape == self.source.shape:
                return known
            # napari's undo would go on to write where the pixels were in the former shape.
            with contextlib.suppress(AttributeError):
                self.labels._reset_history()
        tracker = SliceTracker(self.source.slice_shape)
        for index in self.source.indices():
            labels = self.labels_of(index)
            history = None if known is None else known.history_of(index)
            if history is not None and history.seen.is_of(labels):
                tracker.restore(index, history)
            else:
                tracker.adopt(index, labels)
        _TRACKERS[self.labels] = self.source.shape, tracker
        return tracker


def source_of(image: Image) -> SliceSource:
    """Return the slices of an image layer, at full resolution if it is multiscale.

    Raises
    ------
    ImageError
        If its shape or type cannot be used.
    """
    data = image.data[0] if image.multiscale else image.data
    return SliceSource(data, is_colour=bool(image.rgb), axes=axes_of(image))


def is_known(labels: Labels) -> bool:
    """Whether a layer is, or was, the masks of an image."""
    return labels in _TRACKERS
