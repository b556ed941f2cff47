"""The states of slices on napari's own slider."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QStyle, QStyleOptionSlider, QWidget

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.widgets.panels.slice_ruler import STATE_COLOURS
from napari_sam_adapter.widgets.panels.slider_strips import sliders_in


@pytest.fixture
def worker(open_person, polyps):
    """A person with a shown window, who has corrected two slices and accepted one of them."""
    person = open_person(polyps.frames, rgb=True, show=True)
    person.controller.layers.need()
    for position in (1, 5):
        person.paint(position)
    person.controller.binding.toggle_accepted((5,))
    person.wait(lambda: 0 in person.dock.slider_strips.strips)
    person.settle()
    return person


def colour_at(person, position, axis=0):
    """Return the colour at the lower edge of the slider, in the middle of a slice's cell."""
    slider = sliders_in(person.viewer.window._qt_window)[axis]
    n_slices = slider.maximum() + 1
    image = slider.grab().toImage()
    x = int((position + 0.5) * image.width() / n_slices)
    return image.pixelColor(x, image.height() - 2).name()


def test_napari_s_slider_shows_corrected_and_accepted_slices_in_their_places(worker):
    worker.go_to(0)
    worker.settle()
    assert colour_at(worker, 1) == STATE_COLOURS[SliceState.CORRECTED]
    assert colour_at(worker, 5) == STATE_COLOURS[SliceState.ACCEPTED]
    assert colour_at(worker, 3) not in STATE_COLOURS.values()


def test_it_follows_what_happens_to_slices_and_the_size_of_the_window(worker):
    worker.paint(7)
    worker.wait(lambda: colour_at(worker, 7) == STATE_COLOURS[SliceState.CORRECTED])
    window = worker.viewer.window._qt_window
    window.resize(window.width() + 120, window.height())
    worker.settle()
    (strip,) = worker.dock.slider_strips.strips.values()
    assert strip.geometry() == strip.parentWidget().rect()
    assert colour_at(worker, 7) == STATE_COLOURS[SliceState.CORRECTED]


@pytest.mark.parametrize("position", [0, 1, 5, 7])
def test_the_cell_of_the_slice_in_view_is_under_the_handle(worker, position):
    worker.go_to(position)
    worker.settle()
    slider = sliders_in(worker.viewer.window._qt_window)[0]
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    part = QStyle.SubControl.SC_ScrollBarSlider
    handle = slider.style().subControlRect(QStyle.ComplexControl.CC_ScrollBar, option, part, slider)
    assert handle.left() <= (position + 0.5) * slider.width() / 8 <= handle.right()


def test_the_mouse_still_reaches_the_slider(worker, qtbot):
    worker.go_to(0)
    slider = sliders_in(worker.viewer.window._qt_window)[0]
    where = QPoint(slider.width() // 2, slider.height() - 2)
    target = worker.viewer.window._qt_window.childAt(
        slider.mapTo(worker.viewer.window._qt_window, where)
    )
    assert target is slider
    qtbot.mouseClick(target, Qt.MouseButton.LeftButton, pos=where)
    assert worker.viewer.dims.current_step[0] > 0


def test_with_two_sliders_each_shows_the_slices_it_reaches_from_here(open_person):
    movie = np.random.default_rng(0).integers(0, 255, (3, 4, 48, 48), np.uint8)
    person = open_person(movie, show=True)
    labels = person.controller.layers.need().labels
    labels.data_setitem((np.array([1]), np.array([2]), np.array([5]), np.array([5])), 1)
    person.controller.binding.show((1, 0))
    person.settle()
    person.wait(lambda: {*person.dock.slider_strips.strips} == {0, 1})
    corrected = STATE_COLOURS[SliceState.CORRECTED]
    person.wait(lambda: colour_at(person, 2, axis=1) == corrected)
    assert colour_at(person, 1, axis=0) != corrected, "in (1, 0) nothing was corrected"
    person.controller.binding.show((0, 2))
    person.wait(lambda: colour_at(person, 1, axis=0) == corrected)
    person.wait(lambda: colour_at(person, 2, axis=1) != corrected)


def test_where_another_layer_makes_the_slider_longer_it_is_left_alone(worker):
    own = worker.controller.layers.image
    longer = worker.viewer.add_image(np.zeros((20, 96, 96), np.uint8))
    worker.dock.layers_panel.image_box.value = own
    worker.wait(lambda: not worker.dock.slider_strips.strips)
    worker.viewer.layers.remove(longer)
    worker.wait(lambda: 0 in worker.dock.slider_strips.strips)


def test_another_layer_with_more_axes_makes_new_sliders_and_the_strip_moves_along(worker):
    own = worker.controller.layers.image
    worker.viewer.add_image(np.zeros((3, 8, 96, 96), np.uint8))
    worker.dock.layers_panel.image_box.value = own
    worker.wait(lambda: {*worker.dock.slider_strips.strips} == {1})
    worker.wait(lambda: colour_at(worker, 1, axis=1) == STATE_COLOURS[SliceState.CORRECTED])


def test_nothing_stays_on_the_slider_when_the_dock_is_closed(worker):
    worker.dock.shutdown()
    worker.settle()
    assert not worker.dock.slider_strips.strips
    assert colour_at(worker, 1) != STATE_COLOURS[SliceState.CORRECTED]


def test_in_a_window_without_such_sliders_there_is_nothing_to_find(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    assert sliders_in(window) == {}
