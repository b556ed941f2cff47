"""Keep boxes, points and typed voxel sizes of images in the project, and bring them back.

They belong to the image, whatever masks layer is worked on. A layer that is deleted leaves what is
kept as it is: it comes back when the image is opened again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_layers import ImageLayers
from napari_sam_adapter.widgets.predict.prompt_layers import is_prompt_layer, prompt_layers_of
from napari_sam_adapter.widgets.record.kept_image import KeptImage, PromptPair
from napari_sam_adapter.widgets.record.not_recorded import RETRY_MS
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.predict.prompt_layers import PromptLayers
    from napari_sam_adapter.widgets.record.recording import Recording

DELAY_MS = 300


class KeptLayers(QObject):
    """The files of boxes, points and voxel sizes of one viewer's images.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    problem_changed : Signal()
        What is drawn does not reach the disk, or does again.
    """

    said = Signal(str, bool)
    problem_changed = Signal()
    _told = Signal(str)  # from the thread that writes

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        recording: Recording,
        prompts: PromptLayers,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self._recording, self._prompts = recording, prompts
        self._known: dict[Image, KeptImage] = {}
        self._heard: WeakSet[Layer] = WeakSet()
        self._is_open = True
        self._problem = ""  # as it was announced
        # Of their own: they are stopped when Qt has destroyed the dock.
        self._soon, self._again = QTimer(), QTimer()
        for timer, delay in ((self._soon, DELAY_MS), (self._again, RETRY_MS)):
            timer.setSingleShot(True)
            timer.setInterval(delay)
            timer.timeout.connect(guarded(self, self._save, once=True))
        recording.identified.connect(self._on_identified)
        recording.settled.connect(self._on_settled)
        prompts.layer_taken.connect(self._listen)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removing.connect(self._on_removing)
        viewer.layers.events.removed.connect(self._on_removed)
        session.project_changed.connect(self._on_project_changed)
        self._told.connect(self._on_told)
        self._tell = self._told.emit

    @property
    def problem(self) -> str:
        """Why what is drawn or typed does not reach the disk; "" where it does."""
        return next(filter(None, map(self._problem_of, self._known.values())), "")

    @property
    def is_tried_again(self) -> bool:
        """Whether the problem passes by itself, once its reason has."""
        return bool(self.problem) and not self._session.project.is_read_only

    @property
    def is_at_risk(self) -> bool:
        """Whether something would be lost if the window were closed now."""
        if self._soon.isActive():
            self._save()
        files = (known.file for known in self._known.values() if known.file is not None)
        # What was drawn just now has to be tried before anybody knows that it fails.
        return not all(file.flush() for file in files) or bool(self.problem)

    def close(self) -> None:
        """Write what waits, and let others open the files. Emits nothing."""
        self._is_open = False
        with contextlib.suppress(RuntimeError):  # where all ends, Qt may have ended the timers
            self._soon.stop()
            self._again.stop()
        try:
            self._save()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        events = self._viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removing.disconnect(self._on_removing)
        events.removed.disconnect(self._on_removed)
        for layer in self._heard:
            for event in _events_of(layer):
                event.disconnect(self._on_changed)
        for image in list(self._known):
            self._forget(image)

    def _on_identified(self, image: Image, identity: ImageIdentity) -> None:
        if image not in self._viewer.layers:
            return  # removed meanwhile: nobody would ever close its file
        if image in self._known:
            if self._known[image].identity.is_same(identity):
                return
            self._save()
            self._forget(image)  # other pixels were put into it
        known = self._known[image] = KeptImage.of(image, identity)
        image.events.scale.connect(self._on_scale)
        image.events.units.connect(self._on_scale)
        if self._session.project.has_layers(identity):
            self._open(known)

    def _on_settled(self, image: Image, sentence: str) -> None:
        known = self._known.get(image)
        if known is None or known.is_settled or image not in self._viewer.layers:
            self._soon.start()  # a masks layer may be recorded now
            return
        known.is_settled = True
        if known.refusal:
            self.said.emit(f"{sentence} {known.refusal}".strip(), True)
        if known.file is not None:
            n_boxes, n_points = self._bring_back(known)
            if n_boxes or n_points:
                back = " and ".join(_counted(n_boxes, "box", "boxes") + _counted(n_points, "point"))
                self.said.emit(f"{sentence} Restored {back}.".strip(), False)
        for layer in prompt_layers_of(image):
            self._listen(layer)
        self._soon.start()

    def _bring_back(self, known: KeptImage) -> tuple[int, int]:
        """Put onto an image what it has none of; return how many boxes and points."""
        boxes, points = known.lacking(self._prompts.of_image(known.image))
        if boxes or points:
            self._prompts.bring_back(known.image, boxes, points)
        layers = zip(self._prompts.of_image(known.image), (boxes, points), strict=True)
        known.brought_back(layer for layer, brought in layers if brought)
        return len(boxes), len(points)

    def _save(self) -> None:
        """Let the files say what the layers hold now, where they differ."""
        for image, known in self._known.items():
            if image not in self._viewer.layers or not known.is_settled:
                continue
            is_open = known.file is not None
            if is_open or (self._now(known) != ImageLayers() and self._open(known)):
                self._put(known)
        self._look_at_problem()

    def _put(self, known: KeptImage) -> None:
        drawn, has_masks = self._drawn_on(known.image)
        is_replaced = known.put(drawn, has_masks=has_masks)
        if is_replaced and known.file is not None and self._is_open:
            path = known.file.path
            self.said.emit(
                "The project had other boxes or points of this image. They are kept beside "
                f"{path.name}, in {path.parent}.",
                False,
            )

    def _now(self, known: KeptImage) -> ImageLayers:
        """Return what there is to keep of an image without a file."""
        drawn, has_masks = self._drawn_on(known.image)
        return known.contents(ImageLayers(), drawn, has_masks=has_masks)

    def _drawn_on(self, image: Image) -> tuple[PromptPair, bool]:
        return self._prompts.of_image(image), bool(self._recording.records.masks_of(image))

    def _open(self, known: KeptImage) -> bool:
        """Open the file of an image, whose typed scale comes back by that; say once why not."""
        try:
            self._check_is_alone(known)
            known.file = self._session.project.open_layers(known.identity, self._tell)
        except StorageError as error:
            if self._is_open and known.is_settled and not known.refusal:
                self.said.emit(str(error), True)
            known.refusal = str(error)
            return False
        if known.refusal and self._is_open:
            self.said.emit("Boxes and points are recorded again.", False)
        known.refusal = ""
        known.bring_scale_back()
        return True

    def _check_is_alone(self, known: KeptImage) -> None:
        """Name the layer of the same pixels that has the file, as a duplicated one does."""
        for other in self._known.values():
            is_same = other is not known and other.identity.is_same(known.identity)
            if is_same and other.file is not None:
                raise StorageError(
                    f"{known.image.name} is the same image as {other.image.name}, whose boxes and "
                    f"points are recorded. Those drawn on {known.image.name} are not: choose "
                    f"{other.image.name} to draw."
                )

    def _forget(self, image: Image) -> None:
        known = self._known.pop(image)
        image.events.scale.disconnect(self._on_scale)
        image.events.units.disconnect(self._on_scale)
        if known.file is None:
            return
        try:
            known.file.close()
        except StorageError as error:
            if self._is_open:
                self.said.emit(str(error), True)

    def _listen(self, layer: Layer) -> None:
        if layer not in self._heard:
            self._heard.add(layer)
            for event in _events_of(layer):
                event.connect(self._on_changed)
        self._on_changed()

    def _on_changed(self, event: Any = None) -> None:
        # Not put off by further changes: a long drag is on the disk before it ends.
        if self._is_open and not self._soon.isActive():
            self._soon.start()

    def _on_scale(self, event: Any) -> None:
        """Keep a typed scale or unit; masks, boxes and points that lay on the image still do."""
        image = event.source
        masks = self._recording.records.masks_of(image)
        self._known[image].rescale([*masks, *prompt_layers_of(image)])
        self._on_changed()

    def _on_inserted(self, event: Any) -> None:
        if is_prompt_layer(event.value):
            self._listen(event.value)

    def _on_removing(self, event: Any) -> None:
        if self._soon.isActive():
            self._save()  # what was drawn last goes with its layer

    def _on_removed(self, event: Any) -> None:
        if event.value in self._known:
            self._forget(event.value)
            self._look_at_problem()

    def _on_project_changed(self) -> None:
        self._save_in_the_project_before()
        for image in list(self._known):
            self._forget(image)
        self._look_at_problem()

    def _save_in_the_project_before(self) -> None:
        for image, known in self._known.items():
            if known.file is not None and image in self._viewer.layers and known.is_settled:
                self._put(known)

    def _on_told(self, problem: str) -> None:
        if problem or not self.problem:
            said = problem or "The disk takes changes again; nothing was lost."
            self.said.emit(said, bool(problem))
        self._look_at_problem()

    def _problem_of(self, known: KeptImage) -> str:
        if known.file is not None:
            return known.file.problem
        now = self._now(known)
        is_lost = now.boxes or now.points or (now.scale and known.is_typed)
        return known.refusal if is_lost and known.image in self._viewer.layers else ""

    def _look_at_problem(self) -> None:
        if not self._is_open:
            return
        if self.is_tried_again:
            self._again.start()
        if self.problem != self._problem:
            self._problem = self.problem
            self.problem_changed.emit()


def _events_of(layer: Layer) -> tuple[Any, ...]:
    # Dragging a corner and giving points another kind emit different ones.
    return layer.events.data, layer.events.set_data, layer.events.features


def _counted(count: int, one: str, several: str = "") -> list[str]:
    return [f"{count} {one if count == 1 else several or one + 's'}"] if count else []
