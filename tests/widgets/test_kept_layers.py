"""Boxes, points and typed voxel sizes are in the project at once, and come back."""

import json
import time

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QMessageBox

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.project import image_layers
from napari_sam_adapter.widgets.dock import SamAdapterDock
from napari_sam_adapter.widgets.record import kept_layers
from napari_sam_adapter.widgets.record.drawn import boxes_in, points_in
from napari_sam_adapter.widgets.record.kept_layers import DELAY_MS
from napari_sam_adapter.widgets.trouble import KEPT

CORNERS = np.array([(20, 10), (20, 50), (60, 50), (60, 10)], float)


def corners(position):
    return np.hstack([np.full((4, 1), position), CORNERS])


def layer(person, name):
    return person.viewer.layers[f"image {name}"]


def files(folder):
    return sorted(folder.glob("layers/*.json"))


def content(folder):
    paths = [path for path in files(folder) if "until" not in path.name]
    return json.loads(paths[0].read_text()) if paths else {"boxes": [], "points": []}


def draw(person):
    """Two boxes, a point on the object and one beside it."""
    panel = person.dock.prompts_panel
    panel.boxes_button.click()
    layer(person, "boxes").add_rectangles([corners(0), corners(3)])
    panel.points_button.click()
    layer(person, "points").add((0, 20, 30))
    panel.kind_box.textActivated.emit("background")
    layer(person, "points").add((3, 5.25, 6))


def drawn(person):
    image = person.controller.layers.image
    shapes, points = person.controller.prompts.of_image(image)
    return (
        () if shapes is None else boxes_in(shapes, image),
        () if points is None else points_in(points, image),
    )


def wait_until_kept(person, folder, n_boxes, n_points):
    def is_kept():
        kept = content(folder)
        return (len(kept["boxes"]), len(kept["points"])) == (n_boxes, n_points)

    person.wait(is_kept)


def test_boxes_drawn_before_any_prediction_are_on_the_disk_and_come_back(open_polyps, folder):
    person = open_polyps()
    draw(person)
    wait_until_kept(person, folder, 2, 2)
    wanted = drawn(person)
    person.close()
    again = open_polyps()
    assert drawn(again) == wanted
    assert wanted[1] == (((0.0, 20.0, 30.0), "object"), ((3.0, 5.25, 6.0), "background"))
    assert again.message == "Restored 2 boxes and 2 points."
    assert layer(again, "points").feature_defaults["kind"].iloc[0] == "object"
    np.testing.assert_allclose(
        layer(again, "points").face_color[1][:3], (0.835, 0.369, 0), atol=0.01
    )
    # They are prompts as before.
    again.predict()
    assert "predicted from 1 box and 1 point" in again.message


def test_a_box_is_saved_while_it_is_still_dragged_and_less_than_a_second_behind(
    open_polyps, folder
):
    person = open_polyps()
    draw(person)
    boxes = layer(person, "boxes")

    def is_kept_while_it_moves():
        # More often than what waits to be saved would bear if each change put it off.
        boxes.data = [boxes.data[0] + np.array((0, 0.01, 0.01)), corners(3)]
        return bool(content(folder)["boxes"])

    person.wait(is_kept_while_it_moves)
    assert DELAY_MS < 1000


def test_they_come_back_with_the_masks_which_stay_in_hand(open_polyps, folder):
    person = open_polyps()
    draw(person)
    person.predict()
    person.wait_for_record()
    person.paint(0)
    person.close()
    again = open_polyps()
    assert again.message.startswith("Restored 1 stroke on 1 slice. Restored 2 boxes and 2 points.")
    names = [one.name for one in again.viewer.layers]
    assert names == ["image", "image masks", "image boxes", "image points"]
    assert again.viewer.layers.selection.active is again.labels


def test_moved_and_deleted_shapes_are_kept_as_they_are_now(open_polyps, folder):
    person = open_polyps()
    draw(person)
    wait_until_kept(person, folder, 2, 2)
    boxes = layer(person, "boxes")
    moved = corners(0) + np.array((0, 5, 5))
    boxes.data = [moved, corners(3)]
    boxes.selected_data = {1}
    boxes.remove_selected()
    layer(person, "points").features = {"kind": ["background", "background"]}
    person.wait(lambda: content(folder)["points"][0]["kind"] == "background")
    wait_until_kept(person, folder, 1, 2)
    assert content(folder)["boxes"][0]["corners"] == moved.tolist()
    boxes.selected_data = {0}
    boxes.remove_selected()
    wait_until_kept(person, folder, 0, 2)
    person.close()
    again = open_polyps()
    assert [one.name for one in again.viewer.layers] == ["image", "image points"]


def test_a_deleted_layer_comes_back_when_the_image_is_opened_again_and_not_before(
    open_polyps, folder
):
    person = open_polyps()
    draw(person)
    wanted = drawn(person)
    person.viewer.layers.remove(layer(person, "boxes"))  # at once: the last box is kept, too
    person.predict()
    person.wait_for_record()
    assert "image boxes" not in person.viewer.layers
    person.dock.prompts_panel.boxes_button.click()
    person.qtbot.wait(500)
    assert len(content(folder)["boxes"]) == 2, "an empty new layer takes nothing away"
    person.close()
    assert drawn(open_polyps()) == wanted


def test_they_come_back_where_the_image_was_known_only_after_it_was_removed(open_polyps, folder):
    person = open_polyps()
    image = person.viewer.layers["image"]
    person.controller.layers.need()
    person.wait_for_record()
    draw(person)
    wait_until_kept(person, folder, 2, 2)
    wanted = drawn(person)
    # As Delete does with all that is selected: without masks, the image is looked at once more.
    for name in ("image boxes", "image points", "image masks", "image"):
        person.viewer.layers.remove(name)
    person.wait_for_record()
    person.viewer.add_image(image.data.copy(), name="image", rgb=True)
    person.wait_for_record()
    assert drawn(person) == wanted


def test_of_a_duplicated_image_the_layer_that_keeps_its_boxes_is_named(open_polyps, folder):
    person = open_polyps()
    draw(person)
    wait_until_kept(person, folder, 2, 2)
    image = person.viewer.layers["image"]
    copy = person.viewer.add_image(image.data.copy(), name="image copy", rgb=True)
    person.dock.layers_panel.image_box.value = copy
    person.wait_for_record()
    assert "image copy is the same image as image, whose boxes and points" in person.message
    assert "another window" not in person.message


def test_boxes_drawn_in_place_of_deleted_ones_are_kept_and_the_others_beside_them(
    open_polyps, folder
):
    person = open_polyps()
    draw(person)
    wait_until_kept(person, folder, 2, 2)
    person.viewer.layers.remove(layer(person, "boxes"))
    person.dock.prompts_panel.boxes_button.click()
    layer(person, "boxes").add_rectangles(corners(1))
    wait_until_kept(person, folder, 1, 2)
    (former,) = folder.glob("layers/*.until-*.json")
    assert len(json.loads(former.read_text())["boxes"]) == 2
    assert former.parent.name in person.message


def test_the_last_box_before_closing_is_kept(open_polyps):
    person = open_polyps()
    draw(person)
    wanted = drawn(person)
    person.close()
    assert drawn(open_polyps()) == wanted


def test_a_new_dock_goes_on_where_the_last_one_was(open_polyps, folder):
    person = open_polyps()
    draw(person)
    person.dock.shutdown()
    layer(person, "boxes").add_rectangles(corners(5))
    session = type(person.controller.session)(
        person.controller.session.project,
        device="cpu",
        predictor=person.controller.session.predictor,
    )
    again = SamAdapterDock(person.viewer, session)
    wait_until_kept(person, folder, 3, 2)
    assert len(files(folder)) == 1
    assert len(person.viewer.layers) == 3
    again.shutdown()
    again.deleteLater()


def test_a_second_window_is_told_and_harms_nothing(open_polyps, folder):
    one, two = open_polyps(), open_polyps()
    draw(one)
    wait_until_kept(one, folder, 2, 2)
    two.dock.prompts_panel.boxes_button.click()
    layer(two, "boxes").add_rectangles(corners(7))
    two.wait(lambda: "open in another window" in two.message)
    wanted = drawn(one)
    for person in (two, one):
        person.close()
    assert drawn(open_polyps()) == wanted


def test_points_of_a_second_window_take_nothing_of_the_first_away_once_that_is_closed(
    open_person, polyps, folder
):
    one, two = open_person(polyps.frames[..., 0]), open_person(polyps.frames[..., 0])
    for person in (one, two):
        person.wait_for_record()
    one.dock.prompts_panel.boxes_button.click()
    layer(one, "boxes").add_rectangles([corners(0), corners(3)])
    one.controller.layers.image.scale = (3, 0.5, 0.5)
    wait_until_kept(one, folder, 2, 0)
    one.wait(lambda: "scale" in content(folder))
    two.dock.prompts_panel.points_button.click()
    layer(two, "points").add((0, 20, 30))
    two.wait(lambda: "open in another window" in two.message)
    one.close()
    layer(two, "points").add((1, 20, 30))
    two.wait(lambda: len(content(folder)["points"]) == 2)
    assert len(content(folder)["boxes"]) == 2
    assert content(folder)["scale"] == [3, 0.5, 0.5]
    np.testing.assert_array_equal(layer(two, "points").scale, (3, 0.5, 0.5))


def test_images_in_two_windows_do_not_mix(open_person, open_polyps, polyps, folder):
    one = open_polyps()
    two = open_person(polyps.frames[:4, ::-1], rgb=True)
    two.wait_for_record()
    draw(one)
    two.dock.prompts_panel.boxes_button.click()
    layer(two, "boxes").add_rectangles(corners(2))
    wanted = [drawn(person) for person in (one, two)]
    for person in (one, two):
        person.close()
    assert len(files(folder)) == 2
    other = open_person(polyps.frames[:4, ::-1], rgb=True)
    other.wait_for_record()
    assert [drawn(open_polyps()), drawn(other)] == wanted


def test_another_project_takes_them_along_and_the_first_stays_as_it_was(
    open_polyps, folder, tmp_path
):
    person = open_polyps()
    draw(person)
    wait_until_kept(person, folder, 2, 2)
    before = files(folder)[0].read_bytes()
    person.dock.project_panel.folder_requested.emit(tmp_path / "second")
    person.wait_for_record()
    layer(person, "boxes").add_rectangles(corners(5))
    wait_until_kept(person, tmp_path / "second", 3, 2)
    assert files(folder)[0].read_bytes() == before
    # Back in the first, nothing of either is lost.
    person.dock.project_panel.folder_requested.emit(folder)
    person.wait_for_record()
    wait_until_kept(person, folder, 3, 2)
    (former,) = folder.glob("layers/*.until-*.json")
    assert former.read_bytes() == before


def test_a_file_of_a_newer_program_is_left_alone_and_named(open_polyps, folder):
    person = open_polyps()
    draw(person)
    person.close()
    (path,) = files(folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    before = path.read_bytes()
    again = open_polyps()
    assert "schema version 99" in again.message
    draw(again)
    again.qtbot.wait(500)
    again.close()
    assert path.read_bytes() == before


def test_ones_own_flat_boxes_come_back_in_every_slice(open_polyps):
    person = open_polyps()
    person.viewer.add_shapes(CORNERS[None], name="flat")
    person.dock.prompts_panel.boxes_button.click()
    person.close()
    again = open_polyps()
    prompts = again.controller.prompts.in_slice(again.controller.layers.need(), (5,), 1)
    np.testing.assert_allclose(prompts.boxes, [[10, 20, 50, 60]])


def test_a_point_that_is_nowhere_harms_no_other(open_polyps, folder):
    person = open_polyps()
    draw(person)
    layer(person, "points").data = np.array([(0, 20, 30), (3, np.nan, 6)])
    wait_until_kept(person, folder, 2, 1)
    person.close()
    assert open_polyps().message == "Restored 2 boxes and 1 point."


@pytest.fixture
def stack(polyps, tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, polyps.frames[..., 0], photometric="minisblack")
    return path


def open_file(person, path):
    person.dock.project_panel.file_requested.emit(path)
    person.wait(lambda: person.controller.layers.image is not None)
    person.wait_for_record()
    return person.controller.layers.image


def test_a_typed_scale_comes_back_and_masks_and_boxes_lie_on_the_image(open_person, stack, folder):
    person = open_person()
    image = open_file(person, stack)
    person.predict()
    person.wait_for_record()
    person.dock.prompts_panel.boxes_button.click()
    person.viewer.layers["stack boxes"].add_rectangles(corners(2))
    image.scale, image.units = (3, 0.5, 0.25), "mm"
    for one in person.viewer.layers:
        np.testing.assert_array_equal(one.scale, (3, 0.5, 0.25))
    person.wait(lambda: content(folder).get("scale") == [3, 0.5, 0.25])
    person.close()
    again = open_person()
    again.dock.project_panel.image_requested.emit(next((folder / "images").iterdir()))
    again.wait(lambda: again.controller.layers.image is not None)
    again.wait_for_record()
    assert len(again.viewer.layers) == 3
    for one in again.viewer.layers:
        np.testing.assert_array_equal(one.scale, (3, 0.5, 0.25))
    assert {str(unit) for unit in again.controller.layers.image.units} == {"millimeter"}
    # Voxels of a millimetre are something, too; typed back, it is forgotten.
    again.controller.layers.image.scale = (1, 1, 1)
    again.wait(lambda: content(folder).get("scale") == [1, 1, 1])
    again.controller.layers.image.units = "pixel"
    again.wait(lambda: "scale" not in content(folder))


def test_the_scale_that_a_file_brings_is_never_overridden(open_person, polyps, tmp_path, folder):
    path = tmp_path / "scaled.tif"
    options = {"imagej": True, "resolution": (2, 2)}
    tifffile.imwrite(
        path,
        polyps.frames[..., 0],
        metadata={"spacing": 3.0, "unit": "um", "axes": "ZYX"},
        **options,
    )
    person = open_person()
    image = open_file(person, path)
    image.scale = (9, 9, 9)
    person.wait(lambda: content(folder).get("scale") == [9, 9, 9])
    person.close()
    np.testing.assert_allclose(open_file(open_person(), path).scale, (3, 0.5, 0.5))


def test_the_scale_of_an_image_without_a_file_comes_back_with_its_copy(open_person, polyps, folder):
    person = open_person(polyps.frames[..., 0], scale=(3, 0.5, 0.5))
    person.wait_for_record()
    assert not folder.exists(), "nothing was done to it yet"
    person.predict()
    person.wait_for_record()
    person.wait(lambda: content(folder).get("scale") == [3, 0.5, 0.5])
    person.close()
    again = open_person()
    again.controller.opening.open_latest()
    again.wait(lambda: again.controller.binding is not None)
    np.testing.assert_array_equal(again.labels.scale, (3, 0.5, 0.5))


@pytest.fixture
def closing(monkeypatch):
    """Return a function that presses the window's x, is told No, and returns what was asked."""

    def press(person):
        asked = []

        def question(parent, title, text, *more):
            asked.append(text)
            return QMessageBox.StandardButton.No

        monkeypatch.setattr(QMessageBox, "question", question)
        person.viewer.window._qt_window.close()
        assert person.dock.is_open
        return asked[0]

    return press


@pytest.fixture
def full_disk(monkeypatch):
    """Let no file of layers be written while the first entry of the list is true.

    Where that is a path, this one alone is not written.
    """
    monkeypatch.setattr(image_layers, "SECONDS_BETWEEN_TRIES", 0.02)
    is_full, write = [True], image_layers.write_described

    def write_or_fail(*given, **more):
        if is_full[0] in (True, given[0]):
            raise StorageError("No space left on device.")
        write(*given, **more)

    monkeypatch.setattr(image_layers, "write_described", write_or_fail)
    return is_full


def check_marked(person, reason):
    assert reason in person.dock.project_panel.not_recorded.text()
    assert person.dock.not_recorded.isVisibleTo(person.dock)
    assert reason in person.dock.what_is_kept()


def check_recorded_again(person):
    person.wait(lambda: not person.dock.not_recorded.isVisibleTo(person.dock))
    assert not person.controller.kept.is_at_risk
    assert person.dock.what_is_kept() == KEPT


def test_on_a_full_disk_boxes_are_marked_and_closing_asks(open_polyps, folder, full_disk, closing):
    person = open_polyps(show=True)
    draw(person)
    wanted = drawn(person)
    person.wait(lambda: bool(person.controller.kept.problem))
    person.wait(lambda: person.dock.not_recorded.isVisibleTo(person.dock))
    check_marked(person, "No space left")
    assert "No space left" in closing(person)
    full_disk[0] = False
    check_recorded_again(person)
    person.close()
    assert drawn(open_polyps()) == wanted


def test_boxes_that_are_written_say_nothing_of_those_that_wait(open_polyps, folder, full_disk):
    person = open_polyps()
    draw(person)
    known = person.controller.kept._known.values()
    person.viewer.add_image(person.controller.layers.image.data[::-1], name="other", rgb=True)
    person.wait_for_record()
    person.dock.prompts_panel.boxes_button.click()
    person.viewer.layers["other boxes"].add_rectangles([corners(0)])
    person.wait(lambda: all(one.file is not None and one.file.problem for one in known))
    first, second = (one.file for one in known)
    full_disk[0] = second.path
    person.wait(lambda: not first.problem)
    person.settle()
    assert "nothing was lost" not in person.message
    full_disk[0] = False
    person.wait(lambda: "nothing was lost" in person.message)


@pytest.mark.parametrize(("seconds", "reason"), [(0.1, "No space left"), (2, "being written")])
def test_closing_at_once_after_the_last_box_asks_where_that_is_not_on_the_disk(
    open_polyps, folder, full_disk, closing, monkeypatch, seconds, reason
):
    full_disk[0] = False
    person = open_polyps(show=True)
    draw(person)
    wait_until_kept(person, folder, 2, 2)
    full_disk[0], write_or_fail = True, image_layers.write_described

    def write_slowly(*given, **more):
        time.sleep(seconds)
        write_or_fail(*given, **more)

    monkeypatch.setattr(image_layers, "write_described", write_slowly)
    layer(person, "boxes").add_rectangles(corners(5))
    wanted = drawn(person)
    asked = closing(person)
    assert reason in asked
    assert "It is lost if napari is closed now." in asked
    person.wait(lambda: person.dock.not_recorded.isVisibleTo(person.dock))
    check_marked(person, reason)
    full_disk[0] = False
    check_recorded_again(person)
    person.close()
    assert drawn(open_polyps()) == wanted


def test_boxes_drawn_after_the_folder_was_moved_wait_for_it_and_closing_asks_at_once(
    open_polyps, folder, closing, monkeypatch
):
    monkeypatch.setattr(kept_layers, "RETRY_MS", 20)
    person = open_polyps(show=True)
    person.controller.session.project.create()
    folder.rename(folder.with_name("moved"))
    draw(person)
    wanted = drawn(person)
    assert "is gone" in closing(person)
    check_marked(person, "is gone")
    assert person.dock.project_panel.not_recorded.text().endswith("It is tried again by itself.")
    folder.with_name("moved").rename(folder)
    check_recorded_again(person)
    person.close()
    assert drawn(open_polyps()) == wanted


def test_where_nothing_was_drawn_nothing_is_at_risk(open_polyps, folder):
    one = open_polyps()
    draw(one)
    wait_until_kept(one, folder, 2, 2)
    two = open_polyps()  # the boxes are open in the first window
    assert not two.controller.kept.is_at_risk
    two.dock.prompts_panel.boxes_button.click()
    layer(two, "boxes").add_rectangles(corners(7))
    assert two.controller.kept.is_at_risk
    check_marked(two, "open in another window")
    two.viewer.layers.remove("image")
    assert not two.dock.not_recorded.isVisibleTo(two.dock)
