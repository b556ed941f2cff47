"""Messages between the window and its processes: a JSON header and raw arrays. No pickle."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

_LENGTH = struct.Struct("<I")
_MAXIMUM_HEADER = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes
    ----------
    kind : str
        What it is, e.g. ``"predict"`` or ``"error"``.
    values : mapping
        Anything JSON can hold.
    arrays : mapping of str to ndarray
        Of any shape and any plain numeric or boolean type.
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def write_message(stream: IO[bytes], message: Message) -> None:
    """Write one message and flush.

    Raises
    ------
    OSError
        If the other side is gone.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    header = json.dumps(
        {
            "kind": message.kind,
            "values": message.values,
            # dtype.str, not the name: it says the byte order, which TIFF readers keep.
            "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()],
        }
    ).encode()
    stream.write(_LENGTH.pack(len(header)))
    stream.write(header)
    for array in arrays.values():
        stream.write(array.data.cast("B") if array.size else b"")
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Read one message; None at the end of the stream.

    Raises
    ------
    ValueError
        If the stream holds something else than a message.
    """
    prefix = _read_exactly(stream, _LENGTH.size)
    if prefix is None:
        return None
    (length,) = _LENGTH.unpack(prefix)
    if length > _MAXIMUM_HEADER:
        raise ValueError(f"a header of {length} bytes is not one of ours")
    raw = _read_exactly(stream, length)
    if raw is None:
        return None
    header = json.loads(raw)
    arrays: dict[str, np.ndarray] = {}
    for name, dtype, shape in header["arrays"]:
        array = np.empty(shape, np.dtype(dtype))
        if array.size and not _read_into(stream, array.data.cast("B")):
            return None
        arrays[name] = array
    return Message(header["kind"], header["values"], arrays)


def _read_exactly(stream: IO[bytes], count: int) -> bytes | None:
    buffer = bytearray(count)
    return bytes(buffer) if _read_into(stream, memoryview(buffer)) else None


def _read_into(stream: IO[bytes], view: memoryview) -> bool:
    """Fill ``view``; False if the stream ends before."""
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            return False
        done += count
    return True
