"""What training learns from: slices with the masks a person stands behind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from napari_sam_adapter.errors import ConditionError, ImageError, TrainingError


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One slice and its mask.

    Attributes
    ----------
    image : ndarray, shape (Y, X) or (Y, X, 3), integer or float
    labels : ndarray of bool or unsigned int, shape (Y, X)
        0 or False is the background, k the k-th class. May be empty: an empty slice teaches what
        is not an object.
    name : str
        For messages and for the adapter file's training summary.
    group : str
        The volume, video or patient it is of; "" where that is not known. Slices of one group are
        alike, so that a model trained on some scores too well on the others.
    is_as_predicted : bool
        Whether the mask is just what a model predicted and a person accepted. To that model it is
        perfect, and any other one is worse.
    """

    image: np.ndarray
    labels: np.ndarray
    name: str
    group: str = ""
    is_as_predicted: bool = False

    def __post_init__(self) -> None:
        if self.image.shape[:2] != self.labels.shape:
            raise ImageError(
                f"{self.name}: the image is {self.image.shape[0]} x {self.image.shape[1]} pixels "
                f"but its mask is {' x '.join(map(str, self.labels.shape))}; they must be alike."
            )

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.labels.shape[0], self.labels.shape[1]

    @property
    def shows_object(self) -> bool:
        """Whether any class is marked in it."""
        return bool(self.labels.any())

    @property
    def digest(self) -> str:
        """Fingerprint of the image, whatever the slice is called and its mask looks like."""
        return _digest(self.image)

    @property
    def labels_digest(self) -> str:
        """Fingerprint of the mask."""
        return _digest(self.labels)


def _digest(array: np.ndarray) -> str:
    content = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=12)
    content.update(f"{array.dtype.str}{array.shape}".encode())
    return content.hexdigest()


@contextmanager
def naming(sample: TrainingSample) -> Iterator[None]:
    """Put the name of a slice before what is wrong with it, or with a condition of it."""
    try:
        yield
    except (ConditionError, ImageError) as error:
        raise type(error)(f"{sample.name}: {error}") from error


def class_masks(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return one mask per class, bool (K, Y, X). For a single class, any label is the object."""
    if n_classes == 1:
        return np.asarray(labels != 0)[None]
    classes = np.arange(1, n_classes + 1).reshape(-1, 1, 1)
    return np.asarray(labels[None] == classes)


def check_labels(samples: Sequence[TrainingSample], class_names: Sequence[str]) -> None:
    """Refuse labels that are none of the classes.

    Raises
    ------
    ImageError, TrainingError
        Naming the slice and the label.
    """
    for sample in samples:
        check_mask(sample.name, sample.labels, class_names)


def check_none_below_0(name: str, labels: np.ndarray) -> None:
    """Refuse labels that usually mean "ignore": they would count as the object.

    Raises
    ------
    ImageError
        Naming the slice and the label.
    """
    lowest = int(labels.min(initial=0))
    if lowest < 0:
        raise ImageError(
            f"{name} holds the label {lowest}. 0 is the background, and labels above 0 are what is "
            "marked; pixels cannot be left out. Erase that label, or paint over it."
        )


def check_mask(name: str, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Refuse labels of a slice that are none of the classes.

    Raises
    ------
    ImageError, TrainingError
        Naming the slice and the label.
    """
    check_none_below_0(name, labels)
    n_classes, highest = len(class_names), int(labels.max(initial=0))
    if 1 < n_classes < highest:
        raise TrainingError(
            f"{name} is marked with label {highest}, but there are {n_classes} classes: "
            f"{', '.join(class_names)}. Add a class, or paint with a label from 1 to "
            f"{n_classes}."
        )
