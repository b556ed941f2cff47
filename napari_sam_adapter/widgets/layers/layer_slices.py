"""Slices of an image layer and of its masks layer, as arrays and as the viewer shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.training.samples import check_none_below_0
from napari_sam_adapter.widgets.layers.labels_check import check_labels, check_size
from napari_sam_adapter.widgets.layers.layer_axes import renamed_axes, shows_last_axes
from napari_sam_adapter.widgets.layers.sliders import pixel_in_view, sliders_at

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource


class LayerSlices(QObject):
    """Slices of an image layer with those of a Labels layer; nothing is listened to or written.

    Parameters
    ----------
    viewer : napari.Viewer
    image : Image
    source : SliceSource
        Of the image.
    labels : Labels
        Of the image's shape, colours aside.

    Raises
    ------
    ImageError
        If the layers do not fit each other.
    """

    def __init__(
        self, viewer: napari.Viewer, image: Image, source: SliceSource, labels: Labels
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.source, self.labels = viewer, image, source, labels
        check_labels(labels, source)
        self.call_sliders()

    def call_sliders(self) -> None:
        """Call the sliders in sentences what the person calls them."""
        names = renamed_axes(self.viewer, self.image.ndim)
        self.source.call_sliders(names[: len(self.source.slider_shape)])

    def index_in_view(self) -> SliceIndex:
        """Return the slice the slider shows; the nearest one if it stands outside of the image."""
        shape = self.source.slider_shape
        return tuple(
            int(np.clip(at, 0, size - 1))
            for at, size in zip(self._position_in_view(), shape, strict=True)
        )

    def need_in_view(self) -> SliceIndex:
        """Return the slice the slider shows.

        Raises
        ------
        ImageError
            If the slider stands outside of the image, as where a longer one is open, too; or if the
            viewer shows all slices at once.
        """
        if self.source.slider_shape and self.viewer.dims.ndisplay > 2:
            raise ImageError(
                "The viewer shows all slices at once, so none is in view. Go back to two "
                "dimensions (Ctrl+Y) to work on one."
            )
        index = self.index_in_view()
        if self.is_out_of_view:
            raise ImageError(
                f"The slider stands where {self.image.name!r} has no slice: move it to "
                f"{self.source.describe(index)}, the nearest one."
            )
        return index

    @property
    def is_out_of_view(self) -> bool:
        """Whether the slider stands outside of the image."""
        return self.index_in_view() != self._position_in_view()

    def _position_in_view(self) -> tuple[int, ...]:
        position = pixel_in_view(self.viewer, self.image)[: len(self.source.slider_shape)]
        return tuple(round(float(value)) for value in position)

    def show(self, index: SliceIndex) -> None:
        """Move the slider to a slice."""
        world = sliders_at(self.viewer, self.image, (*index, 0, 0))
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
        first = sliders_at(self.viewer, self.image, (0,) * self.image.ndim)
        starts = [dims.range[axis].start for axis in axes]
        return axes if np.allclose(starts, first[: len(axes)]) else []

    def slices_are_in_view(self) -> bool:
        """Whether the viewer shows the last two axes of the image, the ones that are predicted."""
        return shows_last_axes(self.viewer)

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
                f"image {self.source.shape}: it is not recorded. Choose or make another one."
            )
        labels = np.asarray(self.labels.data[index])
        check_size(labels, self.labels.name)
        return labels

    def class_labels(self, index: SliceIndex, one_class: bool) -> np.ndarray:
        """Copy the labels of a slice; where there is one class, any label is the object, 1.

        Raises
        ------
        ImageError
            If a label is below 0, or as by `labels_of`.
        """
        labels = self.labels_of(index)
        check_none_below_0(f"{self.labels.name}, {self.source.describe(index)}", labels)
        return (labels != 0).astype(np.uint8) if one_class else labels.copy()

    @property
    def _has_shape(self) -> bool:
        return tuple(self.labels.data.shape) == self.source.shape
