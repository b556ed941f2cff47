"""The classes on the masks layers: colours, names, and the label that one paints with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap, label_colormap
from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.widgets.record.restoring import is_from_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

NO_CLASS_COLOR = "#b4b4b4"
# napari's own colour of label 1 is a dark brown: on an endoscopic picture the mask is a shadow.
ONE_CLASS_COLOR = (0.0, 0.9, 0.46, 1.0)
COLUMNS = ["index", "class"]
MOST_LABELS, NAMED = 2**24, 5


class ClassChoice(QObject):
    """Keeps the masks layers and the dock of one mind about classes.

    Attributes
    ----------
    label : int
        The class that prompts mean and that a new masks layer paints with.
    selected : Signal(int)
        The label that the masks layer paints with; it may be no class.
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    refused : Signal()
        The classes are as they were, whatever the person has asked for.
    """

    selected = Signal(int)
    said = Signal(str, bool)
    refused = Signal()

    def __init__(
        self, session: Session, layers: LayerChoice, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._layers = session, layers
        self._labels: Labels | None = None
        self._seen: WeakSet[Labels] = WeakSet()  # that were chosen once; they may be exported
        self.label = 1
        layers.changed.connect(self._on_layers_changed)
        session.classes_changed.connect(self._on_classes_changed)

    def choose(self, label: int) -> None:
        """Paint with a class from now on."""
        self.label = label
        if self._labels is not None:
            self._labels.selected_label = label
        self.selected.emit(label)

    def add(self) -> None:
        """Add a class and paint with it."""
        if self._change(Classes.with_one_more):
            name = self._session.classes.names[-1]
            self.choose(len(self._session.classes))
            self.said.emit(
                f"{name} is added, and painted with from now on. A double-click names it.", False
            )

    def rename(self, label: int, name: str) -> None:
        """Give the class of a label another name."""
        if self._change(lambda classes: classes.renamed(label, name)):
            name = self._session.classes.names[label - 1]
            self.said.emit(f"Class {label} is called {name} from now on.", False)

    def recolor(self, label: int, color: str) -> None:
        """Draw the class of a label in another colour."""
        self._change(lambda classes: classes.recolored(label, color))

    def remove_last(self) -> None:
        """Do without the last class; what is painted stays."""
        name = self._session.classes.names[-1]
        if self._change(Classes.without_last):
            self.said.emit(f"{name} is no class any more; what is painted with it stays.", False)

    def look(self) -> None:
        """Take over what another window has named while the person was there."""
        if said := self._session.take_over_classes():
            self.said.emit(said, True)

    def _change(self, change: Callable[[Classes], Classes]) -> bool:
        try:
            self._session.change_classes(change)
        except SamAdapterError as error:
            self.said.emit(str(error), True)
            self.refused.emit()
            return False
        return True

    def close(self) -> None:
        """Let go of the layer. It also runs after Qt has destroyed the dock: emits nothing."""
        self._listen_to(None)

    def _listen_to(self, labels: Labels | None) -> None:
        if self._labels is not None:
            self._labels.events.selected_label.disconnect(self._on_selected_label)
        self._labels = labels
        if labels is not None:
            labels.events.selected_label.connect(self._on_selected_label)

    def _on_layers_changed(self) -> None:
        binding = self._layers.binding
        labels = None if binding is None else binding.labels
        if labels is self._labels:
            return
        self._listen_to(labels)
        if labels is not None:
            self._seen.add(labels)
            show_classes(labels, self._session.classes)
            self._on_selected_label()

    def _on_classes_changed(self) -> None:
        last = len(self._session.classes)
        for labels in self._seen:
            if labels is not self._labels and not is_from_elsewhere(labels, self._session.project):
                show_classes(labels, self._session.classes)
        if self._labels is not None:
            if self.label > last and self._labels.selected_label == self.label:
                self._labels.selected_label = last  # what was painted with is no class any more
            show_classes(self._labels, self._session.classes)
            self._on_selected_label()
        self.label = min(self.label, last)

    def _on_selected_label(self, event: Any = None) -> None:
        label = self._labels.selected_label if self._labels is not None else self.label
        if 1 <= label <= len(self._session.classes):
            self.label = label
        self.selected.emit(label)


def about_labels(labels: Labels, n_classes: int) -> list[str]:
    """Say of masks what becomes of labels below 0, and of several labels of a single class."""
    said, smallest, largest = [], int(labels.data.min()), int(labels.data.max())
    if smallest < 0:
        said.append(
            f"{labels.name!r} holds labels below 0, such as {smallest}. They are kept, but are no "
            "object: slices that hold them are learned from once you have erased these labels. "
            "The bucket with label 0 does so, at once with the highest n edit dim and without "
            "contiguous."
        )
    if n_classes > 1 or not 1 < largest < MOST_LABELS:
        return said
    is_found = np.zeros(largest + 1, bool)
    for part in labels.data:  # not all at once: a volume may be large
        is_found[part[part > 0]] = True
    found = np.flatnonzero(is_found[1:]) + 1
    if len(found) < 2:
        return said
    few = ", ".join(map(str, found[:NAMED])) + (", …" if len(found) > NAMED else "")
    return [
        *said,
        f"{labels.name!r} has {len(found)} labels ({few}). They count as instances of one class. "
        "If they are classes, add those with + under 2 · Correct: label k is the k-th class.",
    ]


def show_classes(labels: Labels, classes: Classes) -> None:
    """Colour a masks layer by class, and let napari's status bar name the class.

    With a single class any label is the object, and instances keep napari's colours, all but the
    first. Colours that the person has chosen stay then, and so does what is in the features.
    """
    ours = list(labels.features.columns) == COLUMNS
    if len(classes) == 1:
        if ours or _has_napari_s_colours(labels):
            labels.colormap = _colours_of_one_class()
        if ours:
            _name(labels, classes)
        return
    colors: dict[int | None, str] = {None: NO_CLASS_COLOR, 0: "transparent"}
    colors.update(enumerate(classes.colors, start=1))
    labels.colormap = DirectLabelColormap(color_dict=colors)
    if ours or labels.features.empty:
        _name(labels, classes)


def _name(labels: Labels, classes: Classes) -> None:
    numbers = list(range(len(classes) + 1))
    labels.features = {"index": numbers, "class": ["background", *classes.names]}


def _has_napari_s_colours(labels: Labels) -> bool:
    """Whether nobody has chosen, or shuffled, the colours of a layer."""
    colormap = labels.colormap
    return isinstance(colormap, CyclicLabelColormap) and np.array_equal(
        colormap.colors, label_colormap(len(colormap.colors) - 1).colors
    )


def _colours_of_one_class() -> CyclicLabelColormap:
    colors = label_colormap(49).colors.copy()  # as many as napari has
    colors[1] = ONE_CLASS_COLOR
    return CyclicLabelColormap(name="label_colormap", colors=colors)
