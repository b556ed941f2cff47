"""Distances between surfaces against MONAI, other code's values, and distances known by sight."""

import math

import numpy as np
import pytest

from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.metrics import surface
from napari_sam_adapter.metrics.surface import SurfaceScores, SurfaceSettings, surface_scores

needs_monai = pytest.mark.skipif(not surface.is_installed(), reason="needs the extra 'metrics'")

EMPTY = np.zeros((12, 14), bool)


def box(shape: tuple[int, ...], start: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return mask


def ellipsoids() -> tuple[np.ndarray, np.ndarray]:
    z, y, x = np.ogrid[:16, :24, :28]
    one = ((z - 8) / 5) ** 2 + ((y - 12) / 8) ** 2 + ((x - 13) / 9) ** 2 < 1
    other = ((z - 7) / 5) ** 2 + ((y - 13) / 7) ** 2 + ((x - 15) / 9) ** 2 < 1
    return one, other


def hausdorff95_by_definition(mask: np.ndarray, truth: np.ndarray, spacing) -> float:
    def border(one: np.ndarray) -> np.ndarray:
        padded = np.pad(one, 1)
        inner = one.copy()
        for axis in range(one.ndim):
            for step in (-1, 1):
                shifted = np.roll(padded, step, axis)
                inner &= shifted[(slice(1, -1),) * one.ndim]
        return np.argwhere(one & ~inner) * np.array(spacing)

    a, b = border(mask), border(truth)
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return max(np.percentile(distances.min(axis), 95) for axis in (0, 1))


@needs_monai
@pytest.mark.parametrize("spacing", [(3.0, 1.0, 0.5), (1.0, 1.0, 1.0)])
def test_the_distance_of_volumes_equals_its_definition(spacing):
    mask, truth = ellipsoids()
    found = surface_scores(mask, truth, SurfaceSettings(spacing)).hausdorff95
    assert found == pytest.approx(hausdorff95_by_definition(mask, truth, spacing), rel=1e-6)


@needs_monai
@pytest.mark.parametrize("spacing", [(3.0, 0.5), (1.0, 1.0)])
def test_the_distance_of_pictures_equals_its_definition(spacing):
    mask, truth = (one[8] for one in ellipsoids())
    found = surface_scores(mask, truth, SurfaceSettings(spacing)).hausdorff95
    assert found == pytest.approx(hausdorff95_by_definition(mask, truth, spacing), rel=1e-6)


@needs_monai
@pytest.mark.filterwarnings("ignore::FutureWarning:monai")
def test_scores_are_what_monai_answers():
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    mask, truth = ellipsoids()
    spacing, tolerance = (3.0, 1.0, 0.5), 1.0
    found = surface_scores(mask, truth, SurfaceSettings(spacing, tolerance))
    a, b = (torch.from_numpy(one)[None, None] for one in (mask, truth))
    distance = compute_hausdorff_distance(a, b, True, percentile=95, spacing=spacing)
    overlap = compute_surface_dice(a, b, [tolerance], True, spacing=spacing, use_subvoxels=True)
    assert found == SurfaceScores(float(distance), float(overlap))


@needs_monai
def test_the_surface_dice_is_that_of_deepminds_code():
    # Values of google-deepmind/surface-distance 0.1, which defines the measure.
    mask, truth = ellipsoids()
    volume = surface_scores(mask, truth, SurfaceSettings((3.0, 1.0, 0.5), 1.0))
    assert volume.surface_dice == pytest.approx(0.7178166079, rel=1e-6)
    picture = surface_scores(mask[8], truth[8], SurfaceSettings((1.0, 0.5), 0.5))
    assert picture.surface_dice == pytest.approx(0.3724161131, rel=1e-6)
    # And of its own tests: two voxels, two steps of 1 mm apart.
    voxels = (box((12, 12, 12), (5, 6, x), (1, 1, 1)) for x in (4, 6))
    found = surface_scores(*voxels, SurfaceSettings((3.0, 2.0, 1.0), 1.0))
    assert (found.hausdorff95, found.surface_dice) == (2.0, 0.5)


@needs_monai
@pytest.mark.parametrize(
    ("axis", "steps", "distance"), [(0, 1, 3.0), (0, 2, 6.0), (1, 4, 2.0), (2, 3, 6.0)]
)
def test_the_distance_of_a_shifted_box_is_the_shift_in_the_unit_of_the_spacing(
    axis, steps, distance
):
    start = [4, 5, 6]
    truth = box((20, 24, 26), tuple(start), (6, 8, 9))
    start[axis] += steps
    mask = box((20, 24, 26), tuple(start), (6, 8, 9))
    settings = SurfaceSettings((3.0, 0.5, 2.0), distance)
    assert surface_scores(mask, truth, settings).hausdorff95 == pytest.approx(distance)
    assert surface_scores(mask, truth, settings).surface_dice == 1.0


@needs_monai
def test_one_pixel_is_forgiven_unless_told_otherwise():
    truth, mask = box((20, 20), (5, 5), (8, 8)), box((20, 20), (6, 5), (8, 8))
    assert surface_scores(mask, truth).surface_dice == 1.0
    assert surface_scores(mask, truth, SurfaceSettings((0.1, 0.1))).surface_dice == 1.0
    assert surface_scores(mask, truth, SurfaceSettings(None, 0.5)).surface_dice < 1.0


@needs_monai
def test_an_object_at_the_border_of_the_image_agrees_with_itself():
    truth = box((12, 14), (0, 0), (12, 5))
    assert surface_scores(truth, truth) == SurfaceScores(0.0, 1.0)


def test_two_empty_masks_agree_perfectly():
    assert surface_scores(EMPTY, EMPTY) == SurfaceScores(0.0, 1.0)


@pytest.mark.parametrize("full", [~EMPTY, box((12, 14), (3, 3), (2, 2))])
def test_nothing_has_no_distance_from_something_and_shares_no_surface_with_it(full):
    for pair in ((EMPTY, full), (full, EMPTY)):
        found = surface_scores(*pair)
        assert math.isnan(found.hausdorff95)
        assert found.surface_dice == 0.0


@pytest.mark.parametrize(
    ("spacing", "tolerance", "message"),
    [
        ((1.0, 0.0), None, "positive number, got 1,0"),
        ((1.0, -2.0), None, "positive number, got 1,-2"),
        ((math.nan, 1.0), None, "positive number"),
        ((math.inf, 1.0), None, "positive number"),
        (None, -1.0, "0 or more, got -1"),
        (None, math.nan, "0 or more, got nan"),
    ],
)
def test_what_cannot_be_a_distance_is_refused(spacing, tolerance, message):
    with pytest.raises(EvaluationError, match=message):
        SurfaceSettings(spacing, tolerance)


def test_a_spacing_for_other_axes_is_refused_with_what_is_expected():
    with pytest.raises(EvaluationError, match=r"3,1,1 has 3 values; expected two values, Y,X"):
        surface_scores(EMPTY, EMPTY, SurfaceSettings((3.0, 1.0, 1.0)))
    volume = np.zeros((3, 4, 5), bool)
    with pytest.raises(EvaluationError, match=r"1,1 has 2 values; expected three, Z,Y,X"):
        surface_scores(volume, volume, SurfaceSettings((1.0, 1.0)))


def test_without_the_library_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setattr(surface, "is_installed", lambda: False)
    with pytest.raises(EvaluationError, match=r"pip install 'napari-sam-adapter\[metrics\]'"):
        surface_scores(~EMPTY, ~EMPTY)
