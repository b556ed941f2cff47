"""What napari calls to open NIfTI files, DICOM series and OME-Zarr images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning

from napari_sam_adapter.data.dicom_series import dicom_files
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.data.ome_zarr import is_ome_zarr
from napari_sam_adapter.data.opening import file_stem, open_image
from napari_sam_adapter.widgets.trouble import has_window, tell_of_file

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_sam_adapter.data.geometry import Geometry

LayerData = tuple[Any, dict[str, Any], str]
# By this napari knows that there is nothing to show.
NO_LAYER: Any = (None,)
# Under this name a layer's metadata hold the `Geometry` of its image; masks are written by it. See
# `geometry_of`.
GEOMETRY = "napari_sam_adapter_geometry"
# Under this one, those of masks hold the name of their image's file.
IMAGE_FILE = "napari_sam_adapter_image_file"
# And this, for images only, what is alike for all of one patient.
PATIENT = "napari_sam_adapter_patient"


def volume_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a function that opens a path, or None for folders and lists that are not ours."""
    if not isinstance(path, str):
        return None
    folder = Path(path)
    if folder.is_dir() and not is_ome_zarr(folder) and not any(dicom_files(folder)):
        return None
    return read_volume


def read_volume(path: str) -> list[LayerData]:
    """Open an image as a layer whose slices are read when they are looked at.

    In a window, what goes wrong is said in the dialog of the dock, and there is no layer: napari
    itself would only say that opening has failed, and show the reason in a traceback.

    Raises
    ------
    ImageError
        Without a window: if it cannot be read, or the library that does is missing.
    """
    try:
        image = open_image(Path(path))
        _look_at(image)
    except Exception as error:
        if not has_window():
            raise
        tell_of_file(error)
        return [NO_LAYER]
    for note in image.notes:
        show_warning(note)
    return [layer_of(image, file_stem(Path(path)))]


def _look_at(image: PlacedImage) -> None:
    """Read a slice: what is damaged behind its header is told before napari shows it."""
    smallest = image.levels[-1]
    n_sliders = smallest.ndim - (3 if image.is_colour else 2)
    np.asarray(smallest[(0,) * n_sliders])


def layer_of(image: PlacedImage, name: str) -> LayerData:
    """Return what napari makes a layer of: an image, or labels where the file says so."""
    geometry = image.geometry
    properties = {
        "name": name,
        "multiscale": len(image.levels) > 1,
        "scale": geometry.spacing,
        "translate": geometry.origin,
        "units": geometry.units,
        "axis_labels": geometry.axes,
        "metadata": {GEOMETRY: geometry},
    }
    if image.patient is not None:
        properties["metadata"] = {GEOMETRY: geometry, PATIENT: image.patient}
    data = list(image.levels) if len(image.levels) > 1 else image.data
    if image.is_labels:
        return data, properties, "labels"
    return data, {**properties, "rgb": image.is_colour}, "image"


def geometry_of(layer: Layer) -> Geometry | None:
    """Return where the pixels of a layer lie, as the file of its image says; None where none does.

    What napari makes of a layer (a projection, the parts of a stack) has the metadata of the whole:
    they say nothing about other pixels than those of their shape.
    """
    geometry: Geometry | None = layer.metadata.get(GEOMETRY)
    shape = (layer.data[0] if layer.multiscale else layer.data).shape[: layer.ndim]
    return geometry if geometry is not None and geometry.shape == tuple(shape) else None
