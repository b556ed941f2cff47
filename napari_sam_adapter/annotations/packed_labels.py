"""A slice of labels that takes little memory, for the many slices that are remembered. Numpy only.

Masks are large areas of one value: their runs of equal pixels take a fiftieth of the memory, and
are packed and unpacked several times faster than by zlib.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class PackedLabels:
    """The runs of equal pixels of a slice, row by row. Never changed.

    Attributes
    ----------
    shape : tuple of int
        (Y, X).
    starts : ndarray of int32
        Where each run starts.
    values : ndarray
        Of each run; of the type of the labels.
    """

    shape: tuple[int, ...]
    starts: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> PackedLabels:
        """Pack a slice (Y, X) of integers or bool."""
        pixels = labels.ravel()
        starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
        starts = np.concatenate(([0], starts))[: pixels.size].astype(np.int32)
        return cls(labels.shape, starts, pixels[starts])

    @property
    def lengths(self) -> np.ndarray:
        """Number of pixels of each run, as int32."""
        return np.diff(self.starts, append=np.int32(self.shape[0] * self.shape[1]))

    def unpacked(self) -> np.ndarray:
        """Return the slice as a new array (Y, X)."""
        return np.repeat(self.values, self.lengths).reshape(self.shape)

    def is_of(self, labels: np.ndarray) -> bool:
        """Whether a slice (Y, X) has just these labels."""
        return np.array_equal(self.unpacked(), labels)

    def __eq__(self, other: object) -> bool:
        """Whether both are of the same labels, of whatever type."""
        return (
            isinstance(other, PackedLabels)
            and self.shape == other.shape
            and np.array_equal(self.starts, other.starts)
            and np.array_equal(self.values, other.values)
        )
