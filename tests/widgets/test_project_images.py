"""The menu beside the project's name lists its images, and opens them with their masks."""

import threading

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtCore import Qt

from napari_sam_adapter.project.image_identity import ImageIdentity
from napari_sam_adapter.project.image_record import ImageRecord
from napari_sam_adapter.project.overview import ImageOverview
from napari_sam_adapter.project.project import Project


@pytest.fixture
def files(polyps, tmp_path):
    """Two pictures of different sizes, and a stack with voxel sizes of its own."""
    one, two, stack = (tmp_path / name for name in ("one & only.png", "two.png", "stack.tif"))
    Image.fromarray(polyps.frames[0]).save(one)
    Image.fromarray(polyps.frames[1][:80]).save(two)
    tifffile.imwrite(
        stack,
        polyps.frames[..., 0],
        imagej=True,
        resolution=(2, 2),
        metadata={"spacing": 3.0, "unit": "um", "axes": "ZYX"},
    )
    return one, two, stack


def is_open(person, path):
    image = person.controller.layers.image
    return image is not None and image.source.path == str(path)


def work_on(person, path, row):
    """Open a file, predict the slice in view, paint a dab; return what the masks are then."""
    person.dock.project_panel.file_requested.emit(path)
    person.wait(lambda: is_open(person, path))
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    assert person.controller.binding is not None, person.message
    position = person.controller.binding.index_in_view()
    person.labels.paint((*position, row, 20), 2)
    person.settle()
    return person.labels.data.copy()


def entries(person):
    """Open the menu as Qt does, and wait for what it has to say."""
    menu = person.dock.project_panel.images_menu
    menu.aboutToShow.emit()
    person.wait(lambda: not person.controller.images.is_busy)
    return {action.text(): action for action in menu.actions()}


def is_named(person, name):
    return person.controller.layers.image.name.startswith(name.replace("&&", "&"))


def choose(person, name):
    shown = entries(person)
    next(action for text, action in shown.items() if text.startswith(name)).trigger()
    person.wait(lambda: person.controller.binding is not None and is_named(person, name))
    person.wait_for_record()


def test_each_image_is_listed_with_what_is_there_and_the_open_one_is_checked(
    open_person, files, folder
):
    person = open_person()
    for row, path in enumerate(files, 30):
        work_on(person, path, row)
    person.dock.correct_panel.accept_button.click()
    person.controller.recording.record_of(person.controller.binding).journal.flush()
    shown = entries(person)
    assert list(shown) == [
        "one && only — 1 slice, 1 corrected, today",
        "stack — 8 slices, 1 accepted, today",
        "two — 1 slice, 1 corrected, today",
    ]
    assert [text for text, action in shown.items() if action.isChecked()] == [list(shown)[1]]


def test_an_image_whose_record_is_damaged_is_counted_and_its_entry_says_why(
    open_person, files, folder
):
    person = open_person()
    for row, path in enumerate(files[:2], 30):
        work_on(person, path, row)
    damaged, _ = sorted(folder.glob("images/*/image.json"))
    damaged.write_text("{")
    shown = entries(person)
    assert list(shown)[1:] == ["1 image cannot be read: say why"]
    shown["1 image cannot be read: say why"].trigger()
    assert str(damaged) in person.message


def test_choosing_an_image_opens_it_with_its_masks_in_its_place_beside_the_one_that_is_open(
    open_person, files, folder
):
    person = open_person()
    wanted = [work_on(person, path, row) for row, path in enumerate(files, 30)]
    person.close()
    again = open_person()
    for name, masks, path in zip(("one && only", "two", "stack"), wanted, files, strict=True):
        choose(again, name)
        assert np.array_equal(again.labels.data, masks)
        assert again.controller.layers.image.source.path == str(path)
        assert again.dock.layers_panel.image_box.value is again.controller.layers.image
        assert again.dock.layers_panel.labels_box.value is again.labels
    assert tuple(again.labels.scale) == (3.0, 0.5, 0.5)
    assert len(again.viewer.layers) == 6
    assert len(Project(folder).records()) == 3


def test_an_image_that_is_in_the_viewer_comes_to_the_front_and_is_not_opened_twice(
    open_person, files
):
    person = open_person()
    first = work_on(person, files[0], 30)
    work_on(person, files[1], 31)
    person.viewer.layers[0].visible = False
    choose(person, "one")
    assert [layer.name for layer in person.viewer.layers][2:] == ["one & only", "one & only masks"]
    hidden = [layer.name for layer in person.viewer.layers if not layer.visible]
    assert hidden == ["two masks"]  # of another image
    assert person.viewer.layers.selection.active is person.labels
    assert np.array_equal(person.labels.data, first)
    # What is painted now is written where it belongs.
    person.labels.paint((60, 60), 3)
    wanted = person.labels.data.copy()
    person.close()
    again = open_person()
    choose(again, "one")
    assert np.array_equal(again.labels.data, wanted)


def test_masks_whose_layer_was_deleted_come_back_onto_the_image_when_they_are_chosen(
    open_person, files
):
    person = open_person()
    wanted = work_on(person, files[0], 30)
    person.viewer.layers.remove(person.labels)
    person.wait_for_record()
    assert person.controller.binding is None
    choose(person, "one")
    assert len(person.viewer.layers) == 2
    assert np.array_equal(person.labels.data, wanted)


def test_of_several_masks_of_one_image_those_that_are_chosen_come_back(open_person, files, folder):
    person = open_person()
    older = work_on(person, files[0], 30)
    person.viewer.add_labels(np.zeros_like(older), name="others")
    person.dock.layers_panel.labels_box.value = person.viewer.layers["others"]
    person.wait(lambda: person.controller.binding.labels.name == "others")
    person.wait(lambda: len(list(folder.glob("images/*/image.json"))) == 2)
    person.wait_for_record()
    person.labels.paint((70, 70), 4)
    person.settle()
    newer = person.labels.data.copy()
    person.close()
    again = open_person()
    shown = entries(again)
    assert [text.partition(" — ")[0] for text in shown] == ["one && only", "one && only (masks 2)"]
    for action, masks in zip(shown.values(), (older, newer), strict=True):
        action.trigger()
        again.wait(lambda masks=masks: again.controller.binding is not None)
        again.wait(lambda masks=masks: np.array_equal(again.labels.data, masks))
    assert sum(layer.name == "one & only" for layer in again.viewer.layers) == 1


def test_a_missing_file_is_named_in_the_list_and_choosing_it_says_what_to_do(open_person, files):
    person = open_person()
    work_on(person, files[1], 30)
    person.close()
    files[1].unlink()
    again = open_person()
    ((text, action),) = entries(again).items()
    assert text == "two — 1 slice, 1 corrected, today, file not found"
    action.trigger()
    again.wait(lambda: "Open it from where it is now" in again.message)


def test_a_project_without_images_says_so(open_person):
    ((text, action),) = entries(open_person()).items()
    assert text == "(nothing was worked on yet)"
    assert not action.isEnabled()


def test_the_list_is_reached_and_used_by_keyboard(open_person, files, qtbot):
    person = open_person()
    work_on(person, files[1], 30)
    person.close()
    again = open_person(show=True)
    button = again.dock.project_panel.menu_button
    assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
    menu = button.menu()
    menu.popup(button.mapToGlobal(button.rect().bottomLeft()))
    again.wait(menu.isVisible)
    for _ in range(2):
        qtbot.keyClick(menu, Qt.Key.Key_Down)
    qtbot.keyClick(menu, Qt.Key.Key_Right)
    images = again.dock.project_panel.images_menu
    again.wait(images.isVisible)
    qtbot.keyClick(images, Qt.Key.Key_Return)
    again.wait(lambda: again.controller.binding is not None)
    assert again.controller.layers.image.name == "two"


def test_two_hundred_images_are_listed_at_once(open_person, folder, monkeypatch):
    project = Project(folder)
    project.create()
    for number in range(200):
        name = f"frame {number:03}"
        identity = ImageIdentity(name, (64, 64), False, "|u1", f"{number:064}")
        ImageRecord(folder / "images" / name, identity).close()
    person = open_person(show=True)
    menu = person.dock.project_panel.images_menu
    listed, overview_of = threading.Event(), ImageOverview.of

    def read_later(record, identity):
        listed.wait()
        return overview_of(record, identity)

    monkeypatch.setattr(ImageOverview, "of", read_later)
    menu.popup(person.dock.mapToGlobal(person.dock.rect().center()))
    assert len(menu.actions()) == 200, "before a single journal was read"
    assert menu.width() < 600, "one column"
    listed.set()
    person.wait(lambda: not person.controller.images.is_busy)
    menu.close()
