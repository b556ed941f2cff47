"""See to it in the background that the images of a project can be opened again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.pixels import keep_pixels
from napari_sam_adapter.widgets.jobs import Job

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam_adapter.project.image_identity import ImageIdentity
    from napari_sam_adapter.project.image_record import ImageRecord
    from napari_sam_adapter.volumes.slice_source import SliceSource


class PixelKeeping(QObject):
    """Copies images whose files do not bring them. A copy that was begun outlives the dock.

    Attributes
    ----------
    failed : Signal(str)
        A sentence about an image that can neither be found again nor copied.
    """

    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: set[Job] = set()

    @property
    def is_busy(self) -> bool:
        """Whether images are being looked for or copied."""
        return bool(self._jobs)

    def keep(self, record: ImageRecord, opened: ImageIdentity, source: SliceSource) -> None:
        """Keep the image of a record, see `keep_pixels`."""
        stopped = threading.Event()

        def events() -> Iterator[None]:
            # A full disk is told by the journal; the copy is tried again next time.
            with contextlib.suppress(StorageError):
                keep_pixels(record, opened, source, stopped.is_set)
            yield from ()

        job = Job(events, "keeping a copy of the image in the project", stopped.set, self)
        job.failed.connect(self.failed)
        job.finished.connect(lambda: self._jobs.discard(job))
        self._jobs.add(job)
        job.start()


def path_of(image: Image) -> str | None:
    """Return where an image was opened from, also for a program that is started elsewhere."""
    path = image.source.path
    if path is None:
        return None
    return str(path) if "://" in str(path) else str(Path(path).absolute())
