"""What training learns from: slices with the masks a person stands behind."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_adapter.errors import ImageError, TrainingError

if TYPE_CHECKING:
    from napari_sam_adapter.adapter.card import AdapterCard

MINIMUM_FOR_HOLD_OUT = 6
MOST_HELD_OUT = 32  # more would say little more, and take slices and time from learning


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
    """

    image: np.ndarray
    labels: np.ndarray
    name: str

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


@dataclass(frozen=True, slots=True)
class History:
    """What the adapter a run starts from has met before, as digests of slices.

    Attributes
    ----------
    trained_on : frozenset of str
        Never held out: the model would score too well on them, and no new state could beat the one
        it started from.
    held_out : frozenset of str
        Held out again where they are there: so new corrections are learned from, and scores
        compare from version to version.
    """

    trained_on: frozenset[str] = frozenset()
    held_out: frozenset[str] = frozenset()

    @classmethod
    def of(cls, parent: AdapterCard | None) -> History:
        """Return the history of an adapter; empty for the base model."""
        if parent is None:
            return NO_HISTORY
        summary = parent.training
        return cls(frozenset(summary.get("trained_on", ())), frozenset(summary.get("held_out", ())))


NO_HISTORY = History()


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
    TrainingError
        Naming the slice and the label.
    """
    n_classes = len(class_names)
    if n_classes == 1:
        return
    for sample in samples:
        highest = int(sample.labels.max())
        if highest > n_classes:
            raise TrainingError(
                f"{sample.name} is marked with label {highest}, but there are {n_classes} classes: "
                f"{', '.join(class_names)}. Add a class, or paint with a label from 1 to "
                f"{n_classes}."
            )


def split_samples(
    samples: Sequence[TrainingSample],
    rng: np.random.Generator,
    *,
    history: History = NO_HISTORY,
) -> tuple[list[TrainingSample], list[TrainingSample]]:
    """Split samples into training and held-out ones.

    One in eight is held out, at least one from six samples on, none below; more than 32 only where
    earlier runs held them out. All of them show an object, and no more than half of those that
    do are held out: of an empty slice the Dice is 0 or 1, so that a single one, once predicted
    right, would outvote whatever else is learned.

    Parameters
    ----------
    samples : sequence of TrainingSample
    rng : Generator
    history : History

    Returns
    -------
    training, held_out : list of TrainingSample
        Together all samples, in their order.
    """
    if len(samples) < MINIMUM_FOR_HOLD_OUT:
        return list(samples), []
    wanted = min(max(1, len(samples) // 8), MOST_HELD_OUT)
    met = history != NO_HISTORY
    digests = [sample.digest if met else "" for sample in samples]
    useful = [i for i, sample in enumerate(samples) if sample.shows_object]
    held_out = {i for i in useful if digests[i] in history.held_out}
    candidates = [i for i in useful if digests[i] not in history.trained_on and i not in held_out]
    # Of the new slices, most are to be learned from.
    missing = max(0, min(wanted - len(held_out), len(candidates) // 2))
    held_out |= set(rng.choice(candidates, size=missing, replace=False).tolist())
    return (
        [sample for index, sample in enumerate(samples) if index not in held_out],
        [sample for index, sample in enumerate(samples) if index in held_out],
    )
