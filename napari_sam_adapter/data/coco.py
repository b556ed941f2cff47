"""Masks as COCO JSON: an annotation per connected object, with its outline as exact run lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import replaced_when_done


def write_coco(
    path: Path, labels: Any, classes: Sequence[str] = ("object",), *, image_name: str = ""
) -> None:
    """Write labels as COCO JSON; of a stack each slice is an image of its own.

    Objects are pixels of one label that touch, at corners too. With a single class every label is
    the number of an object; with more, label k is the k-th class.

    Parameters
    ----------
    path : Path
    labels : array-like of an integer type, shape (..., Y, X)
        Each slice is read once, in order.
    classes : sequence of str
        Their names; the k-th has the category id k.
    image_name : str
        File name of the image; that of ``path`` with .png unless given. Slices of a stack add their
        index to it: ``scan.nii.gz#3``.

    Raises
    ------
    ImageError
        If a label is no class.
    StorageError
        If the file cannot be written.

    Notes
    -----
    ``segmentation`` is an uncompressed RLE, ``{"size": [Y, X], "counts": [...]}``: lengths of runs
    of background and object in turn, down the columns. Unlike a polygon it is exact, with holes
    and all, and pycocotools reads it. ``iscrowd`` is 0, for each is one object.
    """
    name = image_name or path.with_suffix(".png").name
    height, width = labels.shape[-2:]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in np.ndindex(*labels.shape[:-2]):
        place = {"slice": list(index)} if index else {}
        file_name = f"{name}#{','.join(map(str, index))}" if index else name
        image_id = len(images) + 1
        images.append(
            {"id": image_id, "file_name": file_name, "width": width, "height": height, **place}
        )
        for found in _objects(np.asarray(labels[index]), classes):
            number = len(annotations) + 1
            annotations.append({"id": number, "image_id": image_id, "iscrowd": 0, **found})
    categories = [{"id": k, "name": one} for k, one in enumerate(classes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    with replaced_when_done(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        json.dump(content, stream)


def _objects(labels: np.ndarray, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what COCO wants to know of each object in a slice (Y, X)."""
    from scipy import ndimage

    values = np.unique(labels[labels != 0])
    highest = len(classes) if len(classes) > 1 else np.inf  # of one class any label is an instance
    outside = values[(values < 0) | (values > highest)]
    if outside.size:
        raise ImageError(
            f"The masks hold the label {outside[0]}, which is no class; expected "
            f"{f'1 to {len(classes)}' if len(classes) > 1 else 'labels above 0'} "
            f"({', '.join(classes)}). Name the missing classes, or erase that label."
        )
    for value in values:
        numbered, _ = ndimage.label(labels == value, structure=np.ones((3, 3)))
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbered), start=1):
            part = numbered[rows, columns] == number
            yield {
                "category_id": int(value) if len(classes) > 1 else 1,
                "segmentation": run_lengths(part, rows.start, columns.start, labels.shape),
                "area": int(part.sum()),
                "bbox": [columns.start, rows.start, part.shape[1], part.shape[0]],
            }


def run_lengths(part: np.ndarray, top: int, left: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the uncompressed RLE of an object.

    Parameters
    ----------
    part : ndarray of bool, shape (h, w)
        The object in its bounding box, which it touches on all sides.
    top, left : int
        Where the box lies in the image.
    shape : (Y, X)
        Of the image.
    """
    columns, rows = np.nonzero(part.T)
    at = (columns + left) * shape[0] + rows + top  # down the columns, in order
    new_run = np.flatnonzero(np.diff(at) > 1)
    starts = at[np.concatenate(([0], new_run + 1))]
    ends = at[np.concatenate((new_run, [at.size - 1]))] + 1
    borders = np.concatenate(([0], np.stack((starts, ends), axis=1).ravel()))
    counts = np.diff(np.append(borders, shape[0] * shape[1]))
    if counts[-1] == 0:
        counts = counts[:-1]
    return {"size": [int(shape[0]), int(shape[1])], "counts": counts.tolist()}
