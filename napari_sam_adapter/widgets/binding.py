"""An image layer and its masks layer, as arrays. The only file that listens to layer events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.annotations import READY, SliceState, SliceTracker
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volume import SliceIndex, SliceSource
from napari_sam_adapter.widgets.edits import Strokes, UndoneSteps, edited_slices
from napari_sam_adapter.widgets.labels_check import check_labels, check_size
from napari_sam_adapter.widgets.layer_axes import axes_of
from napari_sam_adapter.widgets.slice_words import undone_elsewhere
from napari_sam_adapter.widgets.trouble import guarded
from napari_sam_adapter.widgets.walk import SliceWalk

if TYPE_CHECKING:
    import napari

# What is known of a masks layer outlives the dock: it may be closed and opened again.
_TRACKERS: WeakKeyDictionary[Labels, SliceTracker] = WeakKeyDictionary()


class LayerBinding(QObject):
    """Slices of an image layer with the masks of a Labels layer.

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
    edited : Signal()
        Something was painted or undone; states that follow from it are known.

    Raises
    ------
    ImageError
        If a layer cannot be used, or they do not fit each other.
    """

    slices_changed = Signal()
    said = Signal(str, bool)
    edited = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        image: Image,
        labels: Labels,
        owner: QObject | None = None,
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.labels = viewer, image, labels
        self.source = source_of(image)
        check_labels(labels, self.source)
        self.tracker = self._tracker()
        self._strokes, self._undone = Strokes(labels), UndoneSteps(labels)
        self._waiting: list[Callable[[], object]] = []
        self._is_open = True
        self._refusal = ""
        self._check_soon = QTimer(self)
        self._check_soon.setSingleShot(True)
        self._check_soon.timeout.connect(guarded(owner, self._look, once=True))
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

    def index_in_view(self) -> SliceIndex:
        """Return the slice the slider shows."""
        position = self.image.world_to_data(self.viewer.dims.point)
        shape = self.source.slider_shape
        return tuple(
            int(np.clip(round(float(value)), 0, size - 1))
            for value, size in zip(position[: len(shape)], shape, strict=True)
        )

    def show(self, index: SliceIndex) -> None:
        """Move the slider to a slice."""
        world = self.image.data_to_world((*index, 0, 0))
        first = self.viewer.dims.ndim - self.image.ndim
        for axis in range(len(index)):
            self.viewer.dims.set_point(first + axis, world[axis])

    def slider_axes(self) -> list[int]:
        """Return the viewer's axes whose sliders stop at each slice of the image and nowhere else.

        None if one of them does not, as where other layers are longer, finer or elsewhere.
        """
        shape, dims = self.source.slider_shape, self.viewer.dims
        axes = [dims.ndim - self.image.ndim + axis for axis in range(len(shape))]
        if not self.sliders_pick_slices() or [dims.nsteps[axis] for axis in axes] != [*shape]:
            return []
        first = self.image.data_to_world((0,) * self.image.ndim)
        starts = [dims.range[axis].start for axis in axes]
        return axes if np.allclose(starts, first[: len(axes)]) else []

    def slices_are_in_view(self) -> bool:
        """Whether the viewer shows the last two axes of the image, the ones that are predicted."""
        ndim = self.viewer.dims.ndim
        shown = set(self.viewer.dims.displayed)
        return {ndim - 2, ndim - 1} <= shown

    def sliders_pick_slices(self) -> bool:
        """Whether each slider walks along one axis of the image: not if it is rotated out of it."""
        n, ndim = len(self.source.slider_shape), self.image.ndim
        origin = np.asarray(self.image.data_to_world(np.zeros(ndim)))
        steps = np.array([self.image.data_to_world(row) - origin for row in np.eye(ndim)])
        # Rows: image axes; columns: the world's slider axes. Only the diagonal may move a slider.
        sliders = steps[:, :n]
        others = sliders - np.pad(np.diag(np.diag(sliders[:n])), ((0, ndim - n), (0, 0)))
        return bool(np.allclose(others, 0, atol=1e-6 * np.abs(steps).max()))

    def labels_of(self, index: SliceIndex) -> np.ndarray:
        """Return the labels of a slice; a view of the layer's own array.

        Raises
        ------
        ImageError
            If the layer's data were replaced by something of another shape, or a label is larger
            than a project can hold.
        """
        if tuple(self.labels.data.shape) != self.source.shape:
            raise ImageError(
                f"The masks layer {self.labels.name!r} now has shape {self.labels.data.shape}, the "
                f"image {self.source.shape}. Choose or make another masks layer."
            )
        labels = np.asarray(self.labels.data[index])
        check_size(labels, self.labels.name)
        return labels

    def class_labels(self, index: SliceIndex, one_class: bool) -> np.ndarray:
        """Copy the labels of a slice; where there is one class, any label is the object, 1."""
        labels = self.labels_of(index)
        return (labels != 0).astype(np.uint8) if one_class else labels.copy()

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
        """Copy the labels of all corrected and accepted slices."""
        self.check_known()
        return {index: self.labels_of(index).copy() for index in self.tracker.ready()}

    def check_known(self) -> None:
        """Look for edits at every slice that was ever predicted, painted or accepted."""
        if self._fits:
            self._tell(self._check([*self.tracker.known(), self.index_in_view()]))

    def check_slice_in_view(self) -> None:
        """Look at the slice in view, and at those the last edit or undo reached."""
        if self._fits:
            n_sliders, here = len(self.source.slider_shape), self.index_in_view()
            changed = self._check({here, *edited_slices(self.labels, n_sliders)})
            self._strokes.told()
            self._tell(changed)
            elsewhere = sorted(self._undone.slices(n_sliders) - {here})
            if elsewhere:
                self.said.emit(undone_elsewhere([*map(self.source.describe, elsewhere)]), False)

    def check_all(self) -> None:
        """Look for edits at every slice, before the masks are let go of. Emits nothing.

        The layers need not be in the viewer any more.
        """
        if self._has_shape:
            self._check(edited_slices(self.labels, len(self.source.slider_shape)))
            self._strokes.told()
            self._check(self.source.indices())

    @property
    def _has_shape(self) -> bool:
        return tuple(self.labels.data.shape) == self.source.shape

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
        # A polygon announces itself before its pixels are there, so the look comes a moment later.
        self._check_soon.start(0)

    def _on_replaced(self, event: Any) -> None:
        self._walk.hurry()

    def _look(self) -> None:
        self.check_slice_in_view()
        self.edited.emit()
        if not self._in_stroke:
            waiting, self._waiting = self._waiting, []
            for apply in waiting:
                apply()

    def _tracker(self) -> SliceTracker:
        """Return what is known of the masks layer, also from an earlier dock."""
        tracker = _TRACKERS.get(self.labels)
        if tracker is None or tracker.slice_shape != self.source.slice_shape:
            tracker = _TRACKERS[self.labels] = SliceTracker(self.source.slice_shape)
            for index in self.source.indices():
                tracker.adopt(index, self.labels_of(index))
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
