"""What the dock's buttons and keys do. Panels ask, the controller acts, the session computes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.annotations import SliceState
from napari_sam_adapter.engine.predictor import SlicePredicted, SliceSkipped, predict_slices
from napari_sam_adapter.errors import ImageError, SamAdapterError, TrainingError
from napari_sam_adapter.session import RetrainRequest, Session
from napari_sam_adapter.training.job import AdapterSaved
from napari_sam_adapter.widgets.binding import LayerBinding, new_labels_layer
from napari_sam_adapter.widgets.jobs import Job

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.volume import SliceIndex
    from napari_sam_adapter.widgets.retrain_panel import RetrainSettings


class DockController(QObject):
    """Wires one viewer's layers to one session.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    engine_ready : Signal(str)
        The prediction process has started; a sentence that says on what it computes.
    binding_changed : Signal()
        Other layers are worked on now, or none.
    slices_changed : Signal()
        The state of a slice, or the slice in view, changed.
    prediction_progressed : Signal(int, int)
        Slices done, slices in all. (0, 0) when nothing runs.
    training_reported : Signal(object)
        An event of the training run.
    training_changed : Signal(bool)
        Training started or ended.
    versions_changed : Signal()
        The list of versions, or which one is active, changed.
    """

    said = Signal(str, bool)
    engine_ready = Signal(str)
    binding_changed = Signal()
    slices_changed = Signal()
    prediction_progressed = Signal(int, int)
    training_reported = Signal(object)
    training_changed = Signal(bool)
    versions_changed = Signal()

    def __init__(
        self, viewer: napari.Viewer, session: Session, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer, self.session = viewer, session
        self.binding: LayerBinding | None = None
        self._bindings: dict[int, LayerBinding] = {}
        self._image: Image | None = None
        self._prediction: Job | None = None
        self._predicting: LayerBinding | None = None
        self._stop_predicting = self._prediction_failed = False
        self._predict_again = False
        self._n_done = self._n_wanted = 0
        self._skipped: list[str] = []
        self._engine_job: Job | None = None
        self._training: Job | None = None
        session.active_changed.connect(self.versions_changed.emit)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.point.connect(self._on_slider_moved)

    # Layers

    def choose_layers(self, image: Image | None, labels: Labels | None) -> None:
        """Work on these layers; without masks a new layer is made when it is needed."""
        self._image = image
        binding = None
        try:
            if image is not None and labels is not None:
                binding = self._bind(image, labels)
        except ImageError as error:
            self.said.emit(str(error), True)
        if binding is not self.binding:
            self.binding = binding
            self.binding_changed.emit()
            self.slices_changed.emit()

    def _bind(self, image: Image, labels: Labels) -> LayerBinding:
        known = self._bindings.get(id(labels))
        if known is not None and known.image is image and known.labels is labels:
            return known
        binding = LayerBinding(self.viewer, image, labels)
        if known is not None:
            known.close()
        binding.slices_changed.connect(self.slices_changed)
        self._bindings[id(labels)] = binding
        return binding

    def _need_binding(self) -> LayerBinding:
        """Return the layers to work on, making a masks layer where none is chosen."""
        if self._image is None:
            raise ImageError("There is no image layer: open an image, or try File > Open Sample.")
        if self.binding is None or not self.binding.is_alive:
            labels = new_labels_layer(self.viewer, self._image)
            # Adding the layer may have made the dock choose it; bind it in any case.
            self.choose_layers(self._image, labels)
        if self.binding is None:
            raise ImageError("The masks layer could not be made for this image.")
        if not self.binding.slices_are_in_view():
            raise ImageError(
                "Predictions are made on the last two axes of the image, and the viewer shows "
                "others. Roll the axes back (Ctrl+E) until the last two are shown."
            )
        return self.binding

    def _on_layer_removed(self, event: Any) -> None:
        for key, binding in list(self._bindings.items()):
            if not binding.is_alive:
                binding.close()
                del self._bindings[key]
                if binding is self._predicting:
                    self._stop_predicting = True
                if binding is self.binding:
                    self.binding = None
                    self.binding_changed.emit()
        self.slices_changed.emit()

    def _on_slider_moved(self, event: Any) -> None:
        self.slices_changed.emit()

    # Predicting

    @property
    def is_predicting(self) -> bool:
        """Whether a prediction runs."""
        return self._prediction is not None

    def start_engine(self) -> None:
        """Start the prediction process ahead of the first click; it takes a few seconds."""
        job = self._job(lambda: [self.session.predictor.start()], "starting the model")
        job.event_reported.connect(self._on_engine_ready)
        job.failed.connect(self._on_failed)
        self._engine_job = job
        job.start()

    def predict_slice(self) -> None:
        """Predict the slice in view."""
        try:
            binding = self._need_binding()
            index = binding.index_in_view()
            if binding.tracker.state(index) is SliceState.ACCEPTED:
                raise ImageError(
                    f"{binding.source.describe(index).capitalize()} is accepted, so it stays as "
                    "it is. Take the acceptance back to predict it again."
                )
            self._predict(binding, [index])
        except SamAdapterError as error:
            self.said.emit(str(error), True)

    def predict_all(self) -> None:
        """Predict all slices that are not accepted, beginning with the one in view."""
        try:
            binding = self._need_binding()
            binding.check_all()
            start = binding.source.flat(binding.index_in_view())
            order = list(binding.source.indices())
            order = order[start:] + order[:start]
            accepted = SliceState.ACCEPTED
            wanted = [i for i in order if binding.tracker.state(i) is not accepted]
            if not wanted:
                raise ImageError("Every slice is accepted; there is nothing to predict.")
            self._predict(binding, wanted)
        except SamAdapterError as error:
            self.said.emit(str(error), True)

    def cancel_prediction(self) -> None:
        """Stop after the slice that is being predicted; what is done stays."""
        self._stop_predicting = True

    def _predict(self, binding: LayerBinding, indices: list[SliceIndex]) -> None:
        if self._prediction is not None:
            raise ImageError("A prediction is running already; wait for it, or cancel it.")
        self._stop_predicting = self._prediction_failed = False
        self._predicting = binding
        self._n_done, self._n_wanted = 0, len(indices)
        self._skipped = []
        model, source = self.session.model(), binding.source
        predictor = self.session.predictor
        job = self._job(
            lambda: predict_slices(
                predictor, source, indices, model, lambda: self._stop_predicting
            ),
            f"predicting {len(indices)} slices",
        )
        job.event_reported.connect(self._on_slice_done)
        job.failed.connect(self._on_prediction_failed)
        job.finished.connect(self._on_prediction_finished)
        self._prediction = job
        self.prediction_progressed.emit(0, len(indices))
        job.start()

    def _on_slice_done(self, event: SlicePredicted | SliceSkipped) -> None:
        binding = self._predicting
        if binding is None or not binding.is_alive:
            self._stop_predicting = True
            return
        self._n_done += 1
        try:
            if isinstance(event, SlicePredicted):
                binding.apply(event)
            else:
                self._skipped.append(f"{binding.source.describe(event.index)}: {event.reason}")
        except ImageError as error:
            self._stop_predicting = self._prediction_failed = True
            self.said.emit(str(error), True)
        self.prediction_progressed.emit(self._n_done, self._n_wanted)

    def _on_prediction_finished(self) -> None:
        binding, done, wanted = self._predicting, self._n_done, self._n_wanted
        self._prediction = self._predicting = None
        self.prediction_progressed.emit(0, 0)
        if binding is not None and not binding.is_alive:
            self.said.emit(
                f"The image or masks layer was deleted; {done} of {wanted} slices were predicted.",
                True,
            )
        elif done and not self._prediction_failed:
            self.said.emit(self._prediction_summary(done, wanted), bool(self._skipped))
        if self._predict_again:
            self._predict_again = False
            self._predict_slice_in_view_again()

    def _on_prediction_failed(self, message: str) -> None:
        self._prediction_failed = True
        self.said.emit(message, True)

    def _prediction_summary(self, done: int, wanted: int) -> str:
        name = self._active_name()
        if self._skipped:
            more = f" and {len(self._skipped) - 1} more" if len(self._skipped) > 1 else ""
            return f"{done - len(self._skipped)} slices predicted. Skipped {self._skipped[0]}{more}"
        if done < wanted:
            return f"Cancelled: {done} of {wanted} slices were predicted by {name}."
        what = "Predicted" if wanted == 1 else f"{done} slices predicted"
        return f"{what} by {name}. Correct the masks with napari's brush, or accept them."

    def _active_name(self) -> str:
        active = self.session.active
        return "the base model" if active is None else f"v{active.number}"

    # Correcting

    def toggle_accepted(self) -> None:
        """Accept the slice in view as it is, or take that back."""
        try:
            binding = self._need_binding()
            index = binding.index_in_view()
            accepted = binding.toggle_accepted(index)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        slice_name = binding.source.describe(index).capitalize()
        if accepted:
            self.said.emit(
                f"{slice_name} is accepted: it is trained on, and stays as it is.", False
            )
        else:
            self.said.emit(f"{slice_name} is open again.", False)

    # Retraining

    @property
    def is_training(self) -> bool:
        """Whether a training run goes on."""
        return self._training is not None

    def retrain(self, settings: RetrainSettings) -> None:
        """Train the next adapter version on the corrected and accepted slices."""
        try:
            if self._training is not None:
                raise TrainingError("A training run is going on already.")
            request = self._retrain_request(settings)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        job = self._job(
            lambda: self.session.retrain(request),
            "retraining the adapter; closing ends it and keeps nothing of this run",
            self.session.kill_training,
        )
        job.event_reported.connect(self._on_training_event)
        job.failed.connect(self._on_training_failed)
        job.finished.connect(self._on_training_finished)
        self._training = job
        self.training_changed.emit(True)
        self.said.emit(f"Retraining on {len(request.masks)} slices. Go on working.", False)
        job.start()

    def stop_training(self) -> None:
        """Ask the run to end; the best state so far becomes the new version."""
        self.session.stop_training()
        self.said.emit("Stopping after this step; the best state so far is kept.", False)

    def _retrain_request(self, settings: RetrainSettings) -> RetrainRequest:
        binding = self.binding
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
        return RetrainRequest(
            source=binding.source,
            masks=masks,
            image_name=binding.image.name,
            config=settings.config,
            input_size=settings.input_size,
        )

    def _on_training_event(self, event: Any) -> None:
        self.training_reported.emit(event)
        if isinstance(event, AdapterSaved):
            self._activate_saved(event)

    def _activate_saved(self, saved: AdapterSaved) -> None:
        number = int(saved.path.stem.rpartition("-")[2])
        try:
            self.session.activate(number)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        self.said.emit(_training_summary(number, saved), saved.card.training["ended"] == "diverged")
        self._predict_slice_in_view_again()

    def _predict_slice_in_view_again(self) -> None:
        """Show at once what the new version makes of the slice in view."""
        binding = self.binding
        if binding is None or not binding.is_alive or not binding.slices_are_in_view():
            return
        if self._prediction is not None:
            self._predict_again = True
        elif binding.tracker.state(binding.index_in_view()) is not SliceState.ACCEPTED:
            self._predict(binding, [binding.index_in_view()])

    def _on_training_failed(self, message: str) -> None:
        self.said.emit(f"{message} The version in use has not changed.", True)

    def _on_training_finished(self) -> None:
        self._training = None
        self.training_changed.emit(False)

    # Versions

    def activate(self, number: int | None) -> None:
        """Let a version, or the base model, predict from now on."""
        try:
            self.session.activate(number)
            self.said.emit(f"{self._active_name().capitalize()} predicts from now on.", False)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            self.versions_changed.emit()

    def load_adapter_file(self, path: Path) -> None:
        """Take an adapter file into the versions and use it."""
        try:
            version = self.session.load_adapter_file(path)
            self.said.emit(f"{path.name} is now v{version.number} and in use.", False)
        except SamAdapterError as error:
            self.said.emit(str(error), True)

    def export_active(self, path: Path) -> None:
        """Copy the version in use to a file."""
        try:
            if self.session.active is None:
                raise TrainingError("The base model is in use; there is no adapter to export.")
            self.session.store.export(self.session.active.number, path)
            self.said.emit(f"Exported to {path}.", False)
        except SamAdapterError as error:
            self.said.emit(str(error), True)

    # Life

    def close(self) -> None:
        """End everything that runs and stop listening to the viewer; safe to call twice.

        It also runs after Qt has destroyed the dock, so it emits nothing.
        """
        self._stop_predicting = True
        self.session.close()
        self.session.active_changed.disconnect()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.dims.events.point.disconnect(self._on_slider_moved)
        for binding in self._bindings.values():
            binding.close()
        self._bindings.clear()

    def _job(self, events: Any, description: str, cancel: Any = None) -> Job:
        return Job(events, description, cancel or self.cancel_prediction, self)

    def _on_engine_ready(self, ready: dict[str, str]) -> None:
        self.engine_ready.emit(f"Ready on {ready['device']} ({ready['precision']}).")

    def _on_failed(self, message: str) -> None:
        self.said.emit(message, True)


def _training_summary(number: int, saved: AdapterSaved) -> str:
    training = saved.card.training
    before, after = training["held_out_dice_before"], training["held_out_dice_after"]
    if before is None:
        score = "Too few slices to hold one out, so there is no score yet."
    else:
        score = (
            f"Dice on {training['n_held_out']} held-out: {before:.2f} before, {after:.2f} after."
        )
    how = {
        "completed": "is trained and in use",
        "stopped": "holds the best state before you stopped, and is in use",
        "diverged": "holds the best state before the loss broke down, and is in use",
    }[training["ended"]]
    return f"v{number} {how}. {score}"
