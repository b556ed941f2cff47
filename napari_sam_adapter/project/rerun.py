"""Make a project again from its journals: the masks, then what can be computed from the masks."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.adapters_again import AdaptersAgain, Said
from napari_sam_adapter.project.image_identity import IMAGE_FILE
from napari_sam_adapter.project.journal import JOURNAL
from napari_sam_adapter.project.mask_files import MASKS, mask_name, read_mask_file, write_mask
from napari_sam_adapter.project.mending import RecordContents, in_short, read_record
from napari_sam_adapter.project.pixels import COPY
from napari_sam_adapter.project.predicted_again import PredictedAgain
from napari_sam_adapter.project.project import LAYERS, Project


def rerun(
    project: Project,
    out: Path,
    *,
    images: Path | None = None,
    keep_adapters: bool = False,
    predict: bool = True,
    device: str = "auto",
) -> Iterator[Said]:
    """Make a project again in another folder.

    The masks are the journal's. What was predicted is predicted again by the version that did it,
    and compared (`predicted_again`). What else was drawn is copied, as are names, notes and what
    was chosen. An adapter is trained again from the masks as they were when its run began, with its
    settings and as many steps. It is alike, not equal: the learning rate followed the clock then.

    Parameters
    ----------
    project : Project
    out : Path
        Must not exist.
    images : Path, optional
        Where the images are now, see `pixels.image_of`.
    keep_adapters : bool
        Copy the adapters instead.
    predict : bool
        Predict again what was predicted.
    device : str

    Yields
    ------
    Said

    Raises
    ------
    SamAdapterError
        If something that is needed is not there, or cannot be written. There is nothing at ``out``
        then.
    """
    if out.exists():
        raise StorageError(f"{out} is there already; nothing was written. Name a new folder.")
    unreadable = project.unreadable()
    if unreadable:
        raise StorageError(
            f"{in_short(unreadable)} Nothing was written: move the folder of what cannot be read "
            "out of the project to make the rest again."
        )
    records = [read_record(folder, identity) for folder, identity in project.records()]
    adapters = AdaptersAgain(project, records, images, keep_adapters, device)
    predictions = PredictedAgain(project, images, device)
    # Under another name until all of it is there: what is half done cannot be taken for whole.
    unfinished = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    again = Project(unfinished)
    try:
        again.create()
        for record in records:
            yield _masks_again(record, again.folder / "images" / record.folder.name)
            if predict:
                yield from predictions.compare(record)
        if (project.folder / LAYERS).is_dir():  # boxes and points are in no journal
            unlocked = shutil.ignore_patterns("*.lock")
            shutil.copytree(project.folder / LAYERS, again.folder / LAYERS, ignore=unlocked)
        if project.classes is not None:
            again.keep_classes(project.classes)
        yield from adapters.make(again)
        os.replace(unfinished, out)
    except OSError as error:
        raise StorageError(
            f"{out} could not be written: {error.strerror or error}. Nothing is left of it; free "
            "some space or name another folder."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _masks_again(record: RecordContents, folder: Path) -> Said:
    """Write journal and masks of one image, and compare with the mask files that are there."""
    (folder / MASKS).mkdir(parents=True)
    for name in (IMAGE_FILE, JOURNAL, COPY):
        if (record.folder / name).exists():
            shutil.copyfile(record.folder / name, folder / name)
    alike = differ = 0
    slices = record.slices()
    for index, n in record.last_lines.items():
        labels = slices[index].seen.unpacked()
        write_mask(folder / MASKS / mask_name(index), n, labels)
        there = read_mask_file(record.folder / MASKS / mask_name(index))
        if there is not None:
            same = np.array_equal(there[1], labels)
            alike, differ = alike + same, differ + (not same)
    more = f", {differ} differ from theirs" if differ else ""
    said = f"{record.identity.name}: {alike} slices are as in their mask files{more}."
    return Said(" ".join([said, *record.troubles]))
