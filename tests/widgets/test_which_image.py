"""Masks come back to the image they were made on, however it is opened, and to no other one."""

import json

import dask.array as da
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.project import pixels
from napari_sam_adapter.project.pixels import COPY
from napari_sam_adapter.project.project import Project

STACK = np.random.default_rng(0).integers(0, 255, (4, 64, 64)).astype(np.uint8)


def cut_out(seed):
    """A scan of four times, whose outer slices are black."""
    scan = np.zeros((4, 8, 64, 64), np.int16)
    scan[:, 2:-2, 10:50, 10:50] = np.random.default_rng(seed).integers(100, 900, (4, 4, 40, 40))
    return scan


def close(person):
    person.wait_for_record()
    person.close()


def opened(open_person, *image):
    person = open_person(*image)
    person.wait_for_record()
    return person


def draw_on(open_person, *image, open_image=lambda viewer: None):
    """Make a masks layer for an image, paint a dab, and close both."""
    person = opened(open_person, *image)
    open_image(person.viewer)
    person.wait_for_record()
    person.controller.layers.need()
    person.wait_for_record()
    person.labels.paint((*(1 for _ in range(person.labels.ndim - 2)), 20, 20), 2)
    person.settle()
    wanted = person.labels.data.copy()
    close(person)
    return wanted


def test_masks_of_one_patient_are_not_restored_onto_another_one(open_person, folder):
    wanted = draw_on(open_person, cut_out(1))
    other = opened(open_person, cut_out(2))
    assert other.controller.binding is None
    close(other)
    draw_on(open_person, cut_out(2))
    again = opened(open_person, cut_out(1))
    assert np.array_equal(again.labels.data, wanted)
    assert len(Project(folder).records()) == 2


@pytest.fixture
def frames(tmp_path):
    """A folder of pictures."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(STACK):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return folder


def a_folder(viewer, frames):
    viewer.open(str(frames), plugin="napari")


def a_list_as_stack(viewer, frames):
    viewer.open(sorted(map(str, frames.iterdir())), stack=True, plugin="napari")


def one_of_several_channels(viewer, frames):
    path = frames.with_name("channels.tif")
    tifffile.imwrite(path, np.stack([STACK, 255 - STACK], 1), photometric="minisblack")
    viewer.open(str(path), channel_axis=1, plugin="napari")


def a_file_that_only_napari_reads(viewer, frames):
    np.save(frames.with_name("frames.npy"), STACK)
    viewer.open(str(frames.with_name("frames.npy")), plugin="napari")


def a_file_whose_pixels_were_changed(viewer, frames):
    path = frames.with_name("frames.tif")
    tifffile.imwrite(path, STACK)
    (image,) = viewer.open(str(path), plugin="napari")
    image.data = 255 - image.data


def lazy_and_from_nowhere(viewer, frames):
    viewer.add_image(da.from_array(STACK, chunks=(1, 64, 64)))


def lazy_with_smaller_copies(viewer, frames):
    lazy = da.from_array(STACK, chunks=(1, 64, 64))
    viewer.add_image([lazy, lazy[:, ::2, ::2]], multiscale=True)


def of_another_byte_order(viewer, frames):
    viewer.add_image(STACK.astype(">u2"))


@pytest.mark.parametrize(
    "open_image",
    [
        a_folder,
        a_list_as_stack,
        one_of_several_channels,
        a_file_that_only_napari_reads,
        a_file_whose_pixels_were_changed,
        lazy_and_from_nowhere,
        lazy_with_smaller_copies,
        of_another_byte_order,
    ],
)
def test_an_image_comes_back_from_the_project_with_its_masks_however_it_was_opened(
    open_person, folder, frames, open_image
):
    wanted = draw_on(open_person, open_image=lambda viewer: open_image(viewer, frames))
    again = open_person()
    ((record, _),) = Project(folder).records()
    again.dock.project_panel.image_requested.emit(record)
    again.wait(lambda: again.controller.binding is not None)
    again.wait_for_record()
    assert np.array_equal(again.labels.data, wanted)
    assert len(Project(folder).records()) == 1


def test_a_path_is_written_down_whole_and_anew_when_the_file_was_moved(
    open_person, folder, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    tifffile.imwrite(tmp_path / "here" / "frames.tif", STACK)
    monkeypatch.chdir(tmp_path / "here")
    draw_on(open_person, open_image=lambda viewer: viewer.open("frames.tif", plugin="napari"))
    (description,) = folder.glob("images/*/image.json")
    assert json.loads(description.read_text())["source"] == str(tmp_path / "here" / "frames.tif")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "there")
    again = open_person()
    again.viewer.open(str(tmp_path / "there" / "frames.tif"), plugin="napari")
    close(again)
    assert json.loads(description.read_text())["source"] == str(tmp_path / "there" / "frames.tif")
    assert not (description.parent / COPY).exists()


def test_an_image_that_will_not_come_back_by_itself_is_named_beside_what_was_restored(
    open_person, monkeypatch
):
    monkeypatch.setattr(pixels, "LARGEST_COPY", STACK.nbytes - 1)
    draw_on(open_person, STACK)
    again = opened(open_person, STACK)
    assert again.message.startswith("Restored 1 stroke on 1 slice.")
    assert "No file brings image as it is here" in again.message
    assert "save it as TIFF" in again.message
