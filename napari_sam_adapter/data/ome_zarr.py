"""OME-Zarr images (0.4, and 0.5 with zarr 3): lazy, with all their sizes, spacing and units.

zarr reads the chunks; it is installed with the extra ``volumes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import INSTALL, PlacedImage, one_key_per_axis
from napari_sam_adapter.errors import ImageError


def is_ome_zarr(path: Path) -> bool:
    """Tell whether a folder is a zarr, or an image or labels inside of one."""
    marks = (".zgroup", ".zarray", "zarr.json")
    return path.is_dir() and (path.suffix == ".zarr" or any((path / m).exists() for m in marks))


def open_ome_zarr(path: Path) -> PlacedImage:
    """Open an OME-Zarr image; chunks are read when they are looked at.

    Axes of a single time, channel or plane are left out. Several channels stay an axis of their
    own, before the slices.

    Parameters
    ----------
    path : Path
        The image's folder, or that of a file that bioformats2raw has made, whose first image it is
        then; or a plain zarr array.

    Raises
    ------
    ImageError
        If zarr is missing, or there is no image of two axes or more in the folder.
    """
    zarr = _zarr()
    try:
        node = zarr.open(str(path), mode="r")
        if hasattr(node, "shape"):
            return PlacedImage(path.name, (node,), Geometry.of_steps(node.shape))
        node, image = _image_in(path, node)
        arrays = [node[level["path"]] for level in image["datasets"]]
        return _placed(path, image, arrays)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{path} could not be read as OME-Zarr: {error}") from error


def _image_in(path: Path, group: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the group of an image and what is written about it."""
    for node in (group, *([group["0"]] if "0" in group else [])):
        attributes = dict(getattr(node, "attrs", {}))
        images = attributes.get("ome", attributes).get("multiscales")
        if images:
            return node, images[0]
    raise ImageError(
        f"{path} holds no OME-Zarr image (no 'multiscales' in its metadata). Expected the folder "
        "of an image; of a plate or a collection, choose one inside, like plate.zarr/A/1/0."
    )


def _placed(path: Path, image: Mapping[str, Any], arrays: Sequence[Any]) -> PlacedImage:
    shape = arrays[0].shape
    axes = image.get("axes") or [{"name": name} for name in "tczyx"[-len(shape) :]]
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    scale, origin = _steps(image, len(shape))
    named = [str(axis["name"]) for axis in axes]
    kept = [n for n, name in enumerate(named) if name not in ("t", "c", "z") or shape[n] > 1]
    geometry = Geometry.of_steps(
        [shape[number] for number in kept],
        "".join(named[number][0] for number in kept),
        [scale[number] for number in kept],
        [str(axes[number].get("unit", "")) for number in kept],
        [origin[number] for number in kept],
    )
    levels = [Squeezed(array, kept) if len(kept) < len(shape) else array for array in arrays]
    return PlacedImage(path.name, tuple(levels), geometry)


def _steps(image: Mapping[str, Any], n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the spacing and the origin of the largest level."""
    scale, origin = np.ones(n_axes), np.zeros(n_axes)
    first = image["datasets"][0].get("coordinateTransformations", [])
    for step in (*first, *image.get("coordinateTransformations", [])):
        if "scale" in step:
            scale, origin = scale * step["scale"], origin * step["scale"]
        if "translation" in step:
            origin = origin + step["translation"]
    return scale, origin


class Squeezed:
    """A zarr array without some axes of length one; whatever is cut out is read from it directly.

    Parameters
    ----------
    array : array-like
    kept : sequence of int
        Axes that stay; the others have length one.
    """

    def __init__(self, array: Any, kept: Sequence[int]) -> None:
        self._array, self._kept = array, tuple(kept)
        self.shape = tuple(int(array.shape[axis]) for axis in kept)
        self.dtype = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=int))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = iter(one_key_per_axis(key, self.ndim))
        axes = range(len(self._array.shape))
        return np.asarray(self._array[tuple(next(keys) if a in self._kept else 0 for a in axes)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype=dtype)


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImageError(f"OME-Zarr needs zarr, which is not installed: {INSTALL}") from error
    return zarr
