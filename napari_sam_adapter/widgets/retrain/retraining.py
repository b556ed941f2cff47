"""Retrain on the corrected and accepted slices, in the background."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import SamAdapterError, StorageError, TrainingError
from napari_sam_adapter.project.retrain_words import NOT_ON_OFFER, ends_here, started
from napari_sam_adapter.project.run_folder import RunFolder, RunPlan, unfinished_runs
from napari_sam_adapter.project.run_log import RunLog
from napari_sam_adapter.project.run_request import request_of
from napari_sam_adapter.session.next_version import RunStart, continue_from, train
from napari_sam_adapter.storage import is_missing
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.gear_clock import GearClock
from napari_sam_adapter.training.job import AdapterSaved
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.retrain.adoption import Adoption, Noted, Outcome
from napari_sam_adapter.widgets.retrain.run_start import (
    Begun,
    begin,
    check_shows_object,
    has_others,
    plan_for,
    request_for,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.panels.retrain_panel import RetrainSettings
    from napari_sam_adapter.widgets.record.recording import Recording


CLOSING = "retraining the adapter; it can be resumed when napari is open again"


class Retraining(QObject):
    """One training run at a time.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    refused : Signal(str)
        Why the masks cannot be trained on as they are.
    changed : Signal(bool)
        Training started or ended.
    reported : Signal(object)
        An event of the run.
    log : RunLog or None
        Of the run that goes on, or the last one.
    version_made : Signal()
        A new version is saved and in use.
    """

    said = Signal(str, bool)
    refused = Signal(str)
    changed = Signal(bool)
    reported = Signal(object)
    version_made = Signal()

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        recording: Recording,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._recording = session, layers, recording
        self._binding: LayerBinding | None = None
        self._start: RunStart | None = None
        self._noted: Noted | None = None
        self._run: RunFolder | None = None
        self._is_saved = self._is_resumed = self._is_stopped = False
        self._job: Job | None = None
        self._adoption = Adoption(session, recording)
        self._trouble = ""
        self._next: RetrainSettings | None = None
        self._clock = GearClock([])
        self.log: RunLog | None = None

    @property
    def is_running(self) -> bool:
        """Whether a run goes on."""
        return self._job is not None

    @property
    def run_name(self) -> str:
        """By which name the run is known that nobody has asked to end; "" where there is none."""
        is_wanted = not (self._is_saved or self._is_stopped)
        return self._run.plan.run if self._run is not None and is_wanted else ""

    def start(self, settings: RetrainSettings, *, is_next_gear: bool = False) -> None:
        """Train the next version on the corrected and accepted slices.

        Parameters
        ----------
        settings : RetrainSettings
        is_next_gear : bool
            Whether the run follows another one, of which the person has just read.
        """
        self._next = None
        follows = self._noted.plan.run if is_next_gear and self._noted is not None else ""
        try:
            if self._job is not None:
                raise TrainingError("A training run is going on already.")
            self._session.check_classes()
            binding, others = self._layers.binding, settings.learns_from_others
            request = request_for(binding, self._recording, self._session, settings)
            # Where there are others, what they show is known once they are read.
            if not (others and has_others(self._recording, self._session, binding)):
                check_shows_object(request.images)
        except SamAdapterError as error:
            self.refused.emit(str(error))
            return
        plan = plan_for(binding, self._recording, self._session, request, follows, settings)
        start, trainer = RunStart.of(self._session), self._session.trainer
        self._binding = binding
        self._noted = None if plan is None else Noted(start.project.folder, plan)
        self._launch(start, lambda: begin(trainer, start, request, plan, others))
        self._next = settings.next
        if not is_next_gear:
            self._clock = _clock_of(settings)
            self.said.emit(started(request.images), False)

    def unfinished(self) -> RunPlan | None:
        """Return the run that a closed or killed window has left behind, if there is one."""
        if self._job is not None:
            return None
        found = unfinished_runs(self._session.project.folder)
        return found[-1] if found else None

    def resume(self) -> None:
        """Go on with the unfinished run, from its last checkpoint."""
        if self._job is not None:
            return
        plan, project = self.unfinished(), self._session.project
        if plan is None:
            self._say_it_is_gone()
            return
        try:
            settings = settings_of(plan)
            continue_from(self._session, plan.parent, plan.base)
            run = self._run = RunFolder(project.folder, plan)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            self.changed.emit(False)
            return
        start = RunStart.of(self._session)
        self._noted = Noted(start.project.folder, plan)
        self._binding = None  # its image may be opened meanwhile

        def events() -> Iterator[object]:
            yield from train(self._session.trainer, start, request_of(project, run))

        self._launch(start, events, is_resumed=True)
        self._next = settings.next
        self._clock = _clock_of(settings)
        self.said.emit("The retraining goes on where it stood. Go on working.", False)

    def take_over(self, run: str) -> bool:
        """Resume the run of a dock that was closed, unless another model was chosen meanwhile.

        Returns
        -------
        bool
            Whether it goes on.
        """
        plan = self.unfinished()
        if plan is None or plan.run != run:
            return False
        if not self._session.in_use.is_model(plan.parent, plan.base):
            return False
        self.resume()
        return self.is_running

    def discard(self) -> None:
        """Forget the unfinished run; the corrections it learned from stay."""
        if self._job is not None:
            return
        plan = self.unfinished()
        if plan is None:
            self._say_it_is_gone()
            return
        try:
            RunFolder(self._session.project.folder, plan).finish()
            self.said.emit("The unfinished run is forgotten; your corrections stay.", False)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
        self.changed.emit(False)

    def _say_it_is_gone(self) -> None:
        self.said.emit(NOT_ON_OFFER, True)
        self.changed.emit(False)  # so that it is no longer offered

    def leave(self) -> None:
        """Keep what the run needs to be resumed: the window closes."""
        run, self._run = self._run, None
        if run is not None and self._is_saved:
            run.finish()
        elif run is not None:
            run.leave()

    def _launch(
        self, start: RunStart, events: Callable[[], Iterable[object]], *, is_resumed: bool = False
    ) -> None:
        job = Job(events, CLOSING, self._kill, self)
        job.event_reported.connect(self._on_event)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_finished)
        self._job, self._start = job, start
        self._is_saved, self._is_resumed, self._is_stopped = False, is_resumed, False
        self.log = RunLog(start.project.folder / "logs")
        self._session.trainer.allow()
        self.changed.emit(True)
        job.start()

    def _kill(self) -> None:
        self.leave()
        self._session.trainer.kill()

    def stop(self) -> None:
        """Ask the run to end; the best state so far becomes the new version, and none follows."""
        self._next, self._is_stopped = None, True
        self._session.trainer.stop()
        self.said.emit("Stopping after this step; the best state so far is kept.", False)

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Begun):
            self._on_begun(event)
            return
        self.reported.emit(event)
        if self.log is not None:
            self.log.event(event)
        if isinstance(event, TrainingFinished):
            self._trouble = event.message
        if isinstance(event, AdapterSaved) and self._start is not None:
            self._on_saved(self._start, event)

    def _on_begun(self, begun: Begun) -> None:
        """Write down what is learned from, so that it can be explained."""
        self._run = begun.run
        if self._start is not None and self._noted is not None:
            self._noted = Noted(self._start.project.folder, begun.plan)
            # Another window may have that image open by now; then the run goes without this line.
            with contextlib.suppress(StorageError):
                self._recording.records.note(self._noted.record, "training", begun.plan.described())
        if begun.missed or len(begun.plan.parts) > 1:
            self.said.emit(" ".join([begun.sentence, *begun.missed]), bool(begun.missed))

    def bring_home(self) -> None:
        """Take over what was learned for a project that was moved, if that is the open one now."""
        if self._job is not None:
            return
        try:
            outcome = self._adoption.bring_home()
        except SamAdapterError as error:
            self._on_failed(str(error))
            return
        if outcome is not None:
            self._tell(outcome)
            self.changed.emit(False)

    def _on_saved(self, start: RunStart, saved: AdapterSaved) -> None:
        following = "" if self._next is None else self._next.config.gear
        try:
            outcome = self._adoption.take(start, self._noted, saved, following)
        except SamAdapterError as error:
            self._on_failed(str(error))
            return
        self._is_saved = True
        if not outcome.goes_on:
            self._next = None
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        trouble = self._trouble if outcome.is_in_use else ""
        said = " ".join(filter(None, (outcome.said, trouble)))
        self.said.emit(said, outcome.is_problem or bool(trouble))
        if outcome.is_in_use:
            self.version_made.emit()

    def _on_failed(self, message: str) -> None:
        self._next = None
        if self.log is not None:
            self.log.write(message)
        self.said.emit(f"{message} The version in use has not changed.", True)

    def _on_finished(self) -> None:
        self._job = None
        written = self._session.trainer.last_log
        if self.log is not None and written:
            self.log.write(f"The process wrote:\n{written}")
        run, self._run = self._run, None
        if run is not None:
            # What failed after a checkpoint may go better another time; what was on offer stays so.
            has_nothing = not self._is_resumed and is_missing(run.checkpoint.path)
            if self._is_saved or has_nothing:
                run.finish()
            else:
                run.leave()
        following, self._next = self._next, None
        self.changed.emit(False)
        self.bring_home()  # chosen where it is now before the run had ended
        if following is not None and self._is_saved:
            self._go_on(following)
        if self._job is None:
            self._session.trainer.release()

    def _go_on(self, settings: RetrainSettings) -> None:
        """Start the next gear, on the corrections as they are by now."""
        if not self._has_its_masks_chosen():
            self.said.emit(ends_here(self._session.in_use.name, settings.config.gear), False)
            return
        config = replace(settings.config, max_seconds=self._clock.next_gear())
        self.start(replace(settings, config=config, input_size=None), is_next_gear=True)

    def _has_its_masks_chosen(self) -> bool:
        """Whether the masks that the run was asked for on are those that are worked on now."""
        now, then = self._layers.binding, self._binding
        if now is None or not now.is_alive:
            return False
        if then is not None and now.image is then.image and now.labels is then.labels:
            return True  # also where the image got other pixels, and thus another record
        noted, records = self._noted, self._recording.records
        return noted is not None and now is records.binding_of(noted.record)


def _clock_of(settings: RetrainSettings) -> GearClock:
    return GearClock([config.max_seconds for config in settings.gears])
