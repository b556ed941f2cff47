"""What cannot work ends in a sentence, and nothing is lost."""

import numpy as np
import pytest

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.versions.adapter_store import AdapterStore


def test_no_image_layer(open_person):
    person = open_person()
    person.dock.predict_panel.slice_button.click()
    assert "There is no image layer" in person.message
    person.dock.predict_panel.all_button.click()
    assert "There is no image layer" in person.message
    person.dock.correct_panel.accept_button.click()
    assert "There is no image layer" in person.message


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.ones((1, 1), np.uint8), "at least 8 x 8"),
        (np.full((64, 64), 7, np.uint8), "same value"),
        (np.full((64, 64), np.nan, np.float32), "same value"),
    ],
    ids=["one pixel", "constant", "all NaN"],
)
def test_an_image_that_cannot_be_predicted_is_refused_in_words(open_person, image, words):
    person = open_person(image)
    person.predict()
    assert words in person.message
    assert person.dock.predict_panel.slice_button.isEnabled()


def test_an_image_too_small_is_refused_in_words_as_soon_as_it_is_chosen(open_person, polyps):
    person = open_person(np.zeros((4, 4), np.uint8))
    person.wait(lambda: "Starting" not in person.message)
    assert "The image is 4 x 4 pixels; at least 8 x 8 are needed" in person.message
    small = person.controller.layers.image
    person.viewer.add_image(polyps.frames, rgb=True)
    assert "4 x 4" not in person.message
    person.dock.layers_panel.image_box.value = small
    assert "4 x 4" in person.message
    assert not person.dock.message.isHidden()


def test_some_nan_pixels_do_no_harm(open_person, polyps):
    image = polyps.frames[0, ..., 0].astype(np.float32)
    image[:10, :10] = np.nan
    image[20, 20] = np.inf
    person = open_person(image, contrast_limits=(0, 255))
    person.predict()
    assert "predicted by the base model" in person.message


def test_a_very_wide_image_works_and_its_masks_fit(open_person):
    image = np.random.default_rng(0).integers(0, 255, (64, 30_000), np.uint8)
    person = open_person(image)
    person.predict()
    assert person.labels.data.shape == (64, 30_000)
    assert "The image is predicted by the base model" in person.message


def test_constant_slices_of_a_stack_are_skipped_and_named(open_person, polyps):
    stack = polyps.frames[..., 0].copy()
    stack[3] = 9
    person = open_person(stack)
    person.predict_all()
    assert person.tracker.count(SliceState.PREDICTED) == 7
    assert "Skipped slice 3" in person.message


def test_retraining_without_a_corrected_slice_says_what_to_do(person):
    person.retrain()
    assert "nothing to train on yet" in person.message
    person.predict()
    person.retrain()
    assert "No slice of this image is corrected or accepted yet" in person.message
    assert not person.controller.retraining.is_running


def test_retraining_on_empty_masks_only_is_refused(person):
    person.go_to(2)
    person.dock.correct_panel.accept_button.click()
    person.retrain()
    assert "masks to train on are empty" in person.message


def test_the_masks_layer_deleted_while_all_slices_are_predicted(person):
    person.dock.predict_panel.all_button.click()
    person.wait(lambda: person.tracker.count(SliceState.PREDICTED) >= 1)
    person.viewer.layers.remove(person.labels)
    person.wait(lambda: not person.controller.prediction.is_running)
    assert "was deleted" in person.message
    person.predict()
    assert person.labels in person.viewer.layers


def test_the_image_deleted_while_all_slices_are_predicted(person):
    person.dock.predict_panel.all_button.click()
    person.wait(lambda: person.tracker.count(SliceState.PREDICTED) >= 1)
    person.viewer.layers.remove("image")
    person.wait(lambda: not person.controller.prediction.is_running)
    assert "was deleted" in person.message
    person.dock.predict_panel.slice_button.click()
    assert "There is no image layer" in person.message


def test_renaming_layers_does_not_matter(person):
    person.predict()
    labels = person.labels
    person.viewer.layers["image"].name = "another name"
    labels.name = "my masks"
    person.go_to(3)
    person.predict()
    assert person.labels is labels
    assert labels.data[3].any()
    assert person.dock.layers_panel.labels_box.current_choice == "my masks"


def test_a_masks_layer_of_another_shape_is_refused(person):
    other = person.viewer.add_labels(np.zeros((3, 50, 50), np.uint8), name="other")
    person.dock.layers_panel.labels_box.value = other
    assert "has shape (3, 50, 50)" in person.message


def test_a_masks_layer_that_gets_another_shape_is_not_recorded_and_that_is_said_at_once(person):
    person.predict()
    before = person.labels.data
    person.labels.data = np.zeros((2, 10, 10), np.uint8)
    assert "now has shape (2, 10, 10)" in person.message
    assert "it is not recorded" in person.message
    person.labels.data = before
    person.predict()
    person.labels.data = np.zeros((2, 10, 10), np.uint8)
    assert "it is not recorded" in person.message, "said again, as it is news again"
    person.predict()
    assert "now has shape (2, 10, 10)" in person.message


def test_other_axes_in_view_are_refused_with_a_hint(open_person, polyps):
    person = open_person(polyps.frames[..., 0])
    person.viewer.dims.order = (1, 0, 2)
    person.dock.predict_panel.slice_button.click()
    assert "last two axes" in person.message


def test_a_volume_rotated_out_of_its_slice_plane_is_refused(open_person, polyps):
    person = open_person(polyps.frames[..., 0])
    cos, sin = np.cos(0.5), np.sin(0.5)
    person.viewer.layers[0].rotate = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    person.dock.predict_panel.slice_button.click()
    assert "rotated out of its slice plane" in person.message


def test_a_volume_turned_and_scaled_within_its_slice_plane_is_predicted(open_person, polyps):
    person = open_person(polyps.frames[..., 0], scale=(5, 0.5, 0.5), rotate=30.0)
    person.predict()
    assert person.labels.data[person.controller.binding.index_in_view()].any()


def test_a_failing_lazy_source_is_reported(open_person, polyps):
    import dask.array

    broken = False

    def load(block):
        if broken:
            raise OSError("the network drive is gone")
        return block

    lazy = dask.array.from_array(polyps.frames[..., 0], chunks=(1, 96, 96))
    lazy = lazy.map_blocks(load, dtype=np.uint8)
    person = open_person(lazy, contrast_limits=(0, 255))
    broken = True
    person.predict()
    assert "the network drive is gone" in person.message


def test_broken_and_foreign_adapter_files_are_refused(person, tmp_path):
    text = tmp_path / "text.safetensors"
    text.write_text("not an adapter")
    person.dock.versions_panel.load_requested.emit(text)
    assert "not a readable safetensors file" in person.message
    assert person.controller.session.in_use.version is None
    person.dock.versions_panel.load_requested.emit(tmp_path / "missing.safetensors")
    assert "no adapter file" in person.message


def test_a_damaged_version_in_the_store_is_named_and_the_others_stay(open_person, polyps, tmp_path):
    folder = tmp_path / "project" / "adapters"
    folder.mkdir(parents=True)
    (folder / "adapter-0003.safetensors").write_bytes(b"\x00" * 20)
    person = open_person(polyps.frames, rgb=True)
    assert AdapterStore(folder).next_number() == 4
    person.wait(lambda: "Ready" in person.message or "readable" in person.message)
    person.predict()
    assert person.labels.data[0].any()
