"""Slices that are read before it is their turn."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np

from napari_sam_adapter.ahead import ahead
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import SliceIndex, SliceSource

_Read = np.ndarray | ImageError


class SlicesAhead(SliceSource):
    """A `SliceSource` that reads the next slices in a thread while one is worked on.

    At most two slices wait to be taken. A slice that is asked for out of turn is read directly, and
    so are parts of slices. It is a context manager, whose end stops the thread.

    Parameters
    ----------
    data : array-like
    is_colour : bool
    axes : sequence of str, optional
        As for `SliceSource`.
    turns : sequence of tuple of int, optional
        The slices in the order in which they will be read; all, by default.
    """

    def __init__(
        self,
        data: Any,
        *,
        is_colour: bool,
        axes: Sequence[str] = (),
        turns: Sequence[SliceIndex] | None = None,
    ) -> None:
        super().__init__(data, is_colour=is_colour, axes=axes)
        self._turns = list(self.indices()) if turns is None else list(turns)
        self._taken = 0
        self._exit = ExitStack()
        self._slices = self._exit.enter_context(ahead(self._read_all))

    def __enter__(self) -> SlicesAhead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._exit.close()

    def read(self, index: SliceIndex) -> np.ndarray:
        """Take a slice that was read ahead if it is its turn, else read it."""
        if len(self._turns) < 2 or self._turns[self._taken : self._taken + 1] != [index]:
            return super().read(index)
        self._taken += 1
        found = next(self._slices)
        if isinstance(found, ImageError):
            raise found
        return found

    def _read_all(self, should_stop: Callable[[], bool]) -> Generator[_Read, None, None]:
        for index in self._turns:
            if should_stop():
                return
            try:
                yield super().read(index)
            except ImageError as error:
                yield error
