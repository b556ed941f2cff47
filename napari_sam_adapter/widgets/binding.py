"""An image layer and its masks layer, as arrays. The only file that listens to layer events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.annotations import SliceState, SliceTracker
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volume import SliceIndex, SliceSource

if TYPE_CHECKING:
    import napari

# What is known of a masks layer stays with it when the dock is closed and opened again.
TRACKER_KEY = "napari-sam-adapter"
SCAN_INTERVAL_MS = 700
SLICES_PER_SCAN = 16


class LayerBinding(QObject):
    """Slices of an image layer with the masks of a Labels layer.

    Parameters
    ----------
    viewer : napari.Viewer
    image : Image
    labels : Labels
        Of the image's shape, colours aside.

    Attributes
    ----------
    slices_changed : Signal()
        The state of a slice changed.

    Raises
    ------
    ImageError
        If a layer cannot be used, or they do not fit each other.
    """

    slices_changed = Signal()

    def __init__(self, viewer: napari.Viewer, image: Image, labels: Labels) -> None:
        super().__init__()
        self.viewer, self.image, self.labels = viewer, image, labels
        self.source = source_of(image)
        check_labels(labels, self.source)
        self.tracker = _tracker_of(labels, self.source)
        self._painted = False
        self._next_scan = 0
        self._check_soon = QTimer(self)
        self._check_soon.setSingleShot(True)
        self._check_soon.timeout.connect(self.check_slice_in_view)
        # Writes from the console emit nothing, and strokes may reach slices out of view.
        self._scanner = QTimer(self)
        self._scanner.setInterval(SCAN_INTERVAL_MS)
        self._scanner.timeout.connect(self._scan_some)
        self._scanner.start()
        labels.events.paint.connect(self._on_paint)
        labels.events.set_data.connect(self._on_set_data)
        self.check_all()

    def close(self) -> None:
        """Stop listening."""
        self._scanner.stop()
        self._check_soon.stop()
        self.labels.events.paint.disconnect(self._on_paint)
        self.labels.events.set_data.disconnect(self._on_set_data)

    @property
    def is_alive(self) -> bool:
        """Whether both layers are still in the viewer."""
        return self.image in self.viewer.layers and self.labels in self.viewer.layers

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

    def slices_are_in_view(self) -> bool:
        """Whether the viewer shows the last two axes of the image, the ones that are predicted."""
        ndim = self.viewer.dims.ndim
        shown = set(self.viewer.dims.displayed)
        return {ndim - 2, ndim - 1} <= shown

    def labels_of(self, index: SliceIndex) -> np.ndarray:
        """Return the labels of a slice; a view of the layer's own array.

        Raises
        ------
        ImageError
            If the layer's data were replaced by something of another shape.
        """
        if tuple(self.labels.data.shape) != self.source.shape:
            raise ImageError(
                f"The masks layer {self.labels.name!r} now has shape {self.labels.data.shape}, the "
                f"image {self.source.shape}. Choose or make another masks layer."
            )
        return np.asarray(self.labels.data[index])

    def apply(self, prediction: SlicePredicted) -> int:
        """Write a prediction as one undoable edit that leaves the person's pixels alone.

        Returns
        -------
        int
            Number of pixels that changed.
        """
        index = prediction.index
        self.check_slice_in_view()
        self._check(index)
        change = self.tracker.plan_prediction(index, self.labels_of(index), prediction.mask)
        count = int(change.rows.size)
        if count:
            fixed = tuple(np.full(count, position) for position in index)
            self.labels.data_setitem((*fixed, change.rows, change.columns), change.new)
        written = self.labels_of(index)
        self.tracker.prediction_written(index, written, change, prediction.adapter_id)
        # Our own write has announced itself like a stroke; it was not one.
        self._painted = False
        self.slices_changed.emit()
        return count

    def toggle_accepted(self, index: SliceIndex) -> bool:
        """Accept a slice, or take that back; return whether it is accepted now."""
        accepted = self.tracker.state(index) is not SliceState.ACCEPTED
        self._check(index)
        self.tracker.set_accepted(index, self.labels_of(index), accepted)
        self.slices_changed.emit()
        return accepted

    def masks_to_train_on(self) -> dict[SliceIndex, np.ndarray]:
        """Copy the masks of all corrected and accepted slices; any label counts as the object."""
        self.check_all()
        return {index: self.labels_of(index) != 0 for index in self.tracker.ready()}

    def check_all(self) -> None:
        """Look at every slice for edits."""
        self.check_slice_in_view()
        changed = [self._check(index) for index in self.source.indices()]
        if any(changed):
            self.slices_changed.emit()

    def check_slice_in_view(self) -> None:
        """Look at the slice in view for edits. Strokes happen there, so it is looked at first."""
        if not self.is_alive or tuple(self.labels.data.shape) != self.source.shape:
            return
        painted, self._painted = self._painted, False
        if self._check(self.index_in_view(), painted=painted):
            self.slices_changed.emit()

    def _scan_some(self) -> None:
        """Look at the slice in view and at the next few of all others."""
        if not self.is_alive or tuple(self.labels.data.shape) != self.source.shape:
            return
        self.check_slice_in_view()
        total = self.source.n_slices
        positions = [(self._next_scan + i) % total for i in range(min(SLICES_PER_SCAN, total))]
        self._next_scan = (positions[-1] + 1) % total
        changed = [self._check(self.source.index_of(position)) for position in positions]
        if any(changed):
            self.slices_changed.emit()

    def _check(self, index: SliceIndex, *, painted: bool = False) -> bool:
        return self.tracker.observe(index, self.labels_of(index), painted=painted)

    def _on_paint(self, event: Any) -> None:
        self._painted = True
        self._check_soon.start(0)

    def _on_set_data(self, event: Any) -> None:
        # Undo and redo emit this alone, but so does moving the slider: only a look can tell.
        self._check_soon.start(0)


def _tracker_of(labels: Labels, source: SliceSource) -> SliceTracker:
    tracker = labels.metadata.get(TRACKER_KEY)
    if not isinstance(tracker, SliceTracker) or tracker.slice_shape != source.slice_shape:
        tracker = labels.metadata[TRACKER_KEY] = SliceTracker(source.slice_shape)
    return tracker


def source_of(image: Image) -> SliceSource:
    """Return the slices of an image layer, at full resolution if it is multiscale.

    Raises
    ------
    ImageError
        If its shape or type cannot be used.
    """
    data = image.data[0] if image.multiscale else image.data
    return SliceSource(data, is_colour=bool(image.rgb))


def check_labels(labels: Labels, source: SliceSource) -> None:
    """Refuse a masks layer that does not fit or cannot be written.

    Raises
    ------
    ImageError
        With what to do.
    """
    if labels.multiscale or not isinstance(labels.data, np.ndarray):
        raise ImageError(
            f"The masks layer {labels.name!r} does not hold its labels in memory, so predictions "
            "cannot be written into it. Choose (new masks layer)."
        )
    if tuple(labels.data.shape) != source.shape:
        raise ImageError(
            f"The masks layer {labels.name!r} has shape {labels.data.shape}, the image "
            f"{source.shape}. Choose another layer, or (new masks layer)."
        )


def new_labels_layer(viewer: napari.Viewer, image: Image) -> Labels:
    """Add an empty masks layer that lies on an image exactly."""
    source = source_of(image)
    labels = Labels(
        np.zeros(source.shape, np.uint8),
        name=f"{image.name} masks",
        scale=image.scale,
        translate=image.translate,
        rotate=image.rotate,
        shear=image.shear,
        affine=image.affine,
        units=image.units,
        axis_labels=image.axis_labels,
        opacity=0.5,
    )
    viewer.add_layer(labels)
    return labels
