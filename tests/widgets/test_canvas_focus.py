"""Where the keyboard is after a click in the dock, and what it reaches without a mouse."""

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QLineEdit

from napari_sam_adapter.annotations.slice_tracker import SliceState

LEFT, SHIFT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def person(open_person, polyps, turned_adapter_file, qtbot):
    """A person at a window that has the keyboard, with a version that can look twice."""
    person = open_person(polyps.frames, rgb=True, show=True)
    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    window = person.viewer.window._qt_window
    QApplication.setActiveWindow(window)
    person.wait(window.isActiveWindow)
    return person


def canvas(person):
    return person.viewer.window._qt_viewer.canvas.native


def press(person, key, modifier=Qt.KeyboardModifier.NoModifier):
    """Press a key where the keyboard is."""
    person.qtbot.keyClick(QApplication.focusWidget(), key, modifier)
    person.wait(lambda: not person.controller.prediction.is_running)


def test_space_after_a_click_on_predict_slice_ticks_no_box(person):
    panel = person.dock.predict_panel
    twice = panel.care_box.isChecked()
    person.qtbot.mouseClick(panel.slice_button, LEFT)
    person.wait(lambda: not person.controller.prediction.is_running)
    assert person.labels.data[0].any()
    assert QApplication.focusWidget() is canvas(person)
    press(person, Qt.Key.Key_Space)
    assert panel.care_box.isChecked() is twice
    assert not panel.number_box.isChecked()


def test_a_box_that_is_clicked_is_ticked_and_space_does_not_untick_it(person):
    box = person.dock.predict_panel.number_box
    person.qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))
    assert box.isChecked()
    press(person, Qt.Key.Key_Space)
    assert box.isChecked()


def test_keys_work_after_a_click_on_a_row_of_the_versions(person):
    panel = person.dock.versions_panel
    rect = panel.list.visualItemRect(panel._item(None))
    person.qtbot.mouseClick(panel.list.viewport(), LEFT, pos=rect.center())
    assert person.controller.session.in_use.version is None
    press(person, Qt.Key.Key_P, SHIFT)
    assert "predicted by the base model" in person.message
    press(person, Qt.Key.Key_A, SHIFT)
    assert person.tracker.state((0,)) is SliceState.ACCEPTED


def test_a_click_on_a_class_leaves_the_keyboard_to_the_canvas_and_two_rename_it(person):
    person.dock.classes_panel.add_button.click()
    names = person.dock.classes_panel.list
    centre = names.visualItemRect(names.item(0)).center()
    person.qtbot.mouseClick(names.viewport(), LEFT, pos=centre)
    assert QApplication.focusWidget() is canvas(person)
    person.qtbot.mouseDClick(names.viewport(), LEFT, pos=centre)
    person.settle()
    assert isinstance(QApplication.focusWidget(), QLineEdit)


def walk_by_tab(person):
    """Yield what has the keyboard, from the first heading until Tab leads out of the dock."""
    dock = person.dock
    dock.sections[0].heading.setFocus(Qt.FocusReason.TabFocusReason)
    while dock.isAncestorOf(QApplication.focusWidget()):
        yield QApplication.focusWidget()
        person.qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        person.settle()


def is_in_sight(widget):
    return not widget.visibleRegion().isEmpty()


def test_tab_goes_through_what_is_in_sight_and_shows_where_it_is(person):
    person.predict()
    dock = person.dock
    walked = []
    for widget in walk_by_tab(person):
        assert is_in_sight(widget), f"{widget} has the keyboard, and nobody sees it"
        ring = dock.focus_ring.ring
        assert ring.isVisible()
        assert (ring.parent(), ring.geometry()) == (widget, widget.rect())
        edge = widget.grab().toImage().pixelColor(widget.width() // 2, 0)
        assert edge == widget.palette().text().color()
        walked.append(widget)
    buttons = [one for one in dock.findChildren(QAbstractButton) if one.isVisibleTo(dock)]
    assert [one.text() for one in buttons if one.isEnabled() and one not in walked] == []
    assert dock.focus_ring.ring is None, "outside of the dock there is none"


def test_tab_goes_into_advanced_settings_where_they_are_unfolded(person):
    advanced = person.dock.retrain_panel.advanced
    assert advanced.recipe_box not in [*walk_by_tab(person)]
    advanced.toggleButton().click()
    person.wait(lambda: not advanced._is_animating)
    assert advanced.recipe_box in [*walk_by_tab(person)]
    advanced.toggleButton().click()
    assert not advanced.recipe_box.isVisible()


def test_tab_and_space_still_reach_and_press_the_buttons(person):
    panel = person.dock.correct_panel
    person.predict()
    panel.accept_button.setFocus(Qt.FocusReason.TabFocusReason)
    press(person, Qt.Key.Key_Space)
    assert person.tracker.state((0,)) is SliceState.ACCEPTED
    assert QApplication.focusWidget() is panel.accept_button
    press(person, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is not panel.accept_button
    assert person.dock.isAncestorOf(QApplication.focusWidget())


def test_a_button_that_is_disabled_while_it_has_the_keyboard_gives_it_to_the_canvas(person):
    button = person.dock.predict_panel.slice_button
    button.setFocus(Qt.FocusReason.TabFocusReason)
    press(person, Qt.Key.Key_Space)
    assert person.labels.data[0].any()
    assert QApplication.focusWidget() is canvas(person)
