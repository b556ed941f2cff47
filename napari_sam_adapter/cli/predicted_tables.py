"""Tables (CSV) that ``predict`` writes beside its masks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.cli.console import output
from napari_sam_adapter.cli.predicted_stack import PredictedStack
from napari_sam_adapter.confidence import calibration_of
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.storage import check_writable, is_same_file, write_atomically


class ConfidenceTable:
    """The Dice to expect of each slice, the least first; also of a run that is stopped.

    A context manager: the table is written at its end, with the slices there are.

    Parameters
    ----------
    path : Path or None
        None writes nothing.
    card : AdapterCard or None
    others : sequence of Path
        What must not be overwritten: images, masks and tables of objects.

    Raises
    ------
    ImageError
        If there is no adapter, or the path is none of a table: a shell that finds images where its
        name is meant gives the first of them.
    StorageError
        If it could not be written.
    """

    def __init__(self, path: Path | None, card: AdapterCard | None, others: Iterable[Path]) -> None:
        self._path, self._card = path, card
        self._rows: list[tuple[float, str, int]] = []
        if path is None:
            return
        if card is None:
            raise ImageError("--confidence needs --adapter: a base model does not know the task.")
        if path.suffix.lower() != ".csv" or any(is_same_file(path, other) for other in others):
            raise ImageError(
                f"--confidence takes the table (.csv) to write, and got {path}: name it, as in "
                "--confidence confidence.csv."
            )
        check_writable(path)

    def __enter__(self) -> ConfidenceTable:
        return self

    def add(self, name: str, stack: PredictedStack, views: int) -> None:
        """Take in the slices of a file."""
        if self._path is None or self._card is None:
            return
        calibration = calibration_of(self._card.training, views)
        found = enumerate(stack.expected_dice)
        self._rows += [(calibration(raw), name, z) for z, raw in found if raw is not None]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is not None and (self._rows or kind is None):
            rows = [(name, z, f"{value:.3f}") for value, name, z in sorted(self._rows)]
            write_table(self._path, ("file", "slice", "confidence"), rows)
            output.print(f"Wrote confidences to {self._path}, the least first.", soft_wrap=True)


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table.

    Raises
    ------
    StorageError
        If it could not be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # A file name that is no Unicode comes out byte by byte as it is.
    write_atomically(path, text.getvalue().encode(errors="surrogateescape"))
