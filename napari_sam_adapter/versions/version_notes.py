"""The small files beside adapter versions: which one is in use, names, cards of deleted ones.

Several windows may change them. What is newer than this program, or cannot be read just now, is
refused and left alone; what is damaged stays under another name when something new is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.errors import CheckpointError, DamagedFileError, StorageError
from napari_sam_adapter.schema import put_aside, read_described, read_if_there, write_described
from napari_sam_adapter.storage import LOCK_SECONDS, held

_CHOICE, _CHOICE_KIND = "active.json", "napari-sam-adapter version in use"
_NAMES, _NAMES_KIND = "versions.json", "napari-sam-adapter versions"
_NAMED = ("name", "note")
_DELETED, _DELETED_KIND = "deleted", "napari-sam-adapter deleted adapter"


class VersionNotes:
    """What a folder of versions says of them, besides their files.

    Parameters
    ----------
    folder : Path
        Made when something is written, unless it was there before and is gone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / "lock", timeout=LOCK_SECONDS)
        self._was_there = folder.exists()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Read and change something while no other window does.

        Raises
        ------
        StorageError
            If another window does not let go, or the folder is gone or cannot be written to.
        """
        # A project that was moved must not come into being again at its old place.
        with held(self._lock, makes_folder=not self._was_there):
            self._was_there = True
            yield

    def choice(self) -> dict[str, Any]:
        """Return what is in use, as docs/project-format.md has it; empty where it is damaged.

        Raises
        ------
        StorageError
            If it cannot be read, or is a newer program's.
        """
        try:
            return self._choice()
        except DamagedFileError:
            return {}

    def choose(self, **changes: int | str) -> None:
        """Change what is in use, and leave everything else as it is.

        Raises
        ------
        StorageError
            If it cannot be written, or is a newer program's.
        """
        path = self._folder / _CHOICE
        with self.changing():
            try:
                values = self._choice()
            except DamagedFileError:
                put_aside(path)
                values = {}
            write_described(path, _CHOICE_KIND, {**values, **changes})

    def names(self) -> dict[int, tuple[str, ...]]:
        """Return names and notes by number.

        Raises
        ------
        StorageError
            If they cannot be read, are damaged, or a newer program's.
        """
        path = self._folder / _NAMES
        values = read_if_there(path, _NAMES_KIND)
        try:
            return {
                int(number): tuple(str(one[key]) for key in _NAMED)
                for number, one in values.get("versions", {}).items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedFileError(
                f"{path} is damaged ({type(error).__name__}: {error}). Nothing was changed."
            ) from error

    def describe(self, number: int, name: str, note: str) -> None:
        """Keep a name and a note of a version.

        Raises
        ------
        StorageError
            If they cannot be written down, or the file is a newer program's.
        """
        path = self._folder / _NAMES
        with self.changing():
            try:
                named = self.names()
            except DamagedFileError:
                put_aside(path)
                named = {}
            named[number] = (name.strip(), note.strip())
            versions = {str(key): dict(zip(_NAMED, one, strict=True)) for key, one in named.items()}
            write_described(path, _NAMES_KIND, {"versions": versions})

    def keep_card(self, name: str, card: AdapterCard) -> None:
        """Keep the card of an adapter file that is going to be deleted.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        path = (self._folder / _DELETED / name).with_suffix(".json")
        write_described(path, _DELETED_KIND, {"metadata": card.to_metadata()})

    def deleted(self) -> Iterator[tuple[Path, AdapterCard | StorageError]]:
        """List the adapter files that were deleted, with their cards or why these are not known.

        Yields
        ------
        (path, card or error)
            Where the file was.
        """
        for path in sorted((self._folder / _DELETED).glob("adapter-*.json")):
            yield (self._folder / path.name).with_suffix(".safetensors"), _deleted_card(path)

    def troubles(self) -> list[str]:
        """Say which of these files cannot be read, and what follows from that."""
        found = []
        try:
            self._choice()
        except DamagedFileError as error:
            found.append(f"{error} The newest version is in use until another one is chosen.")
        except StorageError as error:
            found.append(str(error))
        try:
            self.names()
        except DamagedFileError as error:
            found.append(
                f"{error} Versions have no names and notes; when you give one, the damaged file "
                "stays there under another name."
            )
        except StorageError as error:
            found.append(f"{error} Versions have no names and notes here.")
        for path, card in self.deleted():
            if isinstance(card, StorageError):
                found.append(f"What {path.stem} was, which is deleted, is not known: {card}")
        return found

    def _choice(self) -> dict[str, Any]:
        self._was_there = self._was_there or self._folder.exists()
        # Up to 0.1.0 it named neither format nor schema.
        return read_if_there(self._folder / _CHOICE, _CHOICE_KIND, was_bare=True)


def _deleted_card(path: Path) -> AdapterCard | StorageError:
    try:
        return AdapterCard.from_metadata(read_described(path, _DELETED_KIND)["metadata"], str(path))
    except StorageError as error:
        return error
    except (CheckpointError, KeyError, TypeError, AttributeError) as error:
        return DamagedFileError(f"{path} is damaged: {error}.")
