"""Layers in several units are open together: napari's sliders count in the smallest of them."""

import nibabel
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam_adapter.annotations.slice_tracker import SliceState
from napari_sam_adapter.widgets.layers.placement import lies_on
from napari_sam_adapter.widgets.record.drawn import seen


@pytest.fixture
def scan(open_person, polyps):
    """A person who works on a scan in mm that begins at 6 mm, beside a picture in µm."""
    place = {"scale": (3, 0.5, 0.5), "translate": (6, 0, 0), "units": "mm"}
    person = open_person(polyps.frames[..., 0], **place, show=True)
    person.controller.layers.need()
    person.viewer.add_image(np.zeros((96, 96)), name="picture", scale=(0.1, 0.1), units="um")
    person.dock.layers_panel.image_box.value = person.viewer.layers["image"]
    return person


def shown(person):
    """Return the slice of the image that napari shows."""
    in_view = person.viewer.layers["image"]._slice.image.view
    frames = person.viewer.layers["image"].data
    (index,) = (at for at, frame in enumerate(frames) if np.array_equal(frame, in_view))
    return index


def test_the_slice_in_view_is_the_one_that_is_predicted_and_accepted(scan):
    scan.viewer.dims.set_point(0, 18_000)  # µm
    assert shown(scan) == 4
    scan.predict()
    assert scan.tracker.state((4,)) is SliceState.PREDICTED
    scan.dock.correct_panel.accept_button.click()
    assert scan.tracker.state((4,)) is SliceState.ACCEPTED
    assert scan.message.startswith("Slice 4")


def test_the_ruler_leads_to_the_slice_that_is_clicked_and_states_are_on_napari_s_slider(scan):
    scan.dock.correct_panel.slice_requested.emit(2)
    assert shown(scan) == 2
    assert scan.controller.binding.index_in_view() == (2,)
    assert scan.controller.binding.slider_axes() == [0]
    scan.wait(lambda: [*scan.dock.slider_strips.strips] == [0])


def test_the_slice_in_view_is_the_one_shown_also_when_another_layer_s_unit_moves_the_slider(scan):
    image = scan.viewer.layers["image"]
    scan.viewer.layers.remove("picture")
    image.translate = (0, 0, 0)
    scan.viewer.dims.set_point(0, 12)
    assert shown(scan) == 4
    stack = np.zeros((20, 96, 96))
    scan.viewer.add_image(stack, name="stack", scale=(3, 0.1, 0.1), units="um")
    scan.dock.layers_panel.image_box.value = image
    scan.settle()
    assert shown(scan) == scan.controller.binding.index_in_view()[0]


@pytest.mark.parametrize("unit", ["um", "pixel"])
@pytest.mark.parametrize("changed", ["image", "masks"])
def test_masks_have_the_image_s_unit_also_when_either_is_changed(
    open_person, polyps, changed, unit
):
    person = open_person(polyps.frames[..., 0], scale=(3, 0.5, 0.5), units="mm")
    labels, image = person.controller.layers.need().labels, person.viewer.layers["image"]
    (image if changed == "image" else labels).units = unit
    person.wait(lambda: labels.units == image.units)
    assert lies_on(labels, image)
    assert (
        str(image.units[0])
        == {
            "masks": "millimeter",
            "um": "micrometer",
            "pixel": "pixel",
        }[changed if changed == "masks" else unit]
    )


def test_a_unit_that_is_typed_after_the_masks_were_made_is_that_of_the_saved_masks(
    open_polyps, tmp_path
):
    person = open_polyps()
    person.predict()
    image = person.viewer.layers["image"]
    image.scale, image.units = (3, 0.5, 0.25), "mm"
    person.labels.save(str(tmp_path / "masks.nii"))
    header = nibabel.load(tmp_path / "masks.nii").header
    assert header.get_zooms() == (0.25, 0.5, 3)
    assert header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize(
    ("scale", "unit", "lies_there"),
    [
        ((3, 0.5, 0.5), "um", False),
        ((3000, 500, 500), "um", True),
        ((3, 0.5, 0.5), "pixel", True),  # of which nobody has said what it is
    ],
)
def test_masks_in_another_unit_are_chosen_where_they_lie_on_the_image_and_take_its_unit(
    open_person, polyps, scale, unit, lies_there
):
    person = open_person(polyps.frames[..., 0], scale=(3, 0.5, 0.5), units="mm")
    image = person.viewer.layers["image"]
    masks = np.zeros(image.data.shape, np.uint8)
    labels = person.viewer.add_labels(masks, name="mine", scale=scale, units=unit)
    assert lies_on(labels, image) == lies_there
    person.dock.layers_panel.labels_box.value = labels
    assert (person.controller.binding is not None) == lies_there
    assert (labels.units == image.units) == lies_there
    if not lies_there:
        assert "'mine' lies elsewhere than the image 'image': their scale, units" in person.message
    else:
        np.testing.assert_array_equal(labels.scale, image.scale)


def test_a_persons_own_boxes_are_found_where_they_are_seen_beside_a_picture_in_another_unit():
    viewer = ViewerModel()
    scan = viewer.add_image(np.zeros((5, 40, 40)), scale=(2, 1, 1), units="mm")
    viewer.add_image(np.zeros((5, 40, 40)), scale=(2000, 1000, 1000), units="um")
    boxes = viewer.add_shapes(ndim=3, units="um")  # as napari's own button makes them
    corners = [(10, 10), (10, 20), (20, 20), (20, 10)]
    vertices = np.array([(4000, 1000 * y, 1000 * x) for y, x in corners])
    np.testing.assert_allclose(
        seen(boxes, vertices, scan, (2,)), [(2, *corner) for corner in corners]
    )
