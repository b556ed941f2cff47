"""Retrain on the corrected and accepted slices, in the background."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.adapter.config import Condition
from napari_sam_adapter.errors import SamAdapterError, TrainingError
from napari_sam_adapter.retrain_request import RetrainRequest
from napari_sam_adapter.training.events import TrainingFinished
from napari_sam_adapter.training.job import AdapterSaved
from napari_sam_adapter.widgets.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_sam_adapter.session import Session
    from napari_sam_adapter.versions import AdapterVersion
    from napari_sam_adapter.widgets.binding import LayerBinding
    from napari_sam_adapter.widgets.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.retrain_panel import RetrainSettings


class Retraining(QObject):
    """One training run at a time.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    changed : Signal(bool)
        Training started or ended.
    reported : Signal(object)
        An event of the run.
    version_made : Signal()
        A new version is saved and in use.
    """

    said = Signal(str, bool)
    changed = Signal(bool)
    reported = Signal(object)
    version_made = Signal()

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        note: Callable[[LayerBinding, str, Mapping[str, Any]], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._layers, self._note = session, layers, note
        self._noted: tuple[LayerBinding, str] | None = None
        self._job: Job | None = None
        self._trouble = ""

    @property
    def is_running(self) -> bool:
        """Whether a run goes on."""
        return self._job is not None

    def start(self, settings: RetrainSettings) -> None:
        """Train the next version on the corrected and accepted slices."""
        try:
            if self._job is not None:
                raise TrainingError("A training run is going on already.")
            request = self._request(settings)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        job = Job(
            lambda: self._session.retrain(request),
            "retraining the adapter; closing ends the run and keeps nothing of it",
            self._session.trainer.kill,
            self,
        )
        job.event_reported.connect(self._on_event)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_finished)
        self._job = job
        self._note_start(request)
        self._session.trainer.allow()
        self.changed.emit(True)
        count = len(request.masks)
        slices = "1 slice" if count == 1 else f"{count} slices"
        self.said.emit(f"Retraining on {slices}. Go on working.", False)
        job.start()

    def stop(self) -> None:
        """Ask the run to end; the best state so far becomes the new version."""
        self._session.trainer.stop()
        self.said.emit("Stopping after this step; the best state so far is kept.", False)

    def _request(self, settings: RetrainSettings) -> RetrainRequest:
        binding = self._layers.binding
        if binding is None or not binding.is_alive:
            raise TrainingError(
                "There is nothing to train on yet: predict a slice, correct its mask or accept it, "
                "then retrain."
            )
        masks = binding.masks_to_train_on()
        if not masks:
            raise TrainingError(
                "No slice is corrected or accepted yet. Paint on a mask, or accept a slice that "
                "needs no change, then retrain."
            )
        if not any(mask.any() for mask in masks.values()):
            raise TrainingError(
                "All masks to train on are empty. Correct at least one slice that shows the object."
            )
        weights = settings.conditions
        conditions = None
        try:
            if weights is not None:
                conditions = tuple(Condition(name, weight) for name, weight in weights.items())
        except ValueError as error:
            raise TrainingError(f"The conditions cannot be used: {error}.") from error
        return RetrainRequest(
            source=binding.source,
            masks=masks,
            image_name=binding.image.name,
            config=settings.config,
            input_size=settings.input_size,
            classes=self._session.classes,
            conditions=conditions,
        )

    def _on_event(self, event: Any) -> None:
        self.reported.emit(event)
        if isinstance(event, TrainingFinished):
            self._trouble = event.message
        if isinstance(event, AdapterSaved):
            self._activate(event)

    def _note_start(self, request: RetrainRequest) -> None:
        """Write down what is learned from: the masks are those of this moment."""
        binding, run = self._layers.binding, uuid.uuid4().hex
        if binding is None:
            return
        model = self._session.model()
        details = {
            "run": run,
            "slices": [list(index) for index in request.masks],
            "base": model.base,
            "parent": "" if self._session.active is None else self._session.active.card.adapter_id,
            "config": request.config.to_dict(),
        }
        self._noted = (binding, run)
        self._note(binding, "training", details)

    def _activate(self, saved: AdapterSaved) -> None:
        try:
            version = self._session.adopt_saved(saved)
        except SamAdapterError as error:
            self._on_failed(str(error))
            return
        if self._noted is not None:
            binding, run = self._noted
            card = version.card
            details = {"run": run, "adapter": card.adapter_id, "version": version.number}
            self._note(binding, "trained", details)
        if not self._session.is_in_use(version):
            self.said.emit(
                f"v{version.number} is saved in {version.path.parent}, the folder this run was "
                "started in. Choose that folder to use it.",
                True,
            )
            return
        said = " ".join(filter(None, (_summary(version), self._trouble)))
        self.said.emit(said, bool(self._trouble))
        self.version_made.emit()

    def _on_failed(self, message: str) -> None:
        self.said.emit(f"{message} The version in use has not changed.", True)

    def _on_finished(self) -> None:
        self._job = None
        self.changed.emit(False)


def _summary(version: AdapterVersion) -> str:
    training = version.card.training
    before, after = training["held_out_dice_before"], training["held_out_dice_after"]
    if before is None:
        score = "Too few slices to hold one out, so there is no score yet."
    else:
        score = (
            f"Dice on {training['n_held_out']} held-out: {before:.2f} before, {after:.2f} after."
        )
    classes = training.get("held_out_dice_classes", {})
    if len(version.card.class_names) > 1 and classes:
        score += f" By class: {', '.join(f'{name} {dice:.2f}' for name, dice in classes.items())}."
    how = {
        "completed": "is trained and in use",
        "stopped": "holds the best state before you stopped, and is in use",
        "diverged": "holds the best state before training broke down, and is in use",
    }[training["ended"]]
    return f"v{version.number} {how}. {score}"
