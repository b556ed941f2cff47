"""Large pictures, tile by tile."""

import numpy as np
import pytest

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.tiling import EMPTY_LOGIT, n_tiles, predict_tiles


class Lazy:
    """A picture that remembers how many pixels were read at a time."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.largest = data, data.shape, 0

    def __getitem__(self, place):
        part = self.data[place]
        self.largest = max(self.largest, part.shape[0] * part.shape[1])
        return part


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(150, 203)).astype(np.float32)


def by_pixel(image: np.ndarray) -> np.ndarray:
    """Predict from a pixel alone, wherever it is."""
    grey = image if image.ndim == 2 else image.mean(axis=-1)
    return np.stack([3 * grey, -(grey**2)]).astype(np.float32)


def by_tile(image: np.ndarray) -> np.ndarray:
    """Predict a smooth field that depends on the tile, as a model with context does."""
    rows, columns = np.indices(image.shape[:2])
    return (10 * np.sin(image.mean() * 40) + 0.02 * (rows - columns))[None].astype(np.float32)


def whole(picture, predict, n_classes, tile, overlap) -> np.ndarray:
    parts, next_row = [], 0
    for first_row, logits in predict_tiles(picture, predict, n_classes, tile, overlap):
        assert first_row == next_row
        parts.append(logits)
        next_row += logits.shape[1]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (64, 0), (64, 50), (149, 3), (8, 0)])
def test_a_predictor_that_knows_no_position_gives_exactly_the_untiled_result(
    picture, tile, overlap
):
    np.testing.assert_array_equal(whole(picture, by_pixel, 2, tile, overlap), by_pixel(picture))


@pytest.mark.parametrize("tile", [150, 203, 1000])
def test_a_picture_smaller_than_a_tile_is_predicted_plainly(picture, tile):
    small = picture[:, :150]
    np.testing.assert_array_equal(whole(small, by_tile, 1, tile, 20), by_tile(small))


def test_there_are_no_seams(picture):
    def largest_step(logits: np.ndarray) -> float:
        return max(np.abs(np.diff(logits, axis=axis)).max() for axis in (1, 2))

    picture = picture[:128, :192]  # which tiles of 64 fill without overlapping
    assert largest_step(whole(picture, by_tile, 1, 64, 0)) > 5
    # From one tile to the next it is 20 at most, over 32 pixels half a cosine at its steepest.
    assert largest_step(whole(picture, by_tile, 1, 64, 32)) < 20 * np.pi / 64 * 2 + 0.02


def test_where_only_one_tile_is_its_logits_are_untouched(picture):
    logits = whole(picture[:64, :112], by_tile, 1, 64, 16)
    np.testing.assert_array_equal(logits[..., :48], by_tile(picture[:64, :64])[..., :48])
    np.testing.assert_array_equal(logits[..., 64:], by_tile(picture[:64, 48:112])[..., 16:])


def test_a_lazy_picture_is_read_tile_by_tile(picture):
    lazy, calls = Lazy(picture), []

    def predict(image: np.ndarray) -> np.ndarray:
        calls.append(image.shape)
        return by_pixel(image)

    whole(lazy, predict, 2, 64, 16)
    assert lazy.largest == 64 * 64
    assert calls == [(64, 64)] * n_tiles(lazy.shape, 64, 16)


def test_rows_are_written_before_the_next_row_of_tiles_is_read(picture):
    tops = []

    class Watched(Lazy):
        def __getitem__(self, place):
            tops.append(place[0].start)
            return super().__getitem__(place)

    for first_row, _ in predict_tiles(Watched(picture), by_pixel, 2, 64, 16):
        assert max(tops) == first_row


def test_rows_that_were_given_away_do_not_change_any_more(picture):
    rows = [logits for _, logits in predict_tiles(picture, by_tile, 1, 64, 32)]
    copies = [logits.copy() for _, logits in predict_tiles(picture, by_tile, 1, 64, 32)]
    for row, copy in zip(rows, copies, strict=True):
        np.testing.assert_array_equal(row, copy)


def test_colour_pictures_are_cut_along_rows_and_columns_only(picture):
    colour = np.stack([picture, picture + 1, picture - 1], axis=-1)
    np.testing.assert_array_equal(whole(colour, by_pixel, 2, 64, 16), by_pixel(colour))


def test_a_tile_without_contrast_is_not_predicted_and_shows_nothing():
    picture = np.zeros((64, 128), np.uint8)
    picture[:, 100:] = np.arange(28)
    logits = whole(picture, by_pixel, 2, 64, 0)
    assert (logits[..., :64] == EMPTY_LOGIT).all()
    np.testing.assert_array_equal(logits[..., 64:], by_pixel(picture[:, 64:]))


@pytest.mark.parametrize(
    ("shape", "tile", "overlap", "message"),
    [
        ((64, 64), 4, 0, "at least 8 pixels"),
        ((64, 64), 32, 32, "0 to 31"),
        ((64, 64), 32, -1, "0 to 31"),
        ((5, 64, 64), 32, 8, "must be"),
    ],
)
def test_tiles_that_cannot_be_are_refused_before_anything_is_predicted(
    shape, tile, overlap, message
):
    with pytest.raises(ImageError, match=message):
        predict_tiles(np.zeros(shape), by_pixel, 1, tile, overlap)


def test_logits_of_another_shape_are_refused(picture):
    with pytest.raises(ImageError, match="expected"):
        whole(picture, by_pixel, 3, 64, 16)
