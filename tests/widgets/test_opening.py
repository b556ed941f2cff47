"""Images are opened from the project, or as files that stay on the disk."""

import numpy as np
import tifffile
from PIL import Image
from qtpy.QtWidgets import QFileDialog

from napari_sam_adapter.project.project import Project


def records(folder):
    return [record for record, _ in Project(folder).records()]


def test_opening_a_project_brings_back_the_image_that_was_worked_on_last(
    open_person, polyps, folder, tmp_path
):
    for number in range(2):
        path = tmp_path / f"frame{number}.png"
        Image.fromarray(polyps.frames[number]).save(path)
        person = open_person()
        person.viewer.open(str(path))
        person.wait_for_record()
        person.predict()
        person.wait_for_record()
        person.labels.paint((20, 20), 2)
        wanted = person.labels.data.copy()
        person.close()
    again = open_person(project=tmp_path / "another")
    again.dock.project_panel.folder_requested.emit(folder)
    again.wait(lambda: again.controller.binding is not None)
    assert again.controller.layers.image.name == "frame1"
    assert np.array_equal(again.labels.data, wanted)
    # An image that is open is left alone.
    open_image = again.controller.layers.image
    again.dock.project_panel.folder_requested.emit(tmp_path / "another")
    again.dock.project_panel.folder_requested.emit(folder)
    again.wait_for_record()
    assert again.controller.layers.image is open_image


def test_a_tiff_file_is_opened_slice_by_slice_and_found_again(
    open_person, polyps, folder, tmp_path, monkeypatch
):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, polyps.frames[..., 0], photometric="minisblack")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    person = open_person()
    actions = person.dock.project_panel.menu_button.menu().actions()
    next(action for action in actions if "slice by slice" in action.text()).trigger()
    person.wait(lambda: person.controller.layers.image is not None)
    image = person.controller.layers.image
    assert not isinstance(image.data, np.ndarray)
    assert np.array_equal(image.data[3], polyps.frames[3, ..., 0])
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    person.dock.shutdown()
    ((_, identity),) = Project(folder).records()
    assert identity.source == str(path)


def test_an_image_that_is_gone_is_named(open_person, polyps, folder, tmp_path):
    path = tmp_path / "frame.png"
    Image.fromarray(polyps.frames[0]).save(path)
    person = open_person()
    person.viewer.open(str(path))
    person.wait_for_record()
    person.predict()
    person.wait_for_record()
    person.close()
    path.unlink()
    again = open_person()
    again.dock.project_panel.image_requested.emit(records(folder)[0])
    again.wait(lambda: "frame is not at" in again.message)
