"""Slices predicted with the help of what lies around them; pixel values stand for logits."""

from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import SliceSource
from napari_sam_adapter.volumes.volume_help import VolumeHelp, predict_helped

SIDE = 16


class Model:
    """One class; the logits are the pixels. Remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, image):
        self.asked.append(image.shape[:2])
        return image[None].astype(np.float32)


def volume_of(*logits):
    """A volume whose left half has a given logit in each slice, the right half the opposite."""
    volume = np.zeros((len(logits), SIDE, SIDE), np.float32)
    volume[:] = np.reshape(logits, (-1, 1, 1))
    volume[..., SIDE // 2 :] *= -1
    return volume


def predicted(volume, help_, indices=None, model=None, axes="", **options):
    source = SliceSource(volume, is_colour=False, axes=axes)
    indices = list(source.indices()) if indices is None else indices
    return dict(predict_helped(source, indices, model or Model(), 1, help_, **options))


def left_is_marked(found):
    return {z: bool(labels[0, 0]) for (z,), labels in found.items()}


def test_without_help_each_slice_speaks_for_itself():
    found = predicted(volume_of(2, -2, 2), VolumeHelp())
    assert left_is_marked(found) == {0: True, 1: False, 2: True}


def test_smoothing_lets_the_neighbours_outvote_a_slice_and_asks_for_each_once():
    model = Model()
    found = predicted(volume_of(2, 2, -2, 2, 2), VolumeHelp(smooth=1.0), model=model)
    assert all(left_is_marked(found).values())
    assert len(model.asked) == 5


def test_smoothing_averages_probabilities_so_that_one_sure_slice_does_not_win():
    found = predicted(volume_of(1, 1, -30, 1, 1), VolumeHelp(smooth=1.0))
    assert left_is_marked(found)[1]


def test_one_slice_is_smoothed_as_in_the_whole_volume():
    volume = np.random.default_rng(0).normal(size=(12, SIDE, SIDE)).astype(np.float32)
    whole = predicted(volume, VolumeHelp(smooth=0.7))
    for index in ((0,), (5,), (11,)):
        assert np.array_equal(
            predicted(volume, VolumeHelp(smooth=0.7), [index])[index], whole[index]
        )


def test_slices_from_the_middle_on_and_around_the_end_are_all_predicted():
    volume = volume_of(*[1] * 6)
    order = [(z,) for z in (4, 5, 0, 1, 2, 3)]
    found = predicted(volume, VolumeHelp(smooth=0.5), order)
    assert list(found) == order


def test_a_slice_without_contrast_has_no_say_and_no_mask():
    volume = volume_of(2, 2, 2)
    volume[1] = 0
    found = predicted(volume, VolumeHelp(smooth=1.0))
    assert isinstance(found[(1,)], ImageError)
    assert found[(0,)][0, 0] == 1


def test_known_slices_are_kept_and_tell_their_neighbours():
    volume = volume_of(-3, -3, -3, -3)
    known = np.zeros((SIDE, SIDE), np.uint8)
    known[:, : SIDE // 2] = 1
    found = predicted(volume, VolumeHelp(known={(0,): known}))
    assert np.array_equal(found[(0,)], known)
    assert left_is_marked(found) == {0: True, 1: True, 2: False, 3: False}


def test_slices_of_another_line_tell_nothing():
    volume = np.stack([volume_of(-1, -1)] * 2)
    known = np.ones((SIDE, SIDE), np.uint8)
    found = predicted(volume, VolumeHelp(known={(0, 0): known}))
    assert found[(0, 1)][0, 0] == 1
    assert found[(1, 1)][0, 0] == 0


def test_tiles_give_what_the_whole_gives_and_read_windows_only():
    picture = np.random.default_rng(0).normal(size=(100, 130)).astype(np.float32)

    class Windows:
        shape, dtype, read = picture.shape, picture.dtype, []

        def __getitem__(self, key):
            self.read.append(picture[key].shape)
            return picture[key]

    model = Model()
    source = SliceSource(Windows(), is_colour=False)
    (found,) = predict_helped(source, [()], model, 1, VolumeHelp(tile=40))
    assert np.array_equal(found[1], picture > 0)
    assert set(model.asked) == {(40, 40)}
    assert set(Windows.read) == {(40, 40)}


def test_a_slice_whose_tiles_are_all_without_contrast_has_no_mask():
    volume = np.random.default_rng(0).normal(size=(3, 40, 48)).astype(np.float32)
    volume[0] = 7
    volume[2, :, 10:] = 7
    found = predicted(volume, VolumeHelp(tile=16))
    assert isinstance(found[0,], ImageError)
    assert "same value" in str(found[0,])
    assert [found[z,].shape for z in (1, 2)] == [(40, 48)] * 2


def test_pictures_that_are_no_larger_than_a_tile_are_predicted_whole():
    model = Model()
    predicted(volume_of(1, 1), VolumeHelp(tile=SIDE), model=model)
    assert model.asked == [(SIDE, SIDE)] * 2


def test_three_axes_ask_for_the_slices_of_all_directions():
    model = Model()
    volume = np.random.default_rng(0).normal(size=(10, SIDE, SIDE)).astype(np.float32)
    found = predicted(volume, VolumeHelp(three_axes=True, spacing=(1, 1, 1)), model=model)
    assert len(model.asked) == 10 + 2 * SIDE
    for (z,), labels in found.items():
        assert np.mean(labels == (volume[z] > 0)) > 0.99  # half precision rounds


def test_a_picture_has_no_neighbours():
    with pytest.raises(ImageError, match="no neighbouring slices"):
        predicted(volume_of(1)[0], VolumeHelp(smooth=1.0))


def test_nothing_is_read_after_a_stop():
    model = Model()
    done = []
    source = SliceSource(volume_of(1, 1, 1), is_colour=False)
    for index, _ in predict_helped(
        source, [(0,), (1,), (2,)], model, 1, VolumeHelp(), lambda: len(done) > 0
    ):
        done.append(index)
    assert done == [(0,)]
    assert len(model.asked) == 1


class Counted(SliceSource):
    def __init__(self, volume):
        super().__init__(volume, is_colour=False)
        self.n_read = 0

    def read(self, index):
        self.n_read += 1
        return super().read(index)


def test_three_axes_stop_while_the_volume_is_read():
    source, model = Counted(volume_of(*[1] * 10)), Model()
    found = predict_helped(
        source, [(0,), (1,)], model, 1, VolumeHelp(three_axes=True), lambda: source.n_read > 3
    )
    assert list(found) == []
    assert source.n_read == 4
    assert model.asked == []


@pytest.mark.parametrize(("axes", "n_held"), [("czyx", 1), ("zcyx", 3)])
def test_three_axes_that_do_not_fit_into_memory_are_refused_before_anything_is_read(
    monkeypatch, axes, n_held
):
    shape = (3, 12, SIDE, SIDE) if axes == "czyx" else (12, 3, SIDE, SIDE)
    needed = 12 * SIDE * SIDE * (4 + 2 * n_held)  # pixels, and the logits of a class
    source = SliceSource(np.ones(shape, np.float32), is_colour=False, axes=axes)
    indices, free = list(source.indices()), SimpleNamespace(available=needed)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    found = predict_helped(source, indices, Model(), 1, VolumeHelp(three_axes=True))
    assert next(found)[0] == indices[0]
    free.available -= 1
    volumes = "a volume" if n_held == 1 else "3 volumes"
    with pytest.raises(ImageError, match=f"for {volumes} of 12 x 16 x 16 voxels"):
        next(predict_helped(source, indices, Model(), 1, VolumeHelp(three_axes=True)))


def test_what_keeps_a_volume_from_three_axes_is_found_out_once():
    source, model = Counted(volume_of(1, 1, 1)), Model()
    indices = list(source.indices())
    found = dict(predict_helped(source, indices, model, 1, VolumeHelp(three_axes=True)))
    assert all("too thin" in str(error) for error in found.values())
    assert len(found) == source.n_read == 3
    assert model.asked == []


def bright_and_dark(*logits):
    """Two channels (Z, C, Y, X) of a volume: one says the opposite of the other."""
    bright = volume_of(*logits)
    return np.stack([bright, -bright], axis=1)


def test_smoothing_goes_along_the_depth_and_never_mixes_channels():
    model = Model()
    help_ = VolumeHelp(smooth=1.0)
    volume = bright_and_dark(2, 2, -2, 2, 2)
    found = predicted(volume, help_, model=model, axes="zcyx")
    for channel in (0, 1):
        alone = predicted(volume[:, channel], help_)
        for z in range(5):
            assert np.array_equal(found[z, channel], alone[(z,)])
    assert len(model.asked) == 10
    assert list(found) == list(np.ndindex(5, 2))  # a file is written in this order


def test_corrected_slices_are_heeded_along_the_depth_in_their_own_channel_only():
    known = np.zeros((SIDE, SIDE), np.uint8)
    known[:, : SIDE // 2] = 1
    help_ = VolumeHelp(known={(1, 0): known})
    found = predicted(bright_and_dark(-1, -1, -1), help_, axes="zcyx")
    assert [bool(found[z, 0][0, 0]) for z in range(3)] == [True] * 3
    assert [bool(found[z, 1][0, 0]) for z in range(3)] == [True] * 3
    assert [bool(found[z, 1][0, -1]) for z in range(3)] == [False] * 3
    found = predicted(-bright_and_dark(-1, -1, -1), help_, axes="zcyx")
    assert [bool(found[z, 1][0, 0]) for z in range(3)] == [False] * 3


def test_three_axes_fuse_space_and_predict_each_channel_once():
    model = Model()
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(10, 2, SIDE, SIDE)).astype(np.float32)
    found = predicted(volume, VolumeHelp(three_axes=True), model=model, axes="zcyx")
    assert len(model.asked) == 2 * (10 + 2 * SIDE)
    for index, labels in found.items():
        assert np.mean(labels == (volume[index] > 0)) > 0.99


def test_channels_alone_are_no_neighbours():
    volume = bright_and_dark(1)[0]
    with pytest.raises(ImageError, match="only slider goes along channels"):
        predicted(volume, VolumeHelp(smooth=1.0), axes="cyx")
    assert len(predicted(volume, VolumeHelp(tile=SIDE - 4), axes="cyx")) == 2
