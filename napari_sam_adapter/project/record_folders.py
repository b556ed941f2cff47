"""The folders of a project's images: which there are, whose they are, and where a new one goes."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import IMAGE_FILE, ImageIdentity
from napari_sam_adapter.project.journal import JOURNAL, last_event


def record_folders(images: Path, pattern: str = "*") -> list[Path]:
    """List the folders in which something was written down, by name.

    Raises
    ------
    OSError
        If the drive does not answer; newer Pythons' `Path.glob` finds nothing there.
    """
    try:
        names = sorted(os.listdir(images))
    except (FileNotFoundError, NotADirectoryError):
        return []
    folders = [images / name for name in fnmatch.filter(names, pattern)]
    return [one for one in folders if (one / IMAGE_FILE).exists() or (one / JOURNAL).exists()]


def read_identities(images: Path) -> tuple[list[tuple[Path, ImageIdentity]], list[str]]:
    """Read the descriptions of all records.

    Returns
    -------
    records : list of (folder, identity)
        The images that were worked on, by name.
    troubles : list of str
        A sentence about each record whose description is damaged, gone, or newer.
    """
    found, troubles = [], []
    for folder in record_folders(images):
        try:
            found.append((folder, ImageIdentity.read(folder)))
        except StorageError as error:
            troubles.append(str(error))
    return found, troubles


def folders_of(images: Path, identity: ImageIdentity) -> list[Path]:
    """List the records of an image, one for each masks layer it had, the latest first.

    Those of which only the coarse digest is known come last: they may be another image's.

    Raises
    ------
    StorageError
        If one of them is damaged or a newer program's: another one must not take its place.
    """
    for digest in dict.fromkeys((identity.known_by, identity.digest)):
        for folder in record_folders(images, f"*-{digest[:10]}*"):
            ImageIdentity.read(folder)
    found, _ = read_identities(images)
    own = {folder: known for folder, known in found if known.is_same(identity)}
    return sorted(
        own,
        key=lambda folder: (own[folder].known_by == identity.known_by, last_change(folder)),
        reverse=True,
    )


def new_folder(images: Path, identity: ImageIdentity) -> Path:
    """Name a folder for a record that is begun: after the image, and after none that is there."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", identity.name).strip("-").lower()[:40] or "image"
    folder = images / f"{slug}-{identity.known_by[:10]}"
    count = 1
    candidate = folder
    while candidate.exists():
        count += 1
        candidate = folder.with_name(f"{folder.name}-masks{count}")
    return candidate


def last_change(record: Path) -> float:
    """Tell when a record was written to last, in seconds; 0 for one without a journal.

    The journal says so itself: its file's time is lost where a project is copied.
    """
    path = record / JOURNAL
    try:
        return last_event(path).time.timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0
