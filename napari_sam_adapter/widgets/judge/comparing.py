"""Blink the slice in view between two versions, and show what changed from one to the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from napari.layers import Labels, Layer
from napari.utils import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.errors import ImageError, SamAdapterError
from napari_sam_adapter.metrics import mean_class_dice
from napari_sam_adapter.versions.comparison import COLOURS, change_map
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.layers.placement import placement_of
from napari_sam_adapter.widgets.panels.slice_words import at_start

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.project.project import Project
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.versions.adapter_version import AdapterVersion
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

    _Wanted = tuple[LayerBinding, SliceIndex, str]

BEFORE, AFTER, MAP = "before", "after", "map"
# Layers that only show something: nobody works in them.
_SHOWN_ONLY: WeakSet[Layer] = WeakSet()


def only_shows(layer: Layer) -> bool:
    """Whether a layer is a comparison, in which nobody paints."""
    return layer in _SHOWN_ONLY


@dataclass(frozen=True, slots=True)
class _Pair:
    """What two versions make of a slice."""

    binding: LayerBinding
    index: SliceIndex
    names: tuple[str, str]
    before: np.ndarray
    after: np.ndarray


class Comparing(QObject):
    """One comparison at a time, in a layer of its own while the masks are hidden.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    """

    said = Signal(str, bool)

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        layers: LayerChoice,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session, self._layers = viewer, session, layers
        self._other: int | None = None
        self._is_chosen = False
        self._pair: _Pair | None = None
        self._shown = ""
        self._layer: Labels | None = None
        self._job: Job | None = None
        self._wanted: _Wanted | None = None
        self._is_left = False
        layers.slices_changed.connect(self._follow_slider)
        layers.image_changed.connect(self.stop)
        layers.changed.connect(self.stop)
        session.active_changed.connect(self._on_active_changed)
        viewer.layers.events.removed.connect(self._on_layer_removed)

    @property
    def is_running(self) -> bool:
        """Whether the two versions are predicting."""
        return self._job is not None

    def compare_with(self, number: int | None) -> None:
        """Choose what to compare with from now on; None is the base model."""
        self._other, self._is_chosen = number, True
        self.forget()

    def other(self, versions: Sequence[AdapterVersion]) -> AdapterVersion | None:
        """Return what the version in use is compared with: as chosen, or what it was trained from.

        Parameters
        ----------
        versions : sequence of AdapterVersion
            All there are.

        Returns
        -------
        AdapterVersion or None
            None is the base model; where that is in use, the newest version is compared with it.
        """
        active = self._session.in_use.version
        if self._is_chosen:
            return next((v for v in versions if v.number == self._other), None)
        if active is None:
            return versions[-1] if versions else None
        parent = active.card.parent_id
        return next((v for v in versions if v.card.adapter_id == parent), None)

    def blink(self) -> None:
        """Show the slice before, then after, then the masks again."""
        following = {BEFORE: AFTER, AFTER: ""}
        self._show_next(following.get(self._shown, BEFORE))

    def show_map(self) -> None:
        """Show what was fixed and what was broken, then the masks again."""
        self._show_next("" if self._shown == MAP else MAP)

    def stop(self) -> None:
        """Take the comparison away and show the masks again."""
        layer, self._layer, self._shown = self._layer, None, ""
        if layer is None:
            return
        if self._pair is not None:
            self._pair.binding.labels.visible = True
        with contextlib.suppress(ValueError):  # the person has removed it
            self._viewer.layers.remove(layer)

    def forget(self) -> None:
        """Take the comparison away, and do not show what is still being predicted for it."""
        self.stop()
        self._pair, self._wanted, self._is_left = None, None, True

    def close(self) -> None:
        """Let go of the viewer. Emits nothing."""
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.forget()

    def _show_next(self, what: str) -> None:
        if not what:
            self.stop()
            self.said.emit("These are your masks again.", False)
            return
        try:
            binding = self._layers.need()
            index = binding.need_in_view()
            pair = self._pair
            if pair is not None and (pair.binding, pair.index) == (binding, index):
                self._show(what)
            else:
                self._predict(binding, index, what)
        except SamAdapterError as error:
            self.said.emit(str(error), True)

    def _predict(self, binding: LayerBinding, index: SliceIndex, what: str) -> None:
        wanted = binding, index, what
        if self._job is not None:
            self._wanted = wanted  # when that has come to its end
            return
        session = self._session
        other = self.other(session.store.versions())
        active = session.in_use
        if active.with_version(other).name == active.name:
            raise ImageError(
                "There is one model only: choose another version, or retrain, to compare two."
            )
        compared = active.with_version(other), active
        predictor, source, project = session.predictor, binding.source, session.project

        def predict() -> Iterator[Any]:
            image = source.read(index)
            before, after = (
                predictor.predict(index, image, one.reference).labels for one in compared
            )
            yield _Pair(binding, index, (compared[0].name, compared[1].name), before, after)

        job = Job(predict, "comparing two versions", lambda: None, self)
        job.event_reported.connect(self._on_predicted)
        job.failed.connect(lambda message: self._on_failed(message, wanted))
        job.finished.connect(lambda: self._on_finished(project))
        self._job, self._wanted, self._is_left = job, wanted, False
        job.start()

    def _on_predicted(self, pair: _Pair) -> None:
        if not self._is_left and self._is_in_view(pair.binding, pair.index):
            self._pair = pair

    def _on_failed(self, message: str, started_for: _Wanted) -> None:
        if not self._is_left:
            if self._wanted == started_for:  # not what was asked for meanwhile
                self._wanted = None
            self.said.emit(message, True)

    def _on_finished(self, project: Project) -> None:
        self._job = None
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            binding, index, what = wanted
            if self._is_in_view(binding, index):
                self._show_next(what)
        elif project is not self._session.project:
            self.said.emit(
                "Another project was opened, so comparing two versions has ended.", False
            )

    def _is_in_view(self, binding: LayerBinding, index: SliceIndex) -> bool:
        return binding is self._layers.binding and binding.index_in_view() == index

    def _show(self, what: str) -> None:
        pair = self._pair
        assert pair is not None
        binding = pair.binding
        truth = None
        binding.check_slice_in_view()
        if binding.tracker.is_judged(pair.index):
            truth = binding.labels_of(pair.index)
        name, labels, sentence = self._content(pair, what, truth)
        if self._layer is None:
            self._layer = self._new_layer(pair, labels)
        colours = {None: "transparent", 0: "transparent"}
        colours |= {kind: colour for kind, (colour, _) in COLOURS.items()}
        self._layer.colormap = (
            DirectLabelColormap(color_dict=colours) if what == MAP else binding.labels.colormap
        )
        self._layer.data = labels.reshape(self._layer.data.shape)
        self._layer.editable = False  # which new data would make it again
        self._layer.name = name
        self._shown = what
        binding.labels.visible = False
        self.said.emit(sentence, False)

    def _content(
        self, pair: _Pair, what: str, truth: np.ndarray | None
    ) -> tuple[str, np.ndarray, str]:
        """Return the name of the layer, its labels, and the sentence about it."""
        one_class = len(self._session.classes) == 1
        before, after = pair.before, pair.after
        if what == MAP:
            if one_class:  # whatever the number, it is the object
                before, after = before != 0, after != 0
                truth = None if truth is None else truth != 0
            found = change_map(before, after, truth)
            name = f"from {pair.names[0]} to {pair.names[1]}"
            sentence = f"{at_start(name)}: {found.sentence}."
            return name, found.labels, f"{sentence} Once more shows your masks."
        labels, name = (before, pair.names[0]) if what == BEFORE else (after, pair.names[1])
        score = ""
        if truth is not None:
            dice = mean_class_dice(labels, truth, len(self._session.classes))
            score = f", Dice {dice:.2f} with your mask"
        once_more = "your masks" if what == AFTER else f"after ({pair.names[1]})"
        sentence = f"{at_start(what)}: {name}{score}. Once more shows {once_more}."
        return f"{what}: {name}", labels, sentence

    def _new_layer(self, pair: _Pair, labels: np.ndarray) -> Labels:
        """Add a layer of one slice, where that slice lies; the person's layer stays selected."""
        image, index = pair.binding.image, pair.index
        placement = placement_of(image)
        translate = np.array(placement["translate"], float)
        translate[: len(index)] += np.asarray(placement["scale"])[: len(index)] * index
        layer = Labels(
            labels.reshape((1,) * len(index) + labels.shape),
            opacity=pair.binding.labels.opacity,
            **placement | {"translate": translate},
        )
        _SHOWN_ONLY.add(layer)
        selected = self._viewer.layers.selection.active
        self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = selected
        return layer

    def _follow_slider(self) -> None:
        pair = self._pair
        if pair is None:
            return
        if not pair.binding.is_alive or pair.binding.index_in_view() != pair.index:
            self.stop()
            self._pair = None

    def _on_active_changed(self) -> None:
        self.forget()
        self._is_chosen = False

    def _on_layer_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self.stop()
