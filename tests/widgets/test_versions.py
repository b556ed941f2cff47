"""Adapter versions in the dock."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QContextMenuEvent, QKeySequence
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.versions import promotion


def test_an_adapter_file_is_taken_in_used_and_found_again_tomorrow(
    open_person, polyps, adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    assert person.controller.session.in_use.version.number == 1
    person.predict()
    assert "predicted by v1" in person.message
    adapter_file.unlink()
    tomorrow = open_person(polyps.frames, rgb=True)
    assert tomorrow.controller.session.in_use.version.number == 1
    assert tomorrow.dock.versions_panel.chosen == 1


def test_what_is_told_of_the_base_model_takes_less_room_than_of_a_version(
    open_person, polyps, adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    details = person.dock.versions_panel.details
    of_the_base = details.height()
    assert of_the_base < 3 * details.fontMetrics().lineSpacing()
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.settle()
    assert details.height() > of_the_base
    rows = details.document().size().height()
    assert details.height() >= min(rows, 8) * details.fontMetrics().lineSpacing()


def test_the_base_model_can_be_chosen_again_and_stays_chosen(open_person, polyps, adapter_file):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.dock.versions_panel.choose(None)
    assert person.controller.session.in_use.version is None
    assert person.message == "From now on, the base model predicts."
    tomorrow = open_person(polyps.frames, rgb=True)
    assert tomorrow.controller.session.in_use.version is None


def test_the_version_in_use_can_be_exported(open_person, polyps, adapter_file, tmp_path):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    target = tmp_path / "exported.safetensors"
    person.dock.versions_panel.export_requested.emit(1, target)
    assert target.read_bytes() == adapter_file.read_bytes()


def test_a_version_deleted_from_disk_is_reported(open_person, polyps, adapter_file):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.controller.session.in_use.version.path.unlink()
    person.predict()
    assert "no adapter file" in person.message


def test_an_adapter_of_another_base_model_is_refused_by_both_names(person, adapter_file):
    content = adapter_file.read_bytes().replace(b"lite_medsam", b"huge_medsam")
    adapter_file.write_bytes(content)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    assert "huge_medsam" in person.message
    assert "lite_medsam" in person.message
    assert person.controller.session.store.versions() == []


def test_another_folder_has_its_own_versions(open_person, polyps, adapter_file, tmp_path):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(adapter_file)
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    assert person.controller.session.in_use.version is None
    assert person.dock.versions_panel.list.topLevelItemCount() == 1


def test_an_adapter_says_how_sure_it_is_and_the_base_model_does_not(
    open_person, polyps, turned_adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    assert "confidence" not in person.message
    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    person.predict()
    confidence = person.tracker.confidence_of((0,))
    assert 0 < confidence < 1
    assert f"confidence {confidence:.0%}" in person.message
    assert f"confidence {confidence:.0%}" in person.dock.correct_panel.in_view.text()
    person.undo()
    assert person.tracker.confidence_of((0,)) is None


def test_after_predicting_all_the_least_certain_slice_is_named(
    open_person, polyps, turned_adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    person.predict_all()
    found = [person.tracker.confidence_of((z,)) for z in range(8)]
    least = int(np.argmin(found))
    where = person.controller.binding.source.describe((least,))
    assert f"least sure of {where}, {found[least]:.0%}" in person.message


def test_mirror_images_are_offered_where_the_adapter_knows_them(
    open_person, polyps, adapter_file, turned_adapter_file
):
    person = open_person(polyps.frames, rgb=True)
    box, session = person.dock.predict_panel.care_box, person.controller.session
    assert not box.isEnabled()
    person.dock.versions_panel.load_requested.emit(adapter_file)
    assert not box.isEnabled()
    person.dock.versions_panel.load_requested.emit(turned_adapter_file)
    assert box.isEnabled()
    assert box.isChecked()
    assert session.in_use.reference.views == 2
    person.predict()
    both = person.labels.data[0].copy()
    box.click()
    assert session.in_use.reference.views == 1
    person.predict()
    assert (person.labels.data[0] != both).any()


def listed(number, **given):
    """A version as the list shows it, without a file."""
    facts = {"name": "", "scores": "0.81 → 0.86", "promoted": True, "made": datetime.now(UTC)}
    facts |= given
    return SimpleNamespace(
        number=number,
        title=f"v{number} {facts['name']}".rstrip(),
        card=SimpleNamespace(training={"n_slices": 124}, parent_id=""),
        verdict=SimpleNamespace(promoted=facts["promoted"]),
        scores=facts["scores"],
        scores_of_slices="",
        made=facts["made"],
        details=lambda parent: f"v{number}",
    )


@pytest.mark.parametrize("name", ["", "polyps of May"])
def test_at_the_width_the_dock_opens_with_names_and_marks_are_not_cut_off(open_person, name):
    person = open_person(show=True)
    person.dock.resize(300, 900)
    panel = person.dock.versions_panel
    versions = [
        listed(number, name=name, promoted=number % 2 == 0, scores="0.86 → 0.81")
        for number in range(9, 13)
    ]
    panel.show_versions(versions, versions[-1], lambda adapter: "")
    person.settle()
    for row in range(4):
        item = panel.list.topLevelItem(row)
        for column in range(4):
            if not panel.list.isColumnHidden(column):
                room = panel.list.columnWidth(column)
                needed = panel.list.fontMetrics().horizontalAdvance(item.text(column))
                assert needed <= room, item.text(column)
    assert panel.list.header().length() <= panel.list.viewport().width()
    assert not panel.list.isColumnHidden(2)


def test_in_a_wide_dock_slices_and_times_are_shown_beside_the_names(open_person):
    person = open_person(show=True)
    person.viewer.window._qt_window.resize(1400, 900)
    person.settle()
    panel = person.dock.versions_panel
    panel.show_versions([listed(1)], None, lambda adapter: "")
    panel.list.resize(400, panel.list.height())
    assert not any(panel.list.isColumnHidden(column) for column in range(4))


def test_a_version_that_makes_held_out_slices_worse_is_held_back_and_says_where(
    open_person, polyps, end_after
):
    end_after(60)
    person = open_person(polyps.frames, rgb=True)
    person.predict()
    for position in range(7):
        person.correct(position, polyps.masks[position].astype(np.uint8))
    person.retrain(gear="quick", minutes=30)
    person.wait_for_training()
    first = person.controller.session.in_use.version
    assert first is not None
    (held_out, *_), *_ = first.card.training["held_out_scores"]
    # From now on the background is the object, but not on the slice that is held out.
    for position in range(7):
        if not held_out.endswith(f"slice {position}"):
            person.correct(position, 1 - polyps.masks[position].astype(np.uint8))
    person.retrain(gear="quick", minutes=30)
    person.wait_for_training()
    assert person.controller.session.in_use.version.number == first.number
    assert "v2 is held back, and v1 stays in use. Dice fell by 0." in person.message
    assert f'most on "{held_out}"' in person.message
    assert "Correct more and retrain, or click v2 in the list" in person.message
    assert person.message.count(". ") == 2, "three sentences; the rest is in the list of versions"
    versions = person.dock.versions_panel
    assert versions.chosen == 1
    row = versions.list.topLevelItem(0)
    assert row.text(2).startswith("⊘ 0.")
    assert "held back:\nDice" in row.toolTip(2)
    assert row.data(2, Qt.ItemDataRole.AccessibleTextRole).startswith("held back 0.")
    # The person may know better.
    versions.choose(2)
    assert person.controller.session.in_use.version.number == 2
    # And back: a rollback is a click.
    versions.choose(1)
    assert person.controller.session.in_use.version.number == 1


def test_a_version_that_has_forgotten_earlier_slices_is_held_back_and_says_so(
    open_person, polyps, monkeypatch
):
    person = open_person(polyps.frames, rgb=True)
    for position in (0, 1):
        person.controller.layers.need()
        person.correct(position, polyps.masks[position].astype(np.uint8))
    person.retrain(gear="quick")
    person.wait_for_training()
    assert person.controller.session.in_use.version.number == 1
    monkeypatch.setattr(promotion, "FORGETTING", -2.0)  # whatever it knows is not enough
    person.retrain(gear="quick")
    person.wait_for_training()
    assert person.controller.session.in_use.version.number == 1
    assert "v2 is held back, and v1 stays in use. It has forgotten: Dice " in person.message
    assert "on 2 slices that it knew" in person.message


def menu_of(person, number, monkeypatch, **answers):
    """Open the menu of a version's row; dialogs answer as told."""
    panel = person.dock.versions_panel
    panel.list.setCurrentItem(panel._item(number))
    for name, answer in answers.items():
        where = f"qtpy.QtWidgets.{name.replace('_', '.')}"
        monkeypatch.setattr(where, lambda *a, answer=answer, **k: answer)
    panel.menu.aboutToShow.emit()
    return {action.text(): action for action in panel.menu.actions()}


def test_versions_are_renamed_annotated_and_deleted_but_never_the_one_in_use(
    open_person, polyps, adapter_file, turned_adapter_file, monkeypatch
):
    person = open_person(polyps.frames, rgb=True)
    for path in (adapter_file, turned_adapter_file):
        person.dock.versions_panel.load_requested.emit(path)
    actions = menu_of(person, 1, monkeypatch, QInputDialog_getText=("flat polyps", True))
    actions["Rename v1…"].trigger()
    actions = menu_of(person, 1, monkeypatch, QInputDialog_getMultiLineText=("from Ann", True))
    actions["Note on v1…"].trigger()
    row = person.dock.versions_panel._item(1)
    assert "v1 flat polyps" in row.text(0)
    assert row.toolTip(0).endswith("from Ann")
    assert "trained from the base model" in row.toolTip(0)
    yes = QMessageBox.StandardButton.Yes
    menu_of(person, 2, monkeypatch, QMessageBox_question=yes)["Delete v2…"].trigger()
    assert "v2 is in use" in person.message
    menu_of(person, 1, monkeypatch, QMessageBox_question=yes)["Delete v1…"].trigger()
    assert [v.number for v in person.controller.session.store.versions()] == [2]
    assert person.dock.versions_panel.list.topLevelItemCount() == 2


def test_a_version_that_another_window_predicts_with_is_not_deleted(
    open_person, polyps, adapter_file, turned_adapter_file
):
    first = open_person(polyps.frames, rgb=True)
    for path in (adapter_file, turned_adapter_file):
        first.dock.versions_panel.load_requested.emit(path)
    second = open_person(polyps.frames, rgb=True)
    second.dock.versions_panel.choose(1)
    second.dock.versions_panel.delete_requested.emit(2)
    assert "v2 is in use in another window" in second.message
    first.predict()
    assert "v2" in first.message
    first.dock.shutdown()
    second.dock.versions_panel.delete_requested.emit(2)
    assert "v2 is deleted" in second.message


def test_the_version_a_window_opened_with_is_in_use_without_a_click(
    open_person, polyps, adapter_file, turned_adapter_file
):
    first = open_person(polyps.frames, rgb=True)
    for path in (adapter_file, turned_adapter_file):
        first.dock.versions_panel.load_requested.emit(path)
    second = open_person(polyps.frames, rgb=True)
    first.dock.versions_panel.choose(1)
    first.dock.versions_panel.delete_requested.emit(2)
    assert "v2 is in use in another window" in first.message
    second.predict()
    assert "v2" in second.message


def test_the_keyboard_reaches_all_that_is_known_of_a_version(
    open_person, polyps, adapter_file, tmp_path, adapter_bytes
):
    worse = tmp_path / "worse.safetensors"
    scores = [[f"colon, slice {z}", 0.9, 0.4] for z in range(4)]
    parent = read_card(adapter_file).adapter_id
    worse.write_bytes(adapter_bytes(tmp_path, parent=parent, held_out_scores=scores))
    person = open_person(polyps.frames, rgb=True, show=True)
    panel = person.dock.versions_panel
    for path in (adapter_file, worse):
        panel.load_requested.emit(path)
    assert panel.details.toPlainText().startswith("v2 ")
    person.qtbot.keyClick(panel.list, Qt.Key.Key_Down)
    assert panel.chosen == 1
    assert "trained from the base model" in panel.details.toPlainText()
    person.qtbot.keyClick(panel.list, Qt.Key.Key_Up)
    text = panel.details.toPlainText()
    assert "held back:\nDice −0.50 on 4 held-out slices" in text
    for z in range(4):
        assert f"colon, slice {z}: Dice 0.90 → 0.40" in text
    assert panel.details.accessibleDescription() == text
    row = panel._item(2)
    assert "held back" in row.data(0, Qt.ItemDataRole.AccessibleDescriptionRole)
    # Tab leads there, and on; what is there can be selected.
    assert panel.details.focusPolicy() == Qt.FocusPolicy.StrongFocus
    assert panel.details.tabChangesFocus()
    person.qtbot.keySequence(panel.details, QKeySequence.StandardKey.SelectAll)
    person.qtbot.keySequence(panel.details, QKeySequence.StandardKey.Copy)
    assert QApplication.clipboard().text() == text
    # And a version is used without a mouse.
    person.qtbot.keyClick(panel.list, Qt.Key.Key_Down)
    person.qtbot.keyClick(panel.list, Qt.Key.Key_Return)
    assert person.controller.session.in_use.version.number == 1


def test_where_the_project_lies_is_said_and_copied_from_its_menu(open_person, polyps, folder):
    person = open_person(polyps.frames, rgb=True)
    actions = {one.text(): one for one in person.dock.project_panel.menu.actions()}
    actions["Copy where this project lies"].trigger()
    assert str(folder) in person.message
    assert QApplication.clipboard().text() == str(folder)
    assert str(folder) in person.dock.project_panel.name.accessibleDescription()


def press_menu_key(rows):
    """What Qt sends to a list with the focus: its place counts from the list's own corner."""
    place = rows.inputMethodQuery(Qt.InputMethodQuery.ImCursorRectangle).center()
    event = QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, place, rows.mapToGlobal(place))
    QApplication.sendEvent(rows, event)


def right_click(rows, item):
    place = rows.visualItemRect(item).center()
    where = rows.viewport().mapToGlobal(place)
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, where)
    QApplication.sendEvent(rows.viewport(), event)


def test_the_menu_key_opens_the_menu_of_the_row_in_focus(
    open_person, polyps, adapter_bytes, tmp_path
):
    person = open_person(polyps.frames, rgb=True, show=True)
    panel = person.dock.versions_panel
    for number in range(3):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(adapter_bytes(tmp_path, number=number))
        panel.load_requested.emit(path)
    for row in range(3):
        panel.list.setCurrentItem(panel.list.topLevelItem(row))
        press_menu_key(panel.list)
        titles = [action.text() for action in panel.menu.actions()]
        panel.menu.close()
        assert f"Delete v{3 - row}…" in titles
        assert panel.chosen == 3 - row
    panel.list.setCurrentItem(panel.list.topLevelItem(0))
    right_click(panel.list, panel.list.topLevelItem(2))
    panel.menu.close()
    assert panel.chosen == 1
