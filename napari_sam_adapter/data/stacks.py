"""Slices from folders of pictures and stacks, for training and for the demo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from napari_sam_adapter.data.files import Note, say_nothing
from napari_sam_adapter.data.pairs import read_pair
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import value_range


def read_slices(
    pairs: Iterable[tuple[Path, Path]],
    class_names: Sequence[str] = ("object",),
    group_by: re.Pattern[str] | None = None,
    note: Note = say_nothing,
) -> Iterator[tuple[np.ndarray, np.ndarray, str, str]]:
    """Read pictures as they are and stacks slice by slice; a slice without contrast is left out.

    Parameters
    ----------
    pairs : iterable of (image path, mask path)
    class_names : sequence of str
    group_by : pattern, optional
        Finds the patient or video in the name of an image file: its first group, or all it matches.
    note : callable
        See `read_mask`.

    Yields
    ------
    image : ndarray, shape (Y, X) or (Y, X, 3)
    labels : ndarray of bool or uint8, shape (Y, X)
    name : str
        Of the file, and of the slice in a stack.
    group : str
        See `TrainingSample`: what the pattern finds, else the patient where the file (DICOM) tells,
        else the file for a stack, "" for a picture.

    Raises
    ------
    ImageError
        If a pair cannot be read or does not fit, or the pattern finds nothing in its name.
    """
    for image_path, mask_path in pairs:
        pair = read_pair(image_path, mask_path, class_names, note)
        image, labels = pair.image, pair.labels
        group = _group(image_path, group_by) or pair.patient or ""
        if labels.ndim == 2:
            yield image, labels, image_path.name, group
            continue
        for index, (one, one_labels) in enumerate(zip(image, labels, strict=True)):
            if value_range(one) is not None:
                name = f"{image_path.name}, slice {index}"
                yield one, one_labels, name, group or image_path.name


def _group(path: Path, group_by: re.Pattern[str] | None) -> str:
    if group_by is None:
        return ""
    found = group_by.search(path.name)
    name = (found[1] if group_by.groups else found[0]) if found else ""
    if not name:
        raise ImageError(
            f"The pattern '{group_by.pattern}' finds no patient or video in the name {path.name}. "
            "Change it so that it fits every image."
        )
    return name
