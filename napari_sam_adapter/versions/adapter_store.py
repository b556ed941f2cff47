"""Numbered adapter versions in a folder: what the person's retraining has made so far.

Each version is one adapter file, ``adapter-0007.safetensors``, complete in itself; ``active.json``
names the one in use. A folder can be copied, mailed or opened on another machine. Of a version that
is deleted the card stays, so that its masks can still be explained.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from pathlib import Path

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.annotations.slice_history import FILLED
from napari_sam_adapter.errors import CheckpointError, StorageError, TrainingError
from napari_sam_adapter.storage import (
    forget_unfinished,
    is_empty,
    moved_to_new,
    write_atomically,
)
from napari_sam_adapter.versions.adapter_version import AdapterVersion
from napari_sam_adapter.versions.use_marks import UseMarks
from napari_sam_adapter.versions.version_notes import VersionNotes

_FILE_NAME = re.compile(r"adapter-(\d{4,})\.safetensors")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror or error}.") from error


class AdapterStore:
    """The versions in one folder.

    Parameters
    ----------
    folder : Path
        Made when the first version is saved.

    Attributes
    ----------
    unreadable : list of str
        Sentences about what could not be read when the versions were listed last.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable: list[str] = []
        self._notes = VersionNotes(folder)
        self._marks = UseMarks(folder / "in-use")

    def versions(self) -> list[AdapterVersion]:
        """List the versions, oldest first. Files that cannot be read are named in `unreadable`."""
        self.unreadable = self._notes.troubles()
        found, named = [], self._named()
        for number, path in self._files():
            try:
                found.append(AdapterVersion(number, path, read_card(path), *named.get(number, ())))
            except CheckpointError as error:
                self.unreadable.append(str(error))
        return found

    def get(self, number: int) -> AdapterVersion:
        """Return one version.

        Raises
        ------
        CheckpointError
            If there is none of that number, or its file is damaged.
        """
        path = self.path_of(number)
        if not path.is_file():
            raise CheckpointError(f"There is no version {number} in {self.folder}.")
        return AdapterVersion(number, path, read_card(path), *self._named().get(number, ()))

    def describe(self, number: int, name: str, note: str) -> None:
        """Keep a name and a note of a version.

        Raises
        ------
        StorageError
            If they cannot be written down, or the file is a newer program's.
        """
        self._notes.describe(number, name, note)

    def delete(self, number: int) -> None:
        """Delete a version for good; its card stays in the folder ``deleted``.

        Raises
        ------
        TrainingError
            If it is in use, here or in another window, or is what the folder opens with.
        CheckpointError
            If there is none of that number.
        StorageError
            If the folder cannot be written to; the version is still there then.
        """
        with self._notes.changing():
            version, active = self.get(number), self.active
            if self._marks.own == number:
                raise TrainingError(
                    f"v{number} is in use, so it is not deleted. Choose another version first."
                )
            if self._marks.is_used_elsewhere(number):
                raise TrainingError(
                    f"v{number} is in use in another window, so it is not deleted. Choose another "
                    "version there, or close it, first."
                )
            if active is not None and active.number == number:
                raise TrainingError(
                    f"v{number} was chosen last, so it is not deleted: the project opens with it. "
                    "Choose another version first, or once more the one that is in use here."
                )
            self._notes.choose(last=self.next_number() - 1)
            self._notes.keep_card(version.path.name, version.card)
            try:
                version.path.unlink()
            except OSError as error:
                raise StorageError(
                    f"{version.path} could not be deleted: {error.strerror or error}."
                ) from error

    def deleted(self) -> list[AdapterVersion]:
        """List the versions that were deleted, oldest first; their files are gone."""
        found = []
        for path, card in self._notes.deleted():
            match = _FILE_NAME.fullmatch(path.name)
            if match and isinstance(card, AdapterCard) and not path.exists():
                found.append(AdapterVersion(int(match[1]), path, card))
        return found

    def path_of(self, number: int) -> Path:
        """Return the file of a version, whether it exists or not."""
        return self.folder / f"adapter-{number:04d}.safetensors"

    def next_number(self) -> int:
        """Return the number the next version would get now; it stays free until `adopt`."""
        remembered = self._notes.choice().get("last")
        gone = (_FILE_NAME.fullmatch(path.name) for path, _ in self._notes.deleted())
        known = [number for number, _ in self._files()] + [int(match[1]) for match in gone if match]
        return max([*known, remembered if isinstance(remembered, int) else 0]) + 1

    def working_path(self) -> Path:
        """Return a new path in the folder for an adapter that is still being made."""
        return self.folder / f".new-{uuid.uuid4().hex}.safetensors"

    def adopt(self, path: Path) -> AdapterVersion:
        """Make a finished adapter file in the folder the next version.

        Two windows may do so at once: the number is taken by creating the file, never by asking
        first, so no version is ever written over.

        Raises
        ------
        StorageError
            If it cannot be given its number; the file stays where it was.
        """
        card = read_card(path)
        number = self.next_number()
        try:
            while not moved_to_new(path, self.path_of(number)):
                number += 1
        except OSError as error:
            raise StorageError(
                f"The new version could not be put into {self.folder}: {error.strerror or error}. "
                f"It is kept as {path}."
            ) from error
        self._notes.choose(last=number)
        forget_unfinished(self.folder)
        return AdapterVersion(number, self.path_of(number), card)

    def import_file(self, source: Path) -> AdapterVersion:
        """Copy an adapter file into the store as the next version, unless it is there already.

        Raises
        ------
        CheckpointError
            If the file is not an adapter.
        StorageError
            If it cannot be copied.
        """
        card = read_card(source)
        for version in self.versions():
            if version.card.adapter_id == card.adapter_id:
                return version
        copy = self.working_path()
        write_atomically(copy, _read(source))
        return self.adopt(copy)

    def export(self, number: int, target: Path) -> None:
        """Copy a version to a file of the person's choice.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        write_atomically(target, _read(self.get(number).path))

    @property
    def active(self) -> AdapterVersion | None:
        """The version in use: the one set last, else the newest, else none (the base model).

        A version that was held back is in use only if somebody chose it.

        Raises
        ------
        StorageError
            If what was chosen cannot be read, or was written by a newer program.
        """
        wanted = self._notes.choice().get("active")
        if wanted == 0:
            return None
        versions = {version.number: version for version in self.versions()}
        if isinstance(wanted, int) and wanted in versions:
            return versions[wanted]
        numbers = [version.number for version in versions.values() if version.verdict.promoted]
        return versions[max(numbers)] if numbers else None

    def set_active(self, number: int | None) -> None:
        """Use a version from now on, and remember that; None is the base model.

        Raises
        ------
        CheckpointError
            If there is no such version.
        StorageError
            If it cannot be remembered.
        """
        with self._notes.changing():
            if number is not None:
                self.get(number)
            self._notes.choose(active=number or 0)
            self._marks.move(number)

    def use(self, number: int | None) -> None:
        """Let no window delete a version while this one uses it; None lets go.

        Raises
        ------
        CheckpointError
            If there is no such version.
        StorageError
            If that cannot be marked in the folder.
        """
        if number is None:
            self._marks.move(None)
            return
        with self._notes.changing():
            self.get(number)
            self._marks.move(number)

    @property
    def base(self) -> str | None:
        """The base model chosen last in this folder, None if nobody chose one."""
        base = self._notes.choice().get("base")
        return base if isinstance(base, str) else None

    def set_base(self, base: str) -> None:
        """Remember the base model that is chosen.

        Raises
        ------
        StorageError
            If it cannot be written down.
        """
        self._notes.choose(base=base)

    def _named(self) -> dict[int, tuple[str, ...]]:
        """Names and notes by number; none where they cannot be read (`unreadable` says so)."""
        try:
            return self._notes.names()
        except StorageError:
            return {}

    def _files(self) -> list[tuple[int, Path]]:
        try:
            paths = list(self.folder.iterdir())
        except OSError:
            return []  # not made yet, or not to be read: there is no version to show
        matches = ((_FILE_NAME.fullmatch(path.name), path) for path in paths)
        return sorted((int(m[1]), path) for m, path in matches if m and not is_empty(path))


def maker_names(
    versions: Iterable[AdapterVersion], deleted: Iterable[AdapterVersion]
) -> dict[str, str]:
    """Name all that may have made masks, by adapter id: ``v3``, ``interpolation``, and so on."""
    versions, names = list(versions), {"": "the base model", FILLED: "interpolation"}
    # One that was trained again by `project replay` goes by the name of the one it replays.
    names |= {one.card.training.get("replays", ""): f"v{one.number}" for one in versions} | names
    names |= {version.card.adapter_id: f"v{version.number}" for version in versions}
    return names | {one.card.adapter_id: f"v{one.number} (deleted)" for one in deleted}
