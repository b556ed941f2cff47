"""The dock on a small screen: what is folded, what moves, what is too long."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLineEdit, QProgressBar, QScrollArea, QWidget

from napari_sam_adapter.widgets.panels.small import elided_text


def section(person, title):
    return next(one for one in person.dock.sections if one.title == title)


def test_a_section_that_was_folded_is_folded_the_next_time(open_person, tmp_path):
    person = open_person()
    section(person, "Model").heading.click()
    again = open_person(project=tmp_path / "another")
    assert [one.title for one in again.dock.sections if one.body.isHidden()] == ["Model"]
    section(again, "Model").heading.click()
    third = open_person(project=tmp_path / "third")
    assert not any(one.body.isHidden() for one in third.dock.sections)


def test_a_home_that_cannot_be_written_does_not_keep_a_section_from_folding(
    open_person, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_HOME", str(tmp_path / "file"))
    person = open_person()
    section(person, "Model").heading.click()
    assert section(person, "Model").body.isHidden()


def test_the_progress_bar_moves_nothing_under_the_pointer(open_person, polyps):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.predict()
    accept = person.dock.correct_panel.accept_button

    def where():
        person.settle()
        return accept.mapTo(person.dock, accept.rect().topLeft())

    before = where()
    person.dock.predict_panel.show_progress(1, 8)
    assert person.dock.predict_panel.cancel_button.isVisible()
    assert where() == before
    person.dock.predict_panel.show_progress(0, 0)
    assert person.dock.predict_panel.care_box.isVisible()
    assert where() == before


def test_with_the_model_folded_predict_accept_and_retrain_are_in_view_together(open_person, polyps):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.viewer.window._qt_window.resize(1280, 720)
    person.predict()
    section(person, "Model").heading.click()
    person.settle()
    assert person.viewer.window._qt_window.height() == 720
    area, button = person.dock.findChild(QScrollArea), person.dock.retrain_panel.button
    bottom = button.mapTo(area.widget(), button.rect().bottomLeft()).y()
    assert bottom < area.viewport().height()


def test_retrain_brings_its_curve_into_view_with_the_button_that_stops_it(open_person, polyps):
    person = open_person(polyps.frames, rgb=True, show=True)
    person.viewer.window._qt_window.resize(1280, 720)
    person.predict()
    person.correct(0, polyps.masks[0])
    area, panel = person.dock.findChild(QScrollArea), person.dock.retrain_panel
    area.verticalScrollBar().setValue(0)
    person.begin_training(gear="quick")
    person.settle()

    def is_in_view(widget) -> bool:
        top = widget.mapTo(area.viewport(), widget.rect().topLeft()).y()
        return top >= 0 and top + widget.height() <= area.viewport().height()

    assert is_in_view(panel.curve)
    assert is_in_view(panel.button)
    panel.button.click()
    person.wait_for_training()


@pytest.mark.parametrize("width", [300, 350])
def test_a_list_too_narrow_for_its_entry_ends_in_an_ellipsis(open_person, polyps, width):
    person = open_person(polyps.frames, rgb=True, show=True)
    box = person.dock.models_panel.base_box
    box.setFixedWidth(width // 2)
    assert elided_text(box).endswith("…")
    box.setFixedWidth(2 * width)
    assert elided_text(box) == box.currentText()
    box.setFixedWidth(width // 2)
    assert not box.grab().isNull()


def test_every_button_has_a_tooltip(person):
    buttons = person.dock.findChildren(QAbstractButton)
    assert len(buttons) > 20
    assert [one.text() for one in buttons if one.text() and not one.toolTip()] == []


def test_whatever_takes_the_keyboard_or_shows_progress_has_a_tooltip(person):
    person.predict()
    dock = person.dock

    def says_nothing(widget) -> bool:
        while widget is not dock and not widget.toolTip():  # Qt, too, asks the one around it
            widget = widget.parentWidget()
        return widget is dock

    asked = [
        one
        for one in dock.findChildren(QWidget)
        if isinstance(one, QProgressBar) or one.focusPolicy() & Qt.FocusPolicy.TabFocus
    ]
    assert len(asked) > 30
    inner = (QScrollArea, QLineEdit)  # of the dock; and of what has a tooltip
    assert [one for one in asked if not isinstance(one, inner) and says_nothing(one)] == []
