"""Make a project again from its journals: the masks, then the adapters from the masks."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_adapter.adapter_version import AdapterVersion
from napari_sam_adapter.errors import StorageError, TrainingError
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.image_record import IMAGE_FILE
from napari_sam_adapter.project.journal import JOURNAL
from napari_sam_adapter.project.mask_files import MASKS, mask_name, read_mask_file, write_mask
from napari_sam_adapter.project.mending import RecordContents, in_short, read_record
from napari_sam_adapter.project.pixels import COPY
from napari_sam_adapter.project.project import LAYERS, Project
from napari_sam_adapter.project.run_folder import RunPart
from napari_sam_adapter.project.run_request import marked_image
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import StepReport
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.samples import TrainingSample


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence about the replay: a result to keep, or how far it is."""

    sentence: str
    is_result: bool = True


@dataclass(frozen=True, slots=True)
class _Run:
    """A training run that was written down: what was learned from, and where that lies."""

    record: RecordContents
    start: Event


def rerun(
    project: Project,
    out: Path,
    *,
    images: Path | None = None,
    keep_adapters: bool = False,
    device: str = "auto",
) -> Iterator[Said]:
    """Make a project again in another folder.

    What else was drawn is copied. An adapter is trained again from the masks as they were when
    its run began, with its settings and as many steps. It is alike, not equal: the learning rate
    followed the clock then.

    Parameters
    ----------
    project : Project
    out : Path
        Must not exist.
    images : Path, optional
        Where the images are now, see `pixels.pixels_of`.
    keep_adapters : bool
        Copy the adapters instead.
    device : str

    Yields
    ------
    Said

    Raises
    ------
    SamAdapterError
        If something that is needed is not there.
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
    again = Project(out)
    again.create()
    for record in records:
        yield _masks_again(record, out / "images" / record.folder.name)
    if (project.folder / LAYERS).is_dir():  # boxes and points are in no journal
        unlocked = shutil.ignore_patterns("*.lock")
        shutil.copytree(project.folder / LAYERS, out / LAYERS, ignore=unlocked)
    again.adapters.folder.mkdir(parents=True, exist_ok=True)
    versions, deleted = project.adapters.versions(), project.adapters.deleted()
    runs = _runs(records, [*versions, *deleted])
    # Others may have continued from a version that was deleted since.
    deleted = [] if keep_adapters else deleted
    deleted = [version for version in deleted if version.card.adapter_id in runs]
    versions = sorted([*versions, *deleted], key=lambda one: one.number)
    for version in versions:
        path = again.adapters.path_of(version.number)
        run = runs.get(version.card.adapter_id)
        if keep_adapters or run is None:
            shutil.copyfile(version.path, path)
            why = "" if run else ": it was not trained in this project"
            yield Said(f"v{version.number} was copied{why}.")
        else:
            yield from _trained_again(project, version, run, versions, path, images, device)
    active = project.adapters.active
    again.adapters.set_active(None if active is None else active.number)
    for version in deleted:
        again.adapters.delete(version.number)


def _masks_again(record: RecordContents, folder: Path) -> Said:
    """Write journal and masks of one image, and compare with the mask files that are there."""
    (folder / MASKS).mkdir(parents=True)
    for name in (IMAGE_FILE, JOURNAL, COPY):
        if (record.folder / name).exists():
            shutil.copyfile(record.folder / name, folder / name)
    alike = differ = 0
    slices = record.slices()
    for index, n in record.last_lines.items():
        labels = slices[index].seen
        write_mask(folder / MASKS / mask_name(index), n, labels)
        there = read_mask_file(record.folder / MASKS / mask_name(index))
        if there is not None:
            same = np.array_equal(there[1], labels)
            alike, differ = alike + same, differ + (not same)
    more = f", {differ} differ from theirs" if differ else ""
    said = f"{record.identity.name}: {alike} slices are as in their mask files{more}."
    return Said(" ".join([said, *record.troubles]))


def _runs(records: list[RecordContents], versions: list[AdapterVersion]) -> dict[str, _Run]:
    """Return the run of each adapter id.

    Its start is written in the journal of one image. That it made the adapter is written there, in
    the journal of another image, or, where none could be written to, in the adapter's card alone.
    """
    starts, made = {}, {}
    for record in records:
        for event in record.journal.events:
            if event.do == "training":
                starts[event.details.get("run")] = _Run(record, event)
            elif event.do == "trained":
                made[str(event.details.get("adapter"))] = event.details.get("run")
    made |= {
        version.card.adapter_id: version.card.training["run"]
        for version in versions
        if "run" in version.card.training
    }
    return {adapter: starts[run] for adapter, run in made.items() if run in starts}


def _trained_again(
    project: Project,
    version: AdapterVersion,
    run: _Run,
    versions: list[AdapterVersion],
    path: Path,
    images: Path | None,
    device: str,
) -> Iterator[Said]:
    card, training = version.card, version.card.training
    parents = {one.card.adapter_id: one.number for one in versions}
    init = None
    if card.parent_id:
        if card.parent_id not in parents:
            raise TrainingError(
                f"v{version.number} continued from an adapter that is not in the project any more. "
                "Use --keep-adapters."
            )
        init = path.with_name(f"adapter-{parents[card.parent_id]:04d}.safetensors")
    config = _config_again(training)
    samples = list(_samples(project, run, images))
    then = {tuple(pair) for pair in training.get("masks", ())}
    others = sum((one.digest, one.labels_digest) not in then for one in samples) if then else 0
    if others:
        yield Said(
            f"v{version.number}: {others} of {len(samples)} masks are not those it learned from "
            "then. The journal of their image, or its mask files, are damaged."
        )
    job = TrainingJob(
        samples=samples,
        out=path,
        config=config,
        base=str(run.start.details["base"]),
        init=init,
        input_size=card.input_size,
        adapter=None if init else card.adapter,
        class_names=card.class_names,
        class_colors=card.class_colors,
        device=device,
        notes={
            "image": run.record.identity.name,
            "replays": card.adapter_id,
            "run": str(run.start.details["run"]),
        },
    )
    for event in run_job(job):
        if isinstance(event, StepReport):
            note = f"v{version.number}, step {event.step} of {config.max_steps}"
            yield Said(note, is_result=False)
        elif isinstance(event, AdapterSaved):
            yield Said(
                f"v{version.number} was trained again, {training['steps']} steps: held-out Dice "
                f"{_score(event.card.training)}, was {_score(training)}."
            )


def _config_again(training: Mapping[str, Any]) -> TrainingConfig:
    config = TrainingConfig.from_dict(training["config"])
    return replace(config, max_seconds=math.inf, max_steps=int(training["steps"]), max_epochs=None)


def _samples(project: Project, run: _Run, images: Path | None) -> Iterator[TrainingSample]:
    """Return the slices with the masks they had when the run began."""
    try:
        parts = [RunPart.from_dict(part) for part in run.start.details["parts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"What a training run of {run.record.identity.name} learned from is damaged ({error}). "
            "Use --keep-adapters."
        ) from error
    for part in parts:
        yield from marked_image(project, part, images).samples()


def _score(training: Mapping[str, Any]) -> str:
    value = training.get("held_out_dice_after")
    return "not taken" if value is None else f"{value:.3f}"
