"""Where the pixels of images lie."""

import numpy as np
import pytest

from napari_sam_adapter.data.geometry import Geometry, shown_order, slider_axis, unit_named

# Voxels of 2 x 3 x 4 mm, turned by a quarter about the vertical axis: i goes forward, j left.
TURNED = np.array([[0, -3, 0, 10], [2, 0, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((1, 1, 1), 2),
        ((0.5, 0.5, 3), 2),
        ((3, 0.5, 0.5), 0),
        ((0.5, 3, 0.5), 1),
        ((1.5, 1, 1), 2),
        ((1.51, 1, 1), 0),
        ((3, 2.9, 1), 2),
    ],
)
def test_the_slider_walks_along_clearly_the_coarsest_axis_else_the_third(spacing, expected):
    assert slider_axis(spacing, (20, 30, 40)) == expected


def test_the_slider_walks_along_an_axis_of_one_voxel_whatever_its_size():
    assert slider_axis((1, 1, 1), (20, 1, 40)) == 1
    assert slider_axis((1, 1, 9), (1, 1, 40)) == 2


@pytest.mark.parametrize(
    ("n_axes", "slider", "expected"),
    [(2, 2, (1, 0)), (3, 2, (2, 1, 0)), (3, 0, (0, 2, 1)), (3, 1, (1, 2, 0)), (4, 0, (3, 0, 2, 1))],
)
def test_axes_are_shown_in_reverse_with_the_slider_before_the_slice(n_axes, slider, expected):
    assert shown_order(n_axes, slider) == expected


def test_a_pixel_is_found_in_the_patient_by_its_index_as_shown():
    geometry = Geometry.of_affine((5, 6, 7), TURNED, (2, 1, 0))
    assert geometry.shape == (7, 6, 5)
    assert geometry.spacing == (4, 3, 2)
    np.testing.assert_allclose(geometry.in_patient((0, 0, 0)), (10, 20, 30))
    # z, y, x = 1, 2, 3 is i = 3, j = 2, k = 1.
    np.testing.assert_allclose(geometry.in_patient((1, 2, 3)), (10 - 6, 20 + 6, 34))


def test_the_origin_is_where_the_first_pixel_lies_along_the_images_own_axes():
    geometry = Geometry.of_affine((5, 6, 7), TURNED, (2, 1, 0))
    # k is up: 30. j is to the left, where 10 to the right is -10. i is forward: 20.
    np.testing.assert_allclose(geometry.origin, (30, -10, 20))


def test_a_mask_that_is_shifted_turned_or_mirrored_does_not_lie_on_its_image():
    image = Geometry.of_affine((5, 6, 7), TURNED, (2, 1, 0))
    nearly, shifted, mirrored = TURNED.copy(), TURNED.copy(), TURNED.copy()
    nearly[:3, 3] += 1e-4
    shifted[2, 3] += 4
    mirrored[:, 0] *= -1
    assert image.lies_on(Geometry.of_affine((5, 6, 7), nearly, (2, 1, 0)))
    for other in (shifted, mirrored):
        assert not image.lies_on(Geometry.of_affine((5, 6, 7), other, (2, 1, 0)))
    assert not image.lies_on(Geometry.of_affine((5, 6, 8), TURNED, (2, 1, 0)))


def test_without_a_place_only_the_shape_counts():
    image = Geometry.of_affine((5, 6, 7), TURNED, (2, 1, 0))
    assert image.lies_on(Geometry.of_steps((7, 6, 5)))
    assert not image.lies_on(Geometry.of_steps((7, 6, 4)))


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        *((name, "um") for name in ("micrometer", "micron", "µm", "um")),
        *(("mm", "mm"), ("millimeter", "mm"), ("second", "s")),
        *((name, "pixel") for name in ("pixel", "furlong", "", None)),
    ],
)
def test_units_are_known_by_several_spellings_and_else_are_pixels(spelled, expected):
    assert unit_named(spelled) == expected


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_that_is_no_size_counts_as_one_pixel(size):
    geometry = Geometry.of_steps((8, 9), spacing=(size, 0.5), units=("mm", "mm"))
    assert (geometry.spacing, geometry.units) == ((1.0, 0.5), ("pixel", "mm"))


def test_surfaces_are_measured_only_where_all_axes_are_lengths_of_one_unit():
    lengths = Geometry.of_steps((4, 8, 9), "zyx", (3, 1, 1), ("mm",) * 3)
    assert lengths.surface_spacing() == (3, 1, 1)
    assert (
        Geometry.of_steps((4, 8, 9), "tyx", (3, 1, 1), ("s", "mm", "mm")).surface_spacing() is None
    )
    assert Geometry.of_steps((8, 9)).surface_spacing() is None


@pytest.mark.parametrize(
    ("spacing", "units", "expected"),
    [
        ((3, 1, 0.5), ("mm", "mm", "mm"), (3, 1, 0.5)),
        ((3, 1, 0.5), ("pixel", "pixel", "pixel"), (3, 1, 0.5)),
        ((0.002, 0.5, 0.5), ("mm", "um", "um"), (0.002, 0.0005, 0.0005)),
        ((300, 0.3, 0.4), ("s", "um", "um"), (0.3, 0.3, 0.4)),
        ((1, 0.3, 0.4), ("pixel", "um", "um"), (0.3, 0.3, 0.4)),
    ],
)
def test_a_voxels_sizes_are_in_one_unit_and_what_is_no_length_counts_as_a_pixel(
    spacing, units, expected
):
    assert Geometry.of_steps((4, 8, 9), "zyx", spacing, units).voxel_size(0) == pytest.approx(
        expected
    )


def test_moments_are_a_pixel_apart_whatever_scale_was_typed():
    film = Geometry.of_steps((2, 9, 8, 9), "ctyx", (1, 300, 0.3, 0.3))
    assert film.voxel_size(1, is_time=True) == (0.3, 0.3, 0.3)


def test_a_value_per_axis_is_expected():
    with pytest.raises(ValueError, match="one value per axis"):
        Geometry((8, 9), ("y", "x"), (1.0,), ("mm", "mm"), (0.0, 0.0), (1, 0))
