"""From a training run to the next version: start it, go on with it, take over what it has made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.errors import TrainingError
from napari_sam_adapter.project.home import refuge_for
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.retrain_request import RetrainRequest
from napari_sam_adapter.session.model_in_use import ModelInUse
from napari_sam_adapter.session.session import Session
from napari_sam_adapter.training.events import TrainingEvent
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob
from napari_sam_adapter.versions.adapter_store import AdapterStore
from napari_sam_adapter.versions.adapter_version import AdapterVersion


@dataclass(frozen=True, slots=True)
class RunStart:
    """Where a run belongs and what it starts from: as it was when the person asked for it.

    It may take a while until the images are read and the first step is taken, and by then another
    project may be open.

    Attributes
    ----------
    project : Project
    store : AdapterStore
        Where its adapter becomes the next version.
    model : ModelInUse
    """

    project: Project
    store: AdapterStore
    model: ModelInUse

    @classmethod
    def of(cls, session: Session) -> RunStart:
        """Return what is open and in use now."""
        return cls(session.project, session.store, session.in_use)


def train(
    trainer: Trainer, start: RunStart, request: RetrainRequest
) -> Iterator[TrainingEvent | AdapterSaved]:
    """Train the next version; run it in a worker thread.

    Yields
    ------
    TrainingEvent or AdapterSaved

    Raises
    ------
    SamAdapterError
        With a message for the person; the version in use is unchanged.
    """
    yield from trainer.run(lambda: _job(start, request))


def prepare(
    trainer: Trainer, start: RunStart, request: RetrainRequest, n_views: int, begins_anew: bool
) -> bool:
    """Encode the slices of a request ahead of the run; see `Trainer.prepare`."""
    return trainer.prepare(lambda: _job(start, request), n_views, begins_anew)


def _job(start: RunStart, request: RetrainRequest) -> TrainingJob:
    model, is_new = start.model.reference, start.model.version is None
    out, refuge = start.store.working_path(), refuge_for(start.project.folder)
    return request.job(model, is_new, out, refuge, start.model.device)


def continue_from(session: Session, parent: str, base: str) -> None:
    """Use what a run that is to go on had started from.

    Parameters
    ----------
    session : Session
    parent : str
        Adapter id; "" is the base model.
    base : str

    Raises
    ------
    SamAdapterError
        If it is not there any more.
    """
    if session.in_use.is_model(parent, base):
        return
    if not parent:
        if session.in_use.base != base:
            session.choose_base(base)
        if session.in_use.version is not None:
            session.activate(None)
    else:
        known = {v.card.adapter_id: v.number for v in session.store.versions()}
        if parent not in known:
            raise TrainingError(
                "The version this run continued from is not in the project any more, so it "
                "cannot go on. Discard it, and retrain."
            )
        session.activate(known[parent])


def adopt_saved(session: Session, start: RunStart, saved: AdapterSaved) -> AdapterVersion:
    """Make what a training run has saved the next version of the project it was started in.

    It predicts from now on, unless its held-out slices hold it back (`promotion`), or the person
    has chosen since: another model, with which it was not compared; or another project, as versions
    of two projects share their numbers, and what is in use belongs to the one that is open.

    Raises
    ------
    SamAdapterError
        If it cannot be given a number, or the choice cannot be saved.
    """
    if not is_homeless(start, saved):
        version = start.store.adopt(saved.path)
        _use_if_better(session, version)
        return version
    version = start.store.import_file(saved.path)
    _use_if_better(session, version)
    saved.path.unlink(missing_ok=True)  # last: until then it can be loaded from there
    return version


def _use_if_better(session: Session, version: AdapterVersion) -> None:
    if not is_of_open_project(session, version):
        return
    # Which classes are worked with is the person's choice, also what is named or added while a run
    # goes on; only, none of those that it has learned is missing.
    asked = session.classes
    if not (version.verdict.promoted and session.in_use.is_parent_of(version.card)):
        # What was in use by default would not be once there is a newer version.
        used = session.in_use.version
        session.activate(None if used is None else used.number, asked)
    else:
        has_all = len(asked) >= len(version.card.class_names)
        session.activate(version.number, asked if has_all else Classes.of(version.card))


def is_homeless(start: RunStart, saved: AdapterSaved) -> bool:
    """Whether an adapter was saved elsewhere: its project is gone, or could not be written to."""
    return saved.path.parent != start.store.folder


def is_of_open_project(session: Session, version: AdapterVersion) -> bool:
    """Whether a version lies in the project that is open now."""
    return version.path.parent.resolve() == session.store.folder.resolve()
