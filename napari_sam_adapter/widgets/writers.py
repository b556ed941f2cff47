"""What napari calls to save a masks layer as NIfTI, OME-TIFF or COCO JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_sam_adapter.data.export import COCO_SUFFIX, MASK_SUFFIXES, export_masks
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.tiff import OME_SUFFIXES
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.widgets.readers import GEOMETRY, IMAGE_FILE
from napari_sam_adapter.widgets.retrain.class_choice import COLUMNS
from napari_sam_adapter.widgets.trouble import NOT_SAVED, has_window, tell_of_file


def write_nifti(path: str, data: Any, layer: Mapping[str, Any]) -> list[str]:
    """Write one masks layer, as NIfTI unless the path says otherwise; see `write_masks`."""
    return write_masks(path, data, layer, suffix=".nii.gz")


def write_ome_tiff(path: str, data: Any, layer: Mapping[str, Any]) -> list[str]:
    """Write one masks layer, as OME-TIFF unless the path says otherwise; see `write_masks`."""
    return write_masks(path, data, layer, suffix=OME_SUFFIXES[0])


def write_coco(path: str, data: Any, layer: Mapping[str, Any]) -> list[str]:
    """Write one masks layer, as COCO JSON unless the path says otherwise; see `write_masks`."""
    return write_masks(path, data, layer, suffix=COCO_SUFFIX)


def write_masks(path: str, data: Any, layer: Mapping[str, Any], *, suffix: str) -> list[str]:
    """Write one masks layer, with the place of its image if the layer knows it.

    In a window, what goes wrong is said in the dialog of the dock.

    Parameters
    ----------
    path : str
        Its suffix says the format. Without one of a format of masks, as napari proposes it, it
        gets `suffix`, and must not exist.
    data : array-like, shape (..., Y, X)
    layer : mapping
        What napari knows of the layer. Its metadata may hold the image's `Geometry`; where that
        knows no place in a patient, scale, translate and units tell the sizes: somebody may have
        typed them.
    suffix : str
        Of the format chosen in napari's dialog.

    Returns
    -------
    list of str
        The file that was written. If that has failed in a window, the folder alone: of an empty
        list, as of an error, napari would tell the person once more, with a traceback; so it only
        begins in that folder the next time.

    Raises
    ------
    SamAdapterError
        Without a window: if the masks do not fit the format or their image, or cannot be written.
    """
    try:
        path = _with_suffix(path, suffix)
        _write(Path(path), data, layer)
    except Exception as error:
        if not has_window():
            raise
        tell_of_file(error, NOT_SAVED)
        return [os.path.join(os.path.dirname(path), "")]
    return [path]


def _with_suffix(path: str, suffix: str) -> str:
    if path.lower().endswith(MASK_SUFFIXES):
        return path
    path += suffix
    if os.path.lexists(path):  # napari's dialog has asked whether to replace the other name
        raise StorageError(
            f"{os.path.basename(path)} exists already; to replace it, save under this whole name."
        )
    return path


def _write(path: Path, data: Any, layer: Mapping[str, Any]) -> None:
    labels = data[0] if layer.get("multiscale") else data
    geometry = _geometry_of(labels, layer)
    # Without a file the image has only its layer's name, after which masks layers are named.
    name = str(layer.get("name", "")).removesuffix(" masks")
    name = layer.get("metadata", {}).get(IMAGE_FILE, name)
    export_masks(path, labels, geometry, _classes_of(layer), image_name=name)


def _geometry_of(labels: Any, layer: Mapping[str, Any]) -> Geometry:
    of_image: Geometry | None = layer.get("metadata", {}).get(GEOMETRY)
    if of_image is not None and len(of_image.shape) != labels.ndim:
        of_image = None  # of what napari has made these of, a whole stack for instance
    if of_image is not None and (of_image.affine is not None or of_image.shape != labels.shape):
        return of_image
    units = layer.get("units")
    typed = Geometry.of_steps(
        labels.shape,
        spacing=layer.get("scale"),
        units=None if units is None else [str(unit) for unit in units],
        origin=layer.get("translate"),
    )
    if of_image is None:
        return typed
    return replace(of_image, spacing=typed.spacing, units=typed.units, origin=typed.origin)


def _classes_of(layer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that the dock keeps in the features of a masks layer of several classes."""
    features = layer.get("features")
    if features is None or list(features.columns) != COLUMNS:
        return ("object",)
    return tuple(map(str, features[COLUMNS[1]][1:]))
