"""Numbered adapter versions in a folder: what the person's retraining has made so far.

Each version is one adapter file, ``adapter-0007.safetensors``, complete in itself; ``active.json``
names the one in use. A folder can be copied, mailed or opened on another machine.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.errors import CheckpointError, StorageError
from napari_sam_adapter.storage import write_atomically

_FILE_NAME = re.compile(r"adapter-(\d{4,})\.safetensors")


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """One adapter of a store.

    Attributes
    ----------
    number : int
        From 1 on, never reused within a store.
    """

    number: int
    path: Path
    card: AdapterCard

    @property
    def label(self) -> str:
        """Short name for lists, e.g. ``v3 · full · 12 slices · Dice 0.81``."""
        training = self.card.training
        parts = [f"v{self.number}", self.card.gear]
        if "n_slices" in training:
            parts.append(f"{training['n_slices']} slices")
        if training.get("held_out_dice_after") is not None:
            parts.append(f"held-out Dice {training['held_out_dice_after']:.2f}")
        if training.get("imported_from"):
            parts.append(f"from {training['imported_from']}")
        return " · ".join(parts)

    @property
    def details(self) -> str:
        """More about it, in lines: when it was made, and its held-out Dice per class."""
        lines = [self.label]
        if self.card.created:
            lines.append(f"made {self.card.created[:16].replace('T', ' ')}")
        classes = self.card.training.get("held_out_dice_classes", {})
        if len(self.card.class_names) > 1:
            lines += [f"{name}: {_score(classes.get(name))}" for name in self.card.class_names]
        return "\n".join(lines)


def _score(dice: object) -> str:
    return f"held-out Dice {dice:.2f}" if isinstance(dice, float) else "not in the held-out slices"


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
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable: list[str] = []

    def versions(self) -> list[AdapterVersion]:
        """List the versions, oldest first. Files that cannot be read are named in `unreadable`."""
        self.unreadable = []
        found = []
        for number, path in self._files():
            try:
                found.append(AdapterVersion(number, path, read_card(path)))
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
        return AdapterVersion(number, path, read_card(path))

    def path_of(self, number: int) -> Path:
        """Return the file of a version, whether it exists or not."""
        return self.folder / f"adapter-{number:04d}.safetensors"

    def next_number(self) -> int:
        """Return the number the next version would get now; it stays free until `adopt`."""
        last = max((number for number, _ in self._files()), default=0)
        remembered = self._state().get("last", 0)
        return max(last, remembered if isinstance(remembered, int) else 0) + 1

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
            while not self._claim(number):
                number += 1
            os.replace(path, self.path_of(number))
        except OSError as error:
            raise StorageError(
                f"The new version could not be put into {self.folder}: {error.strerror or error}. "
                f"It is kept as {path}."
            ) from error
        self._write_state(last=number)
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
        """The version in use: the one set last, else the newest, else none (the base model)."""
        wanted = self._state().get("active")
        if wanted == 0:
            return None
        versions = {version.number: version for version in self.versions()}
        if wanted in versions:
            return versions[wanted]
        return versions[max(versions)] if versions else None

    def set_active(self, number: int | None) -> None:
        """Remember which version is in use; None is the base model.

        Raises
        ------
        CheckpointError
            If there is no such version.
        """
        if number is not None:
            self.get(number)
        self._write_state(active=number or 0)

    @property
    def base(self) -> str | None:
        """The base model chosen last in this folder, None if nobody chose one."""
        base = self._state().get("base")
        return base if isinstance(base, str) else None

    def set_base(self, base: str) -> None:
        """Remember the base model that is chosen.

        Raises
        ------
        StorageError
            If it cannot be written down.
        """
        self._write_state(base=base)

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.folder / "active.json").read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(state, dict):
            return {}
        return {key: value for key, value in state.items() if isinstance(value, int | str)}

    def _write_state(self, **changes: int | str) -> None:
        content = json.dumps({**self._state(), **changes}).encode()
        write_atomically(self.folder / "active.json", content)

    def _claim(self, number: int) -> bool:
        """Take a number by creating its file; False if somebody has it."""
        try:
            self.path_of(number).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _files(self) -> list[tuple[int, Path]]:
        try:
            paths = list(self.folder.iterdir())
        except OSError:
            return []  # not made yet, or not to be read: there is no version to show
        matches = ((_FILE_NAME.fullmatch(path.name), path) for path in paths)
        return sorted((int(match[1]), path) for match, path in matches if match)
