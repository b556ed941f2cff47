"""The adapters of a project that is made again: copied, or trained again from the same masks."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_sam_adapter.errors import StorageError, TrainingError
from napari_sam_adapter.project.events import Event
from napari_sam_adapter.project.mending import RecordContents
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.run_folder import RunPart
from napari_sam_adapter.project.run_request import marked_image
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import StepReport
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob, run_job
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.versions.adapter_version import AdapterVersion


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


@dataclass(frozen=True, slots=True)
class AdaptersAgain:
    """How the adapters of a project are made again.

    Attributes
    ----------
    project : Project
    records : list of RecordContents
        Of all of its images.
    images : Path or None
        Where the images are now, see `pixels.image_of`.
    keep : bool
        Copy the adapters instead of training them again.
    device : str
    """

    project: Project
    records: list[RecordContents]
    images: Path | None = None
    keep: bool = False
    device: str = "auto"

    def make(self, again: Project) -> Iterator[Said]:
        """Make them in another project.

        Raises
        ------
        SamAdapterError
            If something that is needed is not there.
        OSError
            If they cannot be written.
        """
        store, others = self.project.adapters, again.adapters
        versions, deleted, in_use = store.versions(), store.deleted(), _number(store.active)
        yield from map(Said, store.unreadable)
        # Names, notes, what was chosen and what was deleted: in small files beside the adapters.
        if store.folder.is_dir():
            all_else = shutil.ignore_patterns("*.safetensors", "lock", ".*", "in-use")
            shutil.copytree(store.folder, others.folder, ignore=all_else)
        others.folder.mkdir(exist_ok=True)
        runs = _runs(self.records, [*versions, *deleted])
        # Others may have continued from a version that was deleted since.
        deleted = [] if self.keep else [one for one in deleted if one.card.adapter_id in runs]
        versions = sorted([*versions, *deleted], key=lambda one: one.number)
        for version in versions:
            path = others.path_of(version.number)
            run = runs.get(version.card.adapter_id)
            if self.keep or run is None:
                shutil.copyfile(version.path, path)
                why = "" if run else ": it was not trained in this project"
                yield Said(f"v{version.number} was copied{why}.")
            else:
                yield from self._train(version, run, versions, path)
        for version in deleted:
            others.delete(version.number)
        if _number(others.active) != in_use:  # the newest that was not held back is another one now
            others.set_active(in_use)

    def _train(
        self, version: AdapterVersion, run: _Run, versions: list[AdapterVersion], path: Path
    ) -> Iterator[Said]:
        card, training = version.card, version.card.training
        parents = {one.card.adapter_id: one.number for one in versions}
        init = None
        if card.parent_id:
            if card.parent_id not in parents:
                raise TrainingError(
                    f"v{version.number} continued from an adapter that is not in the project any "
                    "more. Use --keep-adapters."
                )
            init = path.with_name(f"adapter-{parents[card.parent_id]:04d}.safetensors")
        config = _config_again(training)
        samples = list(_samples(self.project, run, self.images))
        then = {tuple(pair) for pair in training.get("masks", ())}
        others = sum((one.digest, one.labels_digest) not in then for one in samples) if then else 0
        if others:
            yield Said(
                f"v{version.number}: {others} of {len(samples)} masks are not those it learned "
                "from then. The journal of their image, or its mask files, are damaged."
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
            device=self.device,
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
                    f"v{version.number} was trained again, {training['steps']} steps: held-out "
                    f"Dice {_score(event.card.training)}, was {_score(training)}."
                )


def _number(version: AdapterVersion | None) -> int | None:
    return None if version is None else version.number


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
