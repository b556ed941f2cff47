"""Several classes in the dock."""

import json

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QColorDialog, QLineEdit
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_sam_adapter.adapter.classes import CLASS_COLORS
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.widgets.writers import write_coco

PALETTE = CLASS_COLORS


@pytest.fixture
def panel(person):
    return person.dock.classes_panel


def names(panel):
    return [panel.list.item(row).text() for row in range(panel.list.count())]


def color_of(labels, label):
    red, green, blue, alpha = (round(255 * v) for v in labels.get_color(label))
    assert alpha == 255
    return f"#{red:02x}{green:02x}{blue:02x}"


def halves(mask):
    """The object's left half is class 1, its right half class 2."""
    labels = (mask > 0).astype(np.uint8)
    columns = np.nonzero(labels)[1]
    labels[:, int(np.median(columns)) :] *= 2
    return labels


@pytest.fixture
def two_classes(person, panel, polyps):
    """A person who has told two classes apart in six slices."""
    person.predict()
    panel.add_button.click()
    panel.list.item(0).setText("left")
    panel.list.item(1).setText("right")
    for position in range(6):
        person.correct(position, halves(polyps.masks[position]))
    return person


def test_one_class_is_the_default_and_leaves_the_layers_features_alone(person, panel):
    assert names(panel) == ["object"]
    assert panel.remove_button.isHidden()
    person.predict()
    assert person.labels.selected_label == 1
    assert person.labels.features.empty


@pytest.mark.parametrize(
    "picture",
    [(150, 60, 30), (200, 110, 90), (90, 35, 20), (128, 128, 128), (220, 220, 220), (10, 10, 10)],
    ids=["endoscopy", "bright endoscopy", "dark endoscopy", "grey", "bright", "dark"],
)
def test_the_mask_of_one_class_is_no_shadow_on_any_picture(person, picture):
    person.predict()
    color, opacity = np.array(person.labels.get_color(1)[:3]), person.labels.opacity
    under = np.array(picture) / 255
    seen = (1 - opacity) * under + opacity * color
    lab = rgb2lab(np.stack([under, seen]))
    assert deltaE_ciede2000(*lab) > 24


def test_instances_of_one_class_keep_colours_of_their_own(person):
    person.predict()
    colors = [color_of(person.labels, label) for label in range(1, 40)]
    assert len(set(colors)) == 39


def test_colours_that_the_person_has_shuffled_stay(person):
    labels = person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="mine")
    labels.new_colormap(3)
    before = color_of(labels, 1)
    person.dock.layers_panel.labels_box.value = labels
    assert color_of(labels, 1) == before


def test_what_is_left_of_a_removed_class_counts_and_shows_as_an_instance(person, panel):
    person.predict()
    panel.add_button.click()
    panel.remove_button.click()
    assert color_of(person.labels, 2) != color_of(person.labels, 3)
    assert list(person.labels.features["class"]) == ["background", "object"]


def test_a_class_is_added_renamed_and_painted_with(person, panel):
    person.predict()
    panel.add_button.click()
    assert names(panel) == ["object", "class 2"]
    assert person.labels.selected_label == 2
    panel.list.item(1).setText("tool")
    panel.list.setCurrentRow(0)
    assert person.labels.selected_label == 1
    assert [color_of(person.labels, k) for k in (1, 2)] == list(PALETTE[:2])
    assert person.labels.get_color(0) is None
    assert color_of(person.labels, 9) == "#b4b4b4"
    person.labels.data[0, 10, 10] = 2
    assert "class: tool" in person.labels.get_status((0, 10, 10), world=True)["value"]


def test_the_list_follows_the_label_chosen_in_the_layer(person, panel):
    person.predict()
    panel.add_button.click()
    person.labels.selected_label = 1
    assert panel.list.currentRow() == 0
    person.labels.selected_label = 0
    assert panel.list.currentRow() == -1
    person.labels.selected_label = 7
    assert panel.list.currentRow() == -1
    person.labels.selected_label = 2
    assert panel.list.currentRow() == 1


def test_classes_made_before_there_is_a_masks_layer_are_on_it_later(person, panel):
    panel.add_button.click()
    person.predict()
    assert color_of(person.labels, 2) == PALETTE[1]
    person.viewer.add_labels(np.zeros((8, 96, 96), np.uint8), name="other")
    person.dock.layers_panel.labels_box.value = person.viewer.layers["other"]
    assert color_of(person.labels, 2) == PALETTE[1]


@pytest.mark.parametrize("typed", ["", "object"])
def test_a_name_that_is_empty_or_taken_is_refused_in_words(person, panel, typed):
    panel.add_button.click()
    panel.list.item(1).setText(typed)
    assert names(panel) == ["object", "class 2"]
    assert "each class needs a name of its own" in person.message


def test_removing_the_last_class_keeps_what_is_painted(person, panel):
    person.predict()
    panel.add_button.click()
    person.paint(0, label=2)
    panel.remove_button.click()
    assert names(panel) == ["object"]
    assert (person.labels.data == 2).any()


def test_the_persons_own_features_stay(person, panel):
    layer = Labels(np.zeros((8, 96, 96), np.uint8), name="mine", features={"size": [0, 1, 2]})
    person.viewer.add_layer(layer)
    person.dock.layers_panel.labels_box.value = layer
    panel.add_button.click()
    assert list(layer.features.columns) == ["size"]
    assert color_of(layer, 2) == PALETTE[1]


def test_classes_are_learned_saved_shown_again_and_may_grow_but_not_shrink(two_classes, panel):
    person = two_classes
    person.retrain(minutes=0.1)
    person.wait_for_training()
    card = person.controller.session.in_use.version.card
    assert card.class_names == ("left", "right")
    assert card.class_colors == PALETTE[:2]
    # Dice per class is told in the list of versions, and under it.
    scores = card.training["held_out_dice_classes"]
    assert scores.keys() == {"left", "right"}
    tip = person.dock.versions_panel.list.currentItem().toolTip(0)
    for name, dice in scores.items():
        assert f"{name}: held-out Dice {dice:.2f}" in tip
    person.go_to(6)
    person.predict()
    assert set(np.unique(person.labels.data[6])) <= {0, 1, 2}
    # Fewer: refused in words, from the list of versions it is possible.
    panel.remove_button.click()
    assert names(panel) == ["left", "right"]
    assert "v1 has learned 2 classes (left, right)" in person.message
    # More: the next version learns the third.
    panel.add_button.click()
    person.paint(5, label=3)
    person.retrain()
    person.wait_for_training()
    assert person.controller.session.in_use.version.card.class_names == ("left", "right", "class 3")
    # An older version brings its own classes.
    person.dock.versions_panel.version_requested.emit(1)
    assert names(panel) == ["left", "right"]
    assert color_of(person.labels, 3) == "#b4b4b4"
    person.dock.versions_panel.version_requested.emit(None)
    panel.remove_button.click()
    assert names(panel) == ["left"]


def test_a_label_that_is_no_class_is_named_and_nothing_is_lost(two_classes):
    person = two_classes
    person.paint(0, row=3, column=3, label=9)
    before = person.labels.data.copy()
    person.retrain()
    person.wait_for_training()
    assert "is marked with label 9, but there are 2 classes: left, right" in person.message
    assert person.controller.session.in_use.version is None
    np.testing.assert_array_equal(person.labels.data, before)


def test_a_new_dock_shows_the_classes_of_the_version_in_use(two_classes, open_person, tmp_path):
    two_classes.retrain()
    two_classes.wait_for_training()
    again = open_person(project=tmp_path / "project")
    assert names(again.dock.classes_panel) == ["left", "right"]


def test_a_class_is_renamed_by_typing_also_where_the_name_is_refused(person, panel, qtbot):
    panel.add_button.click()
    for typed, expected in (("tool", "tool"), ("object", "tool")):
        panel.list.editItem(panel.list.item(1))
        editor = panel.list.findChild(QLineEdit)
        editor.selectAll()
        qtbot.keyClicks(editor, typed)
        qtbot.keyClick(editor, Qt.Key.Key_Return)
        person.settle()
        assert names(panel) == ["object", expected]


def test_removing_the_class_one_paints_with_goes_back_to_the_one_before(person, panel):
    person.predict()
    panel.add_button.click()
    assert person.labels.selected_label == 2
    panel.remove_button.click()
    assert person.labels.selected_label == 1
    assert panel.list.currentRow() == 0


@pytest.fixture
def two_images(open_person, polyps):
    """A person with masks of two images; those of the second are chosen."""
    person = open_person()
    for name in ("one", "two"):
        person.viewer.add_image(polyps.frames[:2].copy(), name=name, rgb=True)
        person.controller.layers.need()
        person.wait_for_record()
        person.paint(0, label=1)
    return person


def test_classes_named_at_one_image_are_those_of_the_masks_of_all(two_images, tmp_path):
    panel, layers = two_images.dock.classes_panel, two_images.viewer.layers
    panel.add_button.click()
    panel.list.item(0).setText("artery")
    panel.list.item(1).setText("vein")
    assert [list(layers[f"{name} masks"].features["class"]) for name in ("one", "two")] == [
        ["background", "artery", "vein"],
        ["background", "artery", "vein"],
    ]
    assert color_of(layers["one masks"], 2) == color_of(layers["two masks"], 2) == PALETTE[1]
    layers.remove("one")  # its masks stay
    panel.list.item(1).setText("nerve")
    write_coco(str(tmp_path / "one.json"), *layers["one masks"].as_layer_data_tuple()[:2])
    told = json.loads((tmp_path / "one.json").read_text())["categories"]
    assert [category["name"] for category in told] == ["artery", "nerve"]


def test_masks_that_belong_to_another_project_keep_the_names_they_have_there(two_images, tmp_path):
    masks = two_images.viewer.layers["one masks"]
    two_images.dock.classes_panel.add_button.click()
    two_images.dock.classes_panel.list.item(0).setText("artery")
    before = list(masks.features["class"])
    two_images.dock.project_panel.folder_requested.emit(tmp_path / "other")
    two_images.wait_for_record()
    two_images.dock.classes_panel.add_button.click()
    two_images.dock.classes_panel.list.item(0).setText("road")
    assert list(masks.features["class"]) == before


def test_a_class_gets_a_colour_of_the_persons_choice(person, panel, monkeypatch):
    person.predict()
    panel.add_button.click()
    chosen = QColor("#123456")
    monkeypatch.setattr(QColorDialog, "getColor", lambda *args: chosen)
    panel.ask_color(1)
    assert color_of(person.labels, 2) == "#123456"
    assert person.controller.session.classes.colors == (PALETTE[0], "#123456")
    monkeypatch.setattr(QColorDialog, "getColor", lambda *args: QColor())  # Cancel
    panel.ask_color(0)
    assert color_of(person.labels, 1) == PALETTE[0]


def test_classes_added_before_any_training_are_there_tomorrow(open_person, polyps):
    first = open_person(polyps.frames, rgb=True)
    first.dock.classes_panel.add_requested.emit()
    first.dock.classes_panel.rename_requested.emit(2, "tumour")
    again = open_person(polyps.frames, rgb=True)
    assert again.controller.session.classes.names == ("object", "tumour")


def test_what_one_window_names_another_window_of_the_project_does_not_name_otherwise(
    open_person, polyps, folder
):
    one, other = open_person(polyps.frames, rgb=True), open_person(255 - polyps.frames, rgb=True)
    for person in (one, other):
        person.wait_for_record()
    one.dock.classes_panel.add_button.click()
    one.dock.classes_panel.list.item(1).setText("vessel")
    other.dock.classes_panel.add_button.click()
    assert "Another window has changed the classes of this project: label 2 is vessel." in (
        other.message
    )
    assert names(other.dock.classes_panel) == ["object", "vessel"]
    other.dock.classes_panel.list.item(1).setText("nerve")
    assert Project(folder).classes.names == ("object", "nerve")
    one.predict()
    for position in range(2):
        one.correct(position, halves(polyps.masks[position]))
    one.retrain()
    assert not one.controller.retraining.is_running
    assert "label 2 is nerve (vessel before)" in one.message
    assert names(one.dock.classes_panel) == ["object", "nerve"]
    one.retrain()
    one.wait_for_training()
    assert one.controller.session.in_use.version.card.class_names == ("object", "nerve")
    assert Project(folder).classes.names == ("object", "nerve")


def come_to(person):
    """What Qt tells the widgets of a window to which the person comes back."""
    QApplication.sendEvent(person.dock, QEvent(QEvent.Type.WindowActivate))


def test_what_one_window_names_is_there_when_the_person_comes_to_another(open_person, polyps):
    one, other = open_person(polyps.frames, rgb=True), open_person(255 - polyps.frames, rgb=True)
    one.dock.classes_panel.add_button.click()
    one.dock.classes_panel.list.item(1).setText("vessel")
    come_to(other)
    assert names(other.dock.classes_panel) == ["object", "vessel"]
    assert "Another window has changed the classes of this project: label 2 is vessel." in (
        other.message
    )
    other.dock.message.say("")
    come_to(other)
    assert other.message == ""


def test_classes_stay_as_they_are_learned_when_the_person_comes_to_a_window_that_trains(
    two_classes, open_person, polyps
):
    one, other = two_classes, open_person(255 - polyps.frames, rgb=True)
    one.begin_training()
    other.dock.classes_panel.list.item(1).setText("nerve")
    come_to(one)
    assert names(one.dock.classes_panel) == ["left", "right"]
    one.stop_training()
    assert one.controller.session.in_use.version.card.class_names == ("left", "right")


def test_what_two_windows_name_while_one_of_them_trains_is_asked_about_afterwards(
    two_classes, open_person, polyps, folder
):
    one, other = two_classes, open_person(255 - polyps.frames, rgb=True)
    one.begin_training()
    other.dock.classes_panel.add_button.click()
    other.dock.classes_panel.list.item(2).setText("both")
    one.stop_training()
    assert names(one.dock.classes_panel) == ["left", "right"]
    assert Project(folder).classes.names == ("left", "right", "both")
    one.dock.classes_panel.add_button.click()
    assert "label 3 is both" in one.message
    assert names(one.dock.classes_panel) == ["left", "right", "both"]


def test_a_version_with_fewer_classes_chosen_in_one_window_takes_none_from_another(
    open_person, polyps, adapter_file
):
    one = open_person(polyps.frames, rgb=True)
    one.dock.classes_panel.add_button.click()
    other = open_person(255 - polyps.frames, rgb=True)
    one.dock.versions_panel.load_requested.emit(adapter_file)
    assert names(one.dock.classes_panel) == ["object"]
    other.dock.classes_panel.add_button.click()
    assert names(other.dock.classes_panel) == ["object", "class 2", "class 3"]
