"""A project: a folder that holds adapters, and a record of every image that was worked on in it.

``project.json`` says what it is; ``adapters/`` is an `AdapterStore`; ``images/`` holds a folder per
masks layer of an image, see `ImageRecord`; ``layers/`` a file per image with what else was drawn on
it, see `LayersFile`. docs/project-format.md describes it to the last key.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.bare_adapters import move_bare_adapters
from napari_sam_adapter.project.events import now
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_layers import LayersFile, layers_path, rename_layers
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.pixels import identity_of
from napari_sam_adapter.project.record_folders import folders_of, new_folder, read_identities
from napari_sam_adapter.project.round_ends import round_ends
from napari_sam_adapter.schema import read_described, write_described
from napari_sam_adapter.storage import LOCK_SECONDS, check_writable, held, is_read_only, is_there
from napari_sam_adapter.versions.adapter_store import AdapterStore

PROJECT_FILE, LAYERS = "project.json", "layers"
_KIND = "napari-sam-adapter project"


class Project:
    """A project folder. Nothing is written before there is something to keep.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    adapters : AdapterStore
        Its adapter versions.

    Raises
    ------
    StorageError
        If the folder cannot be read, is a newer program's, or damaged. A folder of bare adapter
        files, as version 0.1 kept them, becomes a project.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / "lock", timeout=LOCK_SECONDS)
        self._is_made = self._has_file()
        if self._is_made:
            read_described(folder / PROJECT_FILE, _KIND)
        elif move_bare_adapters(folder):
            self.create()
        self.adapters = AdapterStore(folder / "adapters")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def is_there(self) -> bool:
        """Whether the folder holds a project now; asks the disk, which may not answer."""
        return is_there(self.folder / PROJECT_FILE)

    @property
    def is_read_only(self) -> bool:
        """Whether it can be looked at alone; asks the disk."""
        return self._is_made and is_read_only(self.folder)

    def create(self) -> None:
        """Make the folder and its description, where they are missing.

        Raises
        ------
        StorageError
            If they cannot be written, or were there and are not any more.
        """
        path = self.folder / PROJECT_FILE
        if not self._has_file():
            if self._is_made:
                raise StorageError(
                    f"The project {self.folder} is gone: it holds no {PROJECT_FILE} any more. If "
                    "its folder was moved or renamed, bring it back, or choose it where it is now."
                )
            check_writable(path)
            with held(self._lock):
                if not self._has_file():
                    write_described(path, _KIND, {"id": uuid.uuid4().hex, "created": now()})
        self._is_made = True

    def _has_file(self) -> bool:
        try:
            return (self.folder / PROJECT_FILE).exists()
        except OSError as error:
            raise StorageError(
                f"{self.folder} could not be read: {error.strerror or error}."
            ) from error

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Let no other window change the description meanwhile.

        Raises
        ------
        StorageError
            If another window does not let go of it, or it cannot be written.
        """
        self.create()
        with held(self._lock):
            yield

    @property
    def classes(self) -> Classes | None:
        """The classes that were worked with last; None where nobody has changed them."""
        try:
            values = read_described(self.folder / PROJECT_FILE, _KIND)["classes"]
            return Classes(
                tuple(str(one["name"]) for one in values),
                tuple(str(one["color"]) for one in values),
            )
        except (StorageError, KeyError, TypeError, ValueError):
            return None

    def keep_classes(self, classes: Classes) -> None:
        """Let them be there tomorrow.

        Raises
        ------
        StorageError
            If they cannot be written down.
        """
        pairs = zip(classes.names, classes.colors, strict=True)
        with self.changing():
            values = read_described(self.folder / PROJECT_FILE, _KIND)
            values["classes"] = [{"name": name, "color": color} for name, color in pairs]
            write_described(self.folder / PROJECT_FILE, _KIND, values)

    def records(self) -> list[tuple[Path, ImageIdentity]]:
        """List the images that were worked on, as `records_and_troubles`."""
        return self.records_and_troubles()[0]

    def unreadable(self) -> list[str]:
        """Return a sentence about each record that cannot be read, as `records_and_troubles`."""
        return self.records_and_troubles()[1]

    def records_and_troubles(self) -> tuple[list[tuple[Path, ImageIdentity]], list[str]]:
        """Read the descriptions of all records, see `record_folders.read_identities`.

        Raises
        ------
        StorageError
            If the drive does not answer, or the folder may not be read.
        """
        try:
            return read_identities(self.folder / "images")
        except OSError as error:
            raise StorageError(
                f"{self.folder} does not answer: {error.strerror or error}."
            ) from error

    def folders_of(self, identity: ImageIdentity) -> list[Path]:
        """List the records of an image, the latest first, see `record_folders.folders_of`."""
        return folders_of(self.folder / "images", identity)

    def tell_apart(self, identity: ImageIdentity) -> None:
        """Learn what records of earlier versions are about that may be of an image, or of another.

        They know an image by three slices, which may be alike in two. The file or copy of theirs
        tells; where neither is there, they go with the image that is opened first. Takes as long as
        reading them: not for the window's own thread.
        """
        for folder, known in self.records():
            if known.fine_digest is None and known.digest == identity.digest:
                found = identity_of(folder, known)
                if found is not None:
                    with contextlib.suppress(StorageError):  # it is learned again next time
                        replace(known, fine_digest=found.fine_digest).write(folder)

    def open_record(
        self,
        identity: ImageIdentity,
        *,
        besides: Collection[Path] = (),
        told: Callable[[str], None] = lambda sentence: None,
    ) -> ImageRecord:
        """Open the record of an image, or begin one.

        Parameters
        ----------
        identity : ImageIdentity
        besides : collection of Path
            Records that are in use for other masks layers of the same image.
        told : callable, optional
            Called in another thread when writing fails, see `JournalWriter`.

        Raises
        ------
        StorageError
            If it is open elsewhere, or cannot be read or written.
        """
        self.create()
        free = [folder for folder in self.folders_of(identity) if folder not in besides]
        folder = free[0] if free else new_folder(self.folder / "images", identity)
        record = ImageRecord(folder, identity, told)
        for line in round_ends(folder.parent).get(folder.name, ()):
            record.ledger.end_round(line)
        return record

    def has_layers(self, identity: ImageIdentity) -> bool:
        """Whether boxes, points or voxel sizes of an image are kept here."""
        return self._layers_digest(identity) is not None

    def open_layers(
        self, identity: ImageIdentity, told: Callable[[str], None] = lambda sentence: None
    ) -> LayersFile:
        """Open the file of an image's boxes, points and voxel sizes, see `LayersFile`.

        Raises
        ------
        StorageError
            If it is open elsewhere, or cannot be read or written.
        """
        self.create()
        if self.is_read_only:
            raise StorageError(
                "Boxes and points of a project that cannot be written to are not brought back, and "
                "those drawn here are not kept."
            )
        digest = self._layers_digest(identity)
        if digest is not None and digest != identity.known_by:
            rename_layers(self.folder / LAYERS, digest, identity.known_by)
        return LayersFile(self.folder / LAYERS, identity.known_by, identity.name, told)

    def _layers_digest(self, identity: ImageIdentity) -> str | None:
        """Return by which digest the file of an image's layers is named; None where there is none.

        Earlier versions named it by the coarse one, which another image may have, too.
        """
        if layers_path(self.folder / LAYERS, identity.known_by).exists():
            return identity.known_by
        if not layers_path(self.folder / LAYERS, identity.digest).exists():
            return None
        alike = [known for _, known in self.records() if known.digest == identity.digest]
        is_ours = not alike or any(known.is_same(identity) for known in alike)
        return identity.digest if is_ours else None


def open_existing(folder: Path) -> Project:
    """Open a project that must be there.

    Raises
    ------
    StorageError
        If there is none, or it cannot be opened.
    """
    if not (folder / PROJECT_FILE).is_file():
        raise StorageError(
            f"There is no project in {folder}: a project folder holds {PROJECT_FILE}. In the dock, "
            "⋯ beside the project's name copies the folder of the one that is open."
        )
    return Project(folder)
