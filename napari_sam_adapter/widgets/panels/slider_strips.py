"""The states of slices on napari's own sliders, where one looks while going through a stack.

napari offers no way to add to its sliders, so they are looked for among the widgets of the window.
Where none is found (another version of napari), the dock's ruler shows the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QRectF, Qt, QTimer
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QScrollBar, QWidget

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.next_slice import uncertainty_of
from napari_sam_adapter.volumes.slice_source import moved_to
from napari_sam_adapter.widgets.panels.slice_ruler import paint_cells
from napari_sam_adapter.widgets.trouble import guarded

if TYPE_CHECKING:
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice

MOMENT_MS = 20

_SLIDER_OF_AN_AXIS = "QtDimSliderWidget"
_CELLS_HEIGHT, _BARS_HEIGHT = 4, 5


class SliderStrips(QObject):
    """Lays a strip over the slider of each axis that walks through slices.

    Each shows the slices that its slider reaches from the one in view, a moment after something
    has changed.

    Parameters
    ----------
    layers : LayerChoice
    dock : QWidget
        It stands in napari's window, or floats beside it.
    """

    def __init__(self, layers: LayerChoice, dock: QWidget) -> None:
        super().__init__(dock)
        self._layers, self._dock = layers, dock
        self._strips: dict[int, SliderStrip] = {}
        self._is_closed = False
        self._moment = QTimer(self)
        self._moment.setSingleShot(True)
        self._moment.setInterval(MOMENT_MS)
        self._moment.timeout.connect(guarded(self, self._show, once=True))
        layers.slices_changed.connect(self.show_soon)
        dims = layers.viewer.dims.events
        self._events = (dims.ndim, dims.range)  # sliders are made anew, or longer
        for event in self._events:
            event.connect(self.show_soon)

    @property
    def strips(self) -> dict[int, SliderStrip]:
        """The strips that are there, by axis of the viewer."""
        return {axis: strip for axis, strip in self._strips.items() if isalive(strip)}

    def show_soon(self, event: object = None) -> None:
        """Show the states as they are in a moment."""
        if not self._is_closed and not self._moment.isActive():
            self._moment.start()

    def close(self) -> None:
        """Take the strips away, and let go of the viewer; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        for event in self._events:
            event.disconnect(self.show_soon)
        self._clear()

    def _clear(self) -> None:
        for strip in self.strips.values():
            strip.hide()
            strip.deleteLater()
        self._strips = {}

    def _show(self) -> None:
        binding = self._layers.binding
        if self._is_closed or binding is None or not binding.is_alive:
            self._clear()
            return
        axes, source, tracker = binding.slider_axes(), binding.source, binding.tracker
        if [*self.strips] != axes:
            self._clear()
            sliders = sliders_in(_outermost(self._dock))
            self._strips = {axis: SliderStrip(sliders[axis]) for axis in axes if axis in sliders}
        here = binding.index_in_view()
        for number, (axis, length) in enumerate(zip(axes, source.slider_shape, strict=False)):
            line = [moved_to(here, number, at) for at in range(length)]
            if axis in self._strips:
                states = [tracker.state(index) for index in line]
                unsure = uncertainty_of(tracker, line)
                self._strips[axis].set_states(states, list(unsure.values()))


class SliderStrip(QWidget):
    """States below a slider's handle, uncertainty above; the pointer goes through it.

    The cell of a slice lies under the handle when that slice is in view.

    Parameters
    ----------
    slider : QScrollBar
        It owns the strip.
    """

    def __init__(self, slider: QScrollBar) -> None:
        super().__init__(slider)
        self._states: list[SliceState] = []
        self._uncertainty: list[float | None] = []
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setGeometry(slider.rect())
        slider.installEventFilter(self)
        self.show()

    def set_states(self, states: Sequence[SliceState], uncertainty: Sequence[float | None]) -> None:
        """Show these slices, from the first to the last that the slider reaches."""
        if (states, uncertainty) != (self._states, self._uncertainty):
            self._states, self._uncertainty = list(states), list(uncertainty)
            self.update()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the slider's size."""
        if event.type() == QEvent.Type.Resize and isinstance(watched, QScrollBar):
            self.setGeometry(watched.rect())
        return False

    def paintEvent(self, event: object) -> None:
        """Draw cells along the lower edge, bars along the upper one."""
        if not self._states:
            return
        width, height = self.width(), self.height()
        cells = QRectF(0, height - _CELLS_HEIGHT, width, _CELLS_HEIGHT)
        bars = QRectF(0, 0, width, _BARS_HEIGHT)
        text = self.palette().text().color()
        about = (self._states, self._uncertainty, cells, bars, text)
        paint_cells(QPainter(self), *about, with_untouched=False)  # there it is still napari's


def sliders_in(window: QWidget) -> dict[int, QScrollBar]:
    """Return the sliders of a window of napari, by axis."""
    found = {}
    for slider in window.findChildren(QScrollBar):
        parent = slider.parentWidget()
        if parent is not None and parent.metaObject().className() == _SLIDER_OF_AN_AXIS:
            axis = getattr(parent, "axis", None)
            if isinstance(axis, int):
                found[axis] = slider
    return found


def _outermost(widget: QWidget) -> QWidget:
    """Return the window around a dock; a dock that floats is its child, too."""
    parent = widget.parentWidget()
    while parent is not None:
        widget, parent = parent, parent.parentWidget()
    return widget
