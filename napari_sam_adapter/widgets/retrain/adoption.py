"""What becomes of the adapters that training runs have saved."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_sam_adapter.errors import SamAdapterError, StorageError
from napari_sam_adapter.project.retrain_words import (
    ends_before,
    gains_no_more,
    goes_on,
    held_back,
    homeless,
    in_other_project,
    kept_outside,
    not_compared,
    summary,
)
from napari_sam_adapter.project.run_folder import RunFolder, RunPlan, unfinished_runs
from napari_sam_adapter.session.next_version import (
    RunStart,
    adopt_saved,
    is_homeless,
    is_of_open_project,
)
from napari_sam_adapter.storage import reason_of
from napari_sam_adapter.training.presets import LEAST_GAIN
from napari_sam_adapter.versions.promotion import ENOUGH
from napari_sam_adapter.widgets.retrain.run_start import end_rounds

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.training.job import AdapterSaved
    from napari_sam_adapter.versions.adapter_version import AdapterVersion
    from napari_sam_adapter.widgets.record.recording import Recording


@dataclass(frozen=True, slots=True)
class Noted:
    """A run that is written down in a project."""

    project: Path
    plan: RunPlan

    @property
    def record(self) -> Path:
        """The record of the image that the run was asked for on."""
        return self.project / "images" / self.plan.parts[0].record


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an adapter.

    Attributes
    ----------
    said : str
        For the person.
    is_problem : bool
    is_in_use : bool
        Whether it predicts from now on.
    goes_on : bool
        Whether a run in the next gear is to follow.
    """

    said: str
    is_problem: bool = False
    is_in_use: bool = False
    goes_on: bool = False


class Adoption:
    """Makes what runs have saved the next versions of the projects they belong to."""

    def __init__(self, session: Session, recording: Recording) -> None:
        self._session, self._recording = session, recording
        self._homeless: tuple[AdapterSaved, str] | None = None  # with the name of its run

    def take(
        self, start: RunStart, noted: Noted | None, saved: AdapterSaved, following: str
    ) -> Outcome:
        """Make an adapter the next version; one whose project is gone waits for it.

        One that did not fit into its project (a full disk) stays where it was saved instead, if
        there is still no room: the run's checkpoint has made way by now.

        Parameters
        ----------
        start : RunStart
        noted : Noted or None
            None where the run is not written down.
        saved : AdapterSaved
        following : str
            The gear that would follow; "" where none would.

        Raises
        ------
        SamAdapterError
            If it cannot become a version.
        """
        if not is_homeless(start, saved):
            return self._adopt(start, noted, saved, following)
        folder = start.project.folder
        if start.project.is_there:
            try:
                return self._adopt(start, noted, saved, following)
            except StorageError as error:
                return Outcome(kept_outside(folder, saved.path, reason_of(error)), is_problem=True)
        if noted is not None:
            self._homeless = saved, noted.plan.run
        return Outcome(homeless(folder, saved.path), is_problem=True)

    def bring_home(self) -> Outcome | None:
        """Take over what was learned for a project that was moved, if that is the open one now.

        Raises
        ------
        SamAdapterError
            If it cannot become a version.
        """
        if self._homeless is None:
            return None
        saved, run = self._homeless
        project = self._session.project.folder
        plan = next((one for one in unfinished_runs(project) if one.run == run), None)
        if plan is None:
            return None
        start = RunStart.of(self._session)
        outcome = self._adopt(start, Noted(project, plan), saved, "")
        self._homeless = None
        with contextlib.suppress(SamAdapterError):
            RunFolder(project, plan).finish()
        return outcome

    def _adopt(
        self, start: RunStart, noted: Noted | None, saved: AdapterSaved, following: str
    ) -> Outcome:
        version = adopt_saved(self._session, start, saved)
        if noted is not None:
            adapter = version.card.adapter_id
            details = {"run": noted.plan.run, "adapter": adapter, "version": version.number}
            # Where another window has that image open, the adapter's card still names the run.
            with contextlib.suppress(StorageError):
                self._recording.records.note(noted.record, "trained", details)
            end_rounds(self._recording, noted.project, noted.plan)
        unused = self._if_not_in_use(start, version)
        if unused is not None:
            return replace(unused, said=f"{unused.said} {ends_before(following)}".strip())
        if not following:
            return Outcome(summary(version), is_in_use=True)
        if _gained_nothing(version):
            return Outcome(gains_no_more(version), is_in_use=True)
        return Outcome(goes_on(version, following), is_in_use=True, goes_on=True)

    def _if_not_in_use(self, start: RunStart, version: AdapterVersion) -> Outcome | None:
        if not is_of_open_project(self._session, version):
            return Outcome(in_other_project(version, start.project.folder))
        in_use = self._session.in_use
        if not version.verdict.promoted:
            return Outcome(held_back(version, in_use.name), is_problem=True)
        if not in_use.is_version(version):
            return Outcome(not_compared(version, in_use.name))
        return None


def _gained_nothing(version: AdapterVersion) -> bool:
    # Few held-out slices do not tell when to end, nor does none: the person does.
    verdict = version.verdict
    return verdict.n >= ENOUGH and verdict.difference < LEAST_GAIN
