"""What the dock's buttons and keys do. Panels ask, the controller acts, the session computes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.judge.accepting import Accepting
from napari_sam_adapter.widgets.judge.comparing import Comparing
from napari_sam_adapter.widgets.judge.next_slice import NextSliceFinder
from napari_sam_adapter.widgets.judge.version_choice import VersionChoice
from napari_sam_adapter.widgets.layers.image_list import ImageList
from napari_sam_adapter.widgets.layers.in_front import InFront
from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
from napari_sam_adapter.widgets.layers.masks_in_place import MasksInPlace
from napari_sam_adapter.widgets.layers.opening import Opening
from napari_sam_adapter.widgets.layers.orientation import Orientation
from napari_sam_adapter.widgets.layers.unchosen_masks import UnchosenMasks
from napari_sam_adapter.widgets.predict.ahead_of_slider import AheadOfSlider
from napari_sam_adapter.widgets.predict.filling import Filling
from napari_sam_adapter.widgets.predict.prediction import Prediction
from napari_sam_adapter.widgets.predict.prompt_layers import PromptLayers
from napari_sam_adapter.widgets.record.kept_layers import KeptLayers
from napari_sam_adapter.widgets.record.recording import Recording
from napari_sam_adapter.widgets.retrain.base_choice import BaseChoice
from napari_sam_adapter.widgets.retrain.class_choice import ClassChoice
from napari_sam_adapter.widgets.retrain.elsewhere import ReadyElsewhere
from napari_sam_adapter.widgets.retrain.fetching import Fetching
from napari_sam_adapter.widgets.retrain.getting_ready import GettingReady
from napari_sam_adapter.widgets.retrain.retraining import Retraining
from napari_sam_adapter.widgets.trouble import take_all

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.binding import LayerBinding


class DockController(QObject):
    """Wires one viewer's layers to one session.

    Attributes
    ----------
    layers : LayerChoice
    recording : Recording
    unchosen : UnchosenMasks
    in_place : MasksInPlace
    classes : ClassChoice
    prompts : PromptLayers
    kept : KeptLayers
    prediction : Prediction
    filling : Filling
    retraining : Retraining
    versions : VersionChoice
    base : BaseChoice
    accepting : Accepting
    elsewhere : ReadyElsewhere
    next_slice : NextSliceFinder
    comparing : Comparing
    fetching : Fetching
    in_front : InFront
    opening : Opening
    orientation : Orientation
    ahead : AheadOfSlider
    getting_ready : GettingReady
    images : ImageList
    said, said_of_image : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong. The second is
        true only while the image stays chosen.
    engine_ready : Signal(str)
        The prediction process has started; a sentence that says on what it computes.
    versions_changed : Signal()
        The list of versions, or which one is active, changed.
    classes_changed : Signal()
        There are other classes, or a change of them was refused.
    """

    said = Signal(str, bool)
    said_of_image = Signal(str, bool)
    engine_ready = Signal(str)
    versions_changed = Signal()
    classes_changed = Signal()

    _is_resting = False

    def __init__(
        self, viewer: napari.Viewer, session: Session, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.session = session
        # Before others say what the change of project has led to.
        session.project_changed.connect(self._say_where_work_is_kept)
        self.layers = LayerChoice(viewer, lambda: len(session.classes), self)
        self.recording = Recording(viewer, session, self.layers, self)
        self.unchosen = UnchosenMasks(viewer, self.layers, self.recording, self)
        self.in_place = MasksInPlace(self.layers, self)
        self.classes = ClassChoice(session, self.layers, self)
        self.prompts = PromptLayers(viewer, self.layers, self)
        self.kept = KeptLayers(viewer, session, self.recording, self.prompts, self)
        self.prediction = Prediction(
            session,
            self.layers,
            lambda binding, index: self.prompts.in_slice(binding, index, self.classes.label),
            self,
        )
        self.comparing = Comparing(viewer, session, self.layers, self)
        self.filling = Filling(session, self.layers, self.prediction, self)
        self.retraining = Retraining(session, self.layers, self.recording, self)
        self.versions = VersionChoice(session, self)
        self.base = BaseChoice(session, self)
        self.accepting = Accepting(self.layers, self)
        self.elsewhere = ReadyElsewhere(session, self.layers, self.recording, self)
        self.next_slice = NextSliceFinder(session, self.layers, self)
        self.fetching = Fetching(self)
        self.in_front = InFront(self.layers, (self.prediction, self.retraining), self)
        self.opening = Opening(session, self.layers, self.recording, self.in_front, self)
        self.orientation = Orientation(self.layers, self.in_front, self)
        self.images = ImageList(session, self.layers, self.recording, self)
        self.ahead = AheadOfSlider(
            session, self.layers, self.next_slice.suggested, self._leaves_time, self
        )
        self.getting_ready = GettingReady(
            session,
            self.layers,
            self.recording,
            lambda: self._leaves_time() and not self.ahead.work.is_running,
            self,
        )
        self.retraining.changed.connect(self.getting_ready.on_training)
        for about_image in (
            *(self.layers, self.unchosen, self.in_place, self.recording, self.kept),
            *(self.prediction, self.accepting, self.next_slice, self.comparing),
            *(self.in_front, self.opening, self.orientation),
        ):
            about_image.said.connect(self.said_of_image)
        for about_all in (self.classes, self.versions, self.base, self.retraining, self.fetching):
            about_all.said.connect(self.said)
        self.classes.refused.connect(self.classes_changed)  # the list shows what was typed
        for choice in (self.versions, self.base):
            choice.refused.connect(self.versions_changed)  # the list shows what stays
        self.versions.chosen.connect(self.base.forget)
        self.retraining.version_made.connect(self._on_version_made)
        self.said_of_image.connect(self._say_without_dock)
        session.active_changed.connect(self.versions_changed.emit)
        session.classes_changed.connect(self.classes_changed.emit)

    @property
    def binding(self) -> LayerBinding | None:
        """The layers that are worked on."""
        return self.layers.binding

    @property
    def keepers(self) -> tuple[Recording, KeptLayers]:
        """What brings the work to the disk: each knows its problem, and whether any is at risk."""
        return self.recording, self.kept

    def start_engine(self) -> None:
        """Start the prediction process ahead of the first click; it takes a few seconds."""
        job = Job(
            lambda: [self.session.predictor.start(self.session.in_use.device)],
            "starting the model",
            self.session.predictor.close,
            self,
        )
        job.event_reported.connect(self._on_engine_ready)
        job.failed.connect(self._on_failed)
        job.start()

    def add_boxes(self) -> None:
        """Let the person draw boxes."""
        try:
            self.session.in_use.check_prompts()
            self.prompts.add_boxes()
            self.said_of_image.emit("Draw a box around each object, then predict the slice.", False)
        except SamAdapterError as error:
            self.said_of_image.emit(str(error), True)

    def add_points(self) -> None:
        """Let the person set points; warn where they mean nothing to what predicts."""
        try:
            self.session.in_use.check_prompts()
            self.prompts.add_points()
            if self.session.in_use.points_mean_something:
                self.said_of_image.emit(
                    "Click on the object or beside it, then predict the slice.", False
                )
                return
            name = base_model(self.session.in_use.reference.base).short_name
            self.said_of_image.emit(
                f"{name} knows boxes only: points help little until an adapter is trained with "
                "boxes and points. Add boxes, or retrain first.",
                True,
            )
        except SamAdapterError as error:
            self.said_of_image.emit(str(error), True)

    def set_care(self, careful: bool) -> None:
        """Predict each slice together with its mirror image, or not."""
        self.session.be_careful(careful)
        self.comparing.forget()  # it was made of as many views as before

    def open_project(self, folder: Path) -> None:
        """Keep masks and versions in another project from now on.

        Where no image is open, the one of the project that was worked on last is opened.
        """
        try:
            self.session.open_project(folder)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            return
        self.retraining.bring_home()
        self.opening.open_latest()

    def rest(self) -> None:
        """Predict nothing more, and say what goes wrong where it is seen without a dock."""
        self._is_resting = True
        take_all(
            *(self.ahead.close, self.getting_ready.close, self.prediction.cancel),
            *(self.fetching.close, self.comparing.close, self.session.predictor.close),
        )

    def close(self) -> None:
        """End what `rest` leaves, and let go of the viewer.

        It also runs after Qt has destroyed the dock, so it emits nothing.
        """
        take_all(
            *(self.images.close, self.elsewhere.close, self.retraining.leave, self.session.close),
            *(self.kept.close, self.recording.close),
            self.session.project_changed.disconnect,
            self.session.active_changed.disconnect,
            self.session.classes_changed.disconnect,
            *(self.classes.close, self.prompts.close, self.unchosen.close, self.in_place.close),
            *(self.orientation.close, self.layers.close),
        )

    def _say_where_work_is_kept(self) -> None:
        folder, trouble = self.session.project.folder, self.session.trouble
        said = f"Masks and versions are kept in {folder} from now on. {trouble}".strip()
        self.said.emit(said, bool(trouble))

    def _leaves_time(self) -> bool:
        """Whether nothing computes that a slice encoded ahead could slow down."""
        jobs = (self.prediction, self.retraining, self.comparing)
        return not any(job.is_running for job in jobs) and not self.prediction.predicts_parts

    def _on_version_made(self) -> None:
        if not self._is_resting:
            self.prediction.predict_slice_again()

    def _say_without_dock(self, sentence: str, is_problem: bool) -> None:
        if self._is_resting and is_problem:
            show_warning(sentence)

    def _on_engine_ready(self, ready: dict[str, str]) -> None:
        where = f"Ready on {ready['device']} ({ready['precision']})."
        next_step = " Press Predict slice." if self.layers.image is not None else ""
        self.engine_ready.emit(f"{where}{next_step}")

    def _on_failed(self, message: str) -> None:
        self.said.emit(message, True)
