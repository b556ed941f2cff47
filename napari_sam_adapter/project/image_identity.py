"""By what an image is known again: few of its slices, so that a lazy image is known soon."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.schema import read_described, write_described
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource, value_range

if TYPE_CHECKING:
    from hashlib import _Hash

IMAGE_FILE = "image.json"
_KIND = "napari-sam-adapter image"
# Slices that show anything; where most are empty, as around a scan that was cut out, more are read.
TELLING, MOST = 16, 64
# The k-th position on a slider axis is the fraction of k times a number of its own: in 32 bits, the
# roots of the first primes. So positions spread over each axis, and over all of them together.
_STEPS = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C)


@dataclass(frozen=True, slots=True)
class ImageIdentity:
    """By what an image is known again.

    Attributes
    ----------
    name : str
        For people; not part of what it is known by.
    shape : tuple of int
        (..., Y, X), without colours.
    is_colour : bool
    dtype : str
    digest : str
        SHA-256 of all that and the pixels of the first, the middle and the last slice.
    source : str or None
        File or folder it was opened from.
    patient : str or None
        See `PlacedImage`; not part of what it is known by.
    fine_digest : str or None
        SHA-256 of more slices, see `Digests`; None in records of earlier versions.
    """

    name: str
    shape: tuple[int, ...]
    is_colour: bool
    dtype: str
    digest: str
    source: str | None = None
    patient: str | None = None
    fine_digest: str | None = None

    @property
    def known_by(self) -> str:
        """The finest digest there is."""
        return self.fine_digest or self.digest

    def is_same(self, other: ImageIdentity) -> bool:
        """Whether both are one image, as far as what is known of both can tell."""
        if self.fine_digest and other.fine_digest:
            return self.fine_digest == other.fine_digest
        return self.digest == other.digest

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(Y, X)."""
        height, width = self.shape[-2:]
        return height, width

    @property
    def slider_shape(self) -> tuple[int, ...]:
        """Sizes of the axes in front of them."""
        return self.shape[:-2]

    @classmethod
    def of(
        cls, source: SliceSource, name: str, path: str | None = None, patient: str | None = None
    ) -> ImageIdentity:
        """Identify an image, see `digests_of`.

        Raises
        ------
        ImageError
            If its slices cannot be read.
        """
        found = digests_of(source)
        shape, is_colour = source.shape, source.is_colour
        return cls(
            name, shape, is_colour, found.dtype, found.digest, path, patient, found.fine_digest
        )

    @classmethod
    def read(cls, folder: Path) -> ImageIdentity:
        """Read what a record's folder says.

        Raises
        ------
        StorageError
            If it is damaged or newer than this program.
        """
        # Records of earlier versions do not say all.
        unsaid = {"patient": None, "fine_digest": None}
        values = unsaid | read_described(folder / IMAGE_FILE, _KIND)
        try:
            fields = {key: values[key] for key in cls.__slots__}
            return cls(**fields | {"shape": tuple(int(size) for size in values["shape"])})
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"{folder / IMAGE_FILE} is damaged: {error}.") from error

    def write(self, folder: Path) -> None:
        """Write what a record's folder says.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        # Not a folder that was moved meanwhile.
        write_described(folder / IMAGE_FILE, _KIND, asdict(self), makes_folder=False)


@dataclass(frozen=True, slots=True)
class Digests:
    """What an image is known by.

    Attributes
    ----------
    dtype : str
        Of its pixels.
    digest : str
        SHA-256 of shape, colours, type, and the first, the middle and the last slice.
    fine_digest : str
        The same of more slices, with the low byte of each number first.
    """

    dtype: str
    digest: str
    fine_digest: str


def digests_of(source: SliceSource) -> Digests:
    """Read what an image is known by: 16 slices, or 64 where most of them are empty.

    Raises
    ------
    ImageError
        If they cannot be read.
    """
    first = sorted({0, source.n_slices // 2, source.n_slices - 1})
    indices = [source.index_of(flat) for flat in first]
    slices = [source.read(index) for index in indices]
    dtype = slices[0].dtype
    low_byte_first = dtype.newbyteorder("<")
    hashed = _hash_of(source, dtype, slices)
    digest = hashed.hexdigest()
    if dtype != low_byte_first:
        hashed = _hash_of(source, low_byte_first, slices)
    n_telling = sum(map(_tells, slices))
    del slices
    seen = set(indices)
    for index in _spread(source):
        if n_telling >= TELLING or len(seen) >= min(MOST, source.n_slices):
            break
        if index not in seen:
            seen.add(index)
            pixels = source.read(index)
            n_telling += _tells(pixels)
            hashed.update(_bytes(low_byte_first, pixels))
    return Digests(dtype.str, digest, hashed.hexdigest())


def _spread(source: SliceSource) -> Iterator[SliceIndex]:
    """Yield slices that lie apart on every slider axis, some of them twice, then all in order."""
    for k in range(1, MOST):
        steps = zip(source.slider_shape, itertools.cycle(_STEPS), strict=False)
        yield tuple((k * step % 2**32) * size >> 32 for size, step in steps)
    yield from source.indices()


def _tells(pixels: np.ndarray) -> bool:
    return value_range(pixels) is not None


def _hash_of(source: SliceSource, dtype: np.dtype[Any], slices: list[np.ndarray]) -> _Hash:
    hashed = hashlib.sha256(repr((source.shape, source.is_colour, dtype.str)).encode())
    for pixels in slices:
        hashed.update(_bytes(dtype, pixels))
    return hashed


def _bytes(dtype: np.dtype[Any], pixels: np.ndarray) -> bytes:
    return np.ascontiguousarray(pixels, dtype).tobytes()
