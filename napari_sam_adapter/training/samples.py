"""What training learns from: slices with the masks a person stands behind."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from napari_sam_adapter.errors import ImageError

MINIMUM_FOR_HOLD_OUT = 6


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One slice and its mask.

    Attributes
    ----------
    image : ndarray, shape (Y, X) or (Y, X, 3), integer or float
    mask : ndarray of bool, shape (Y, X)
        True where the object is. May be empty: an empty slice teaches what is not an object.
    name : str
        For messages and for the adapter file's training summary.
    """

    image: np.ndarray
    mask: np.ndarray
    name: str

    def __post_init__(self) -> None:
        if self.image.shape[:2] != self.mask.shape:
            raise ImageError(
                f"{self.name}: the image is {self.image.shape[0]} x {self.image.shape[1]} pixels "
                f"but its mask is {' x '.join(map(str, self.mask.shape))}; they must be alike."
            )

    @property
    def digest(self) -> str:
        """Fingerprint of the image, whatever the slice is called and its mask looks like."""
        content = hashlib.blake2b(np.ascontiguousarray(self.image).data, digest_size=12)
        content.update(f"{self.image.dtype.str}{self.image.shape}".encode())
        return content.hexdigest()


def split_samples(
    samples: Sequence[TrainingSample],
    rng: np.random.Generator,
    *,
    seen: Collection[str] = frozenset(),
) -> tuple[list[TrainingSample], list[TrainingSample]]:
    """Split samples into training and held-out ones.

    One in eight is held out, at least one from six samples on, none below. The held-out slices
    show an object where there are enough of those: an empty slice says little about progress.

    Parameters
    ----------
    samples : sequence of TrainingSample
    rng : Generator
    seen : collection of str
        Digests of slices that the model has been trained on before. They are never held out: it
        would score too well on them, and no new state could beat the one it started from.

    Returns
    -------
    training, held_out : list of TrainingSample
        Together all samples, in their order.
    """
    if len(samples) < MINIMUM_FOR_HOLD_OUT:
        return list(samples), []
    wanted = max(1, len(samples) // 8)
    unseen = [i for i, sample in enumerate(samples) if not seen or sample.digest not in seen]
    with_object = [index for index in unseen if samples[index].mask.any()]
    candidates = with_object if len(with_object) > wanted else unseen
    wanted = min(wanted, len(candidates))
    held_out = set(rng.choice(candidates, size=wanted, replace=False).tolist())
    return (
        [sample for index, sample in enumerate(samples) if index not in held_out],
        [sample for index, sample in enumerate(samples) if index in held_out],
    )
