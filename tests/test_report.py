"""The contact sheet."""

import numpy as np
import pytest
from PIL import Image

from napari_sam_adapter.errors import StorageError
from napari_sam_adapter.report import (
    MASK_COLOUR,
    TRUTH_COLOUR,
    SheetRow,
    as_rgb,
    outlined,
    write_contact_sheet,
)

RAMP = np.linspace(-3, 7, 40 * 60).reshape(40, 60)
MASK = np.zeros((40, 60), bool)
MASK[10:30, 20:50] = True


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == np.array(colour)).all(axis=-1).sum())


def row(name: str = "frame", image: np.ndarray = RAMP) -> SheetRow:
    return SheetRow(name, image, [("before", MASK), ("after", MASK)], MASK)


def test_a_sheet_shows_masks_and_truth_in_their_colours(tmp_path):
    write_contact_sheet(tmp_path / "sheet.png", "title", ("a", "b", "c", "d"), [row(), row()])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert count(sheet, MASK_COLOUR) == pytest.approx(2 * count(sheet, TRUTH_COLOUR), rel=0.01)
    assert count(sheet, TRUTH_COLOUR) > 0


def test_every_row_makes_the_sheet_longer(tmp_path):
    heights = []
    for n_rows in (1, 2, 3):
        write_contact_sheet(tmp_path / "sheet.png", "title", ("a",), [row()] * n_rows)
        heights.append(Image.open(tmp_path / "sheet.png").height)
    assert heights[2] - heights[1] == heights[1] - heights[0] > 0


@pytest.mark.parametrize("image", [RAMP, RAMP.astype(np.float32), (RAMP * 900).astype(np.int16)])
def test_any_values_are_stretched_to_black_and_white(image):
    found = as_rgb(image)
    assert (found.dtype, found.shape) == (np.uint8, (40, 60, 3))
    assert (found.min(), found.max()) == (0, 255)


def test_an_8_bit_picture_is_shown_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(as_rgb(picture), picture)


def test_nan_pixels_and_constant_images_can_be_shown():
    for image in (np.where(RAMP > 0, RAMP, np.nan), np.full((9, 8), 4.0)):
        assert as_rgb(image).dtype == np.uint8


def test_an_outline_lies_on_the_masks_edge_and_nowhere_else():
    picture = as_rgb(RAMP)
    found = outlined(picture, MASK, MASK_COLOUR)
    np.testing.assert_array_equal(found[~MASK], picture[~MASK])
    for edge in (found[10, 20:50], found[29, 20:50], found[10:30, 20], found[10:30, 49]):
        assert count(edge[None], MASK_COLOUR) == len(edge)


def test_the_picture_itself_is_left_alone_by_its_outline():
    picture = as_rgb(RAMP)
    before = picture.copy()
    outlined(picture, MASK, MASK_COLOUR)
    np.testing.assert_array_equal(picture, before)


def test_a_sheet_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        write_contact_sheet(tmp_path / "file" / "sheet.png", "title", ("a",), [row()])
