"""Numbered adapter versions in a folder: what the person's retraining has made so far.

Each version is one adapter file, ``adapter-0007.safetensors``, complete in itself; ``active.json``
names the one in use. A folder can be copied, mailed or opened on another machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.errors import CheckpointError, StorageError
from napari_sam_adapter.storage import write_atomically

_FILE_NAME = re.compile(r"adapter-(\d{4,})\.safetensors")
HOME_VARIABLE = "NAPARI_SAM_ADAPTER_HOME"


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


def default_folder() -> Path:
    """Return where versions are kept unless the person chooses another folder.

    The environment variable ``NAPARI_SAM_ADAPTER_HOME`` moves it.
    """
    home = os.environ.get(HOME_VARIABLE)
    root = Path(home) if home else Path(platformdirs.user_data_dir("napari-sam-adapter", False))
    return root / "adapters"


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

    def reserve(self) -> tuple[int, Path]:
        """Return the next free number and its path; whoever trains writes the file there."""
        last = max((number for number, _ in self._files()), default=0)
        return last + 1, self.path_of(last + 1)

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
        number, path = self.reserve()
        try:
            content = source.read_bytes()
        except OSError as error:
            raise StorageError(f"{source} could not be read: {error.strerror}.") from error
        write_atomically(path, content)
        return AdapterVersion(number, path, card)

    def export(self, number: int, target: Path) -> None:
        """Copy a version to a file of the person's choice.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        try:
            shutil.copyfile(self.get(number).path, target)
        except OSError as error:
            raise StorageError(f"{target} could not be written: {error.strerror}.") from error

    @property
    def active(self) -> AdapterVersion | None:
        """The version in use: the one set last, else the newest, else none (the base model)."""
        wanted = self._read_active()
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
        content = json.dumps({"active": number or 0}).encode()
        write_atomically(self.folder / "active.json", content)

    def _read_active(self) -> int | None:
        try:
            value = json.loads((self.folder / "active.json").read_text())["active"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return value if isinstance(value, int) else None

    def _files(self) -> list[tuple[int, Path]]:
        if not self.folder.is_dir():
            return []
        matches = ((_FILE_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted((int(match[1]), path) for match, path in matches if match)
