"""The records that are open in one window, each with the masks layer whose changes go there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_sam_adapter.widgets.layers.binding import LayerBinding


class OpenRecords:
    """Whoever wants to write into a record of the project finds here the one that is open."""

    def __init__(self) -> None:
        self._records: dict[LayerBinding, ImageRecord] = {}

    def __contains__(self, binding: object) -> bool:
        return binding in self._records

    def __iter__(self) -> Iterator[LayerBinding]:
        return iter(list(self._records))  # they may be closed meanwhile

    @property
    def folders(self) -> set[Path]:
        """Where they lie."""
        return {record.folder for record in self._records.values()}

    @property
    def problem(self) -> str:
        """Why what is done does not reach one of them; "" where all is written, or will be."""
        problems = (record.journal.problem for record in self._records.values())
        return next(filter(None, problems), "")

    def of(self, binding: LayerBinding) -> ImageRecord | None:
        """Return where the changes of a masks layer are written; None where they are not."""
        return self._records.get(binding)

    def masks_of(self, image: Image) -> list[Labels]:
        """Return the masks layers of an image that are recorded here."""
        return [binding.labels for binding in self._records if binding.image is image]

    def ready(self) -> dict[Path, int]:
        """Count the corrected and accepted slices of each record."""
        open_here = ((record.folder, one.tracker) for one, record in self._records.items())
        return {folder: len(tracker.ready()) for folder, tracker in open_here}

    def binding_of(self, folder: Path) -> LayerBinding | None:
        """Return the layers whose changes are written to a record; None where there are none."""
        alive = (one for one, record in self._records.items() if record.folder == folder)
        return next((binding for binding in alive if binding.is_alive), None)

    def note(self, folder: Path, do: str, details: Mapping[str, Any]) -> None:
        """Write down something about a training run in a record, open here or not.

        Raises
        ------
        StorageError
            If the record is open in another window, is not there any more, or cannot be written.
        """
        for record in self._records.values():
            if record.folder == folder:
                record.note(do, details)
                return
        record = ImageRecord(folder, ImageIdentity.read(folder))
        record.note(do, details)
        record.close()

    def listen(self, binding: LayerBinding, record: ImageRecord) -> None:
        """Write what happens to a masks layer to its record from now on."""
        self._records[binding] = record
        binding.tracker.listener = record.listen

    def close(self, binding: LayerBinding) -> None:
        """Write what waits of a masks layer, and let others open its record, if it has one.

        Raises
        ------
        StorageError
            If something could not be written.
        """
        record = self._records.pop(binding, None)
        if record is None:
            return
        binding.check_all()  # the last stroke, and what nobody announced
        binding.tracker.listener = None
        record.close()
