"""Keep boxes, points and typed voxel sizes of images in the project, and bring them back.

They belong to the image, whatever masks layer is worked on. A layer that is deleted leaves what is
kept as it is: it comes back when the image is opened again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_layers import ImageLayers, LayersFile
from napari_sam_adapter.widgets.predict.prompt_layers import is_prompt_layer, prompt_layers_of
from napari_sam_adapter.widgets.readers import geometry_of
from napari_sam_adapter.widgets.record.drawn import boxes_in, points_in
from napari_sam_adapter.widgets.record.not_recorded import RETRY_MS
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.predict.prompt_layers import PromptLayers
    from napari_sam_adapter.widgets.record.recording import Recording

DELAY_MS = 300
# In which file a layer is kept outlives the dock: it may be closed and opened again.
_FILES: WeakKeyDictionary[Layer, Path] = WeakKeyDictionary()


@dataclass(slots=True)
class _Known:
    """An image that the project knows by its pixels."""

    identity: ImageIdentity
    scale: np.ndarray
    units: tuple[Any, ...]
    file: LayersFile | None = None
    refusal: str = ""
    is_typed: bool = False  # somebody changed its scale or unit
    is_settled: bool = False


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
        self._known: dict[Image, _Known] = {}
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
        problems = (self._problem_of(image, known) for image, known in self._known.items())
        return next(filter(None, problems), "")

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
        if image in self._known:
            if self._known[image].identity.is_same(identity):
                return
            self._save()
            self._forget(image)  # other pixels were put into it
        known = self._known[image] = _Known(identity, np.array(image.scale), image.units)
        image.events.scale.connect(self._on_scale)
        image.events.units.connect(self._on_scale)
        if self._session.project.has_layers(identity):
            self._open(image, known)

    def _on_settled(self, image: Image, sentence: str) -> None:
        known = self._known.get(image)
        if known is None or known.is_settled or image not in self._viewer.layers:
            self._soon.start()  # a masks layer may be recorded now
            return
        known.is_settled = True
        if known.refusal:
            self.said.emit(f"{sentence} {known.refusal}".strip(), True)
        if known.file is not None:
            n_boxes, n_points = self._bring_back(image, known.file)
            if n_boxes or n_points:
                back = " and ".join(_counted(n_boxes, "box", "boxes") + _counted(n_points, "point"))
                self.said.emit(f"{sentence} Restored {back}.".strip(), False)
        for layer in prompt_layers_of(image):
            self._listen(layer)
        self._soon.start()

    def _bring_back(self, image: Image, file: LayersFile) -> tuple[int, int]:
        """Put onto an image what it has none of; return how many boxes and points."""
        kept, before = file.contents, self._prompts.of_image(image)
        is_missing = [layer is None or not len(layer.data) for layer in before]
        boxes = kept.boxes if is_missing[0] else ()
        points = kept.points if is_missing[1] else ()
        if boxes or points:
            self._prompts.bring_back(image, boxes, points)
        for layer, brought in zip(self._prompts.of_image(image), (boxes, points), strict=True):
            if layer is not None and brought and len(layer.data):
                _FILES[layer] = file.path
        return len(boxes), len(points)

    def _save(self) -> None:
        """Let the files say what the layers hold now, where they differ."""
        for image, known in self._known.items():
            if image not in self._viewer.layers or not known.is_settled:
                continue
            is_open = known.file is not None
            if is_open or (self._has_something(image, known) and self._open(image, known)):
                self._put(image, known)
        self._look_at_problem()

    def _has_something(self, image: Image, known: _Known) -> bool:
        """Whether there is anything to keep of an image without a file."""
        return self._now(image, known, ImageLayers()) != ImageLayers()

    def _put(self, image: Image, known: _Known) -> None:
        file = known.file
        if file is None:
            return
        former, now = file.contents, self._now(image, known, file.contents)
        replaced = False
        layers = self._prompts.of_image(image)
        parts = ((former.boxes, now.boxes), (former.points, now.points))
        for layer, (was, becomes) in zip(layers, parts, strict=True):
            if layer is None or was == () == becomes or (was == becomes and not len(layer.data)):
                continue
            replaced |= bool(was) and was != becomes and _FILES.get(layer) != file.path
            _FILES[layer] = file.path
        if now != former:
            file.put(now, keep_former=replaced)
        if replaced and self._is_open:
            self.said.emit(
                "The project had other boxes or points of this image. They are kept beside "
                f"{file.path.name}, in {file.path.parent}.",
                False,
            )

    def _now(self, image: Image, known: _Known, kept: ImageLayers) -> ImageLayers:
        """Return what an image's layers say; what has no layer any more stays as it was kept."""
        shapes, points = self._prompts.of_image(image)
        now = kept
        if shapes is not None and (len(shapes.data) or shapes in _FILES):
            now = replace(now, boxes=boxes_in(shapes, image))
        if points is not None and (len(points.data) or points in _FILES):
            now = replace(now, points=points_in(points, image))
        is_worked_on = (
            known.is_typed or now != ImageLayers() or self._recording.records.masks_of(image)
        )
        if is_worked_on:
            scale, units = _typed_scale(image)
            now = replace(now, scale=scale, units=units)
        return now

    def _open(self, image: Image, known: _Known) -> bool:
        """Open the file of an image, whose typed scale comes back by that; say once why not."""
        try:
            known.file = self._session.project.open_layers(known.identity, self._tell)
        except StorageError as error:
            if self._is_open and known.is_settled and not known.refusal:
                self.said.emit(str(error), True)
            known.refusal = str(error)
            return False
        if known.refusal and self._is_open:
            self.said.emit("Boxes and points are recorded again.", False)
        known.refusal = ""
        typed = known.file.contents
        is_plain = np.array_equal(image.scale, np.ones(image.ndim))
        if typed.scale and is_plain and not known.is_typed and len(typed.scale) == image.ndim:
            image.scale = typed.scale
            if typed.units is not None and len(typed.units) == image.ndim:
                image.units = typed.units
        return True

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
        known = self._known[image]
        scale, units = known.scale, known.units
        known.scale, known.units, known.is_typed = np.array(image.scale), image.units, True
        for layer in (*self._recording.records.masks_of(image), *prompt_layers_of(image)):
            if np.array_equal(layer.scale, scale):
                layer.scale = image.scale
            if layer.units == units[-layer.ndim :]:
                layer.units = image.units[-layer.ndim :]
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
                self._put(image, known)

    def _on_told(self, problem: str) -> None:
        if problem or not self.problem:
            said = problem or "The disk takes changes again; nothing was lost."
            self.said.emit(said, bool(problem))
        self._look_at_problem()

    def _problem_of(self, image: Image, known: _Known) -> str:
        if known.file is not None:
            return known.file.problem
        now = self._now(image, known, ImageLayers())
        is_lost = now.boxes or now.points or (now.scale and known.is_typed)
        return known.refusal if is_lost and image in self._viewer.layers else ""

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


def _typed_scale(image: Image) -> tuple[tuple[float, ...] | None, tuple[str, ...] | None]:
    """Return the voxel sizes and their units where the image's own file does not bring them."""
    scale = tuple(map(float, image.scale))
    geometry = geometry_of(image)
    of_file = (1.0,) * image.ndim if geometry is None else geometry.spacing
    if scale == (1.0,) * image.ndim or np.allclose(scale, of_file):
        return None, None
    return scale, tuple(str(unit) for unit in image.units)


def _counted(count: int, one: str, several: str = "") -> list[str]:
    return [f"{count} {one if count == 1 else several or one + 's'}"] if count else []
