"""``predict`` with the help of neighbours, other axes and tiles."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.predict import predict_masks
from tests.cli.test_cli import run


@pytest.fixture(scope="module")
def pages():
    return synthetic_polyps(4, (50, 70), seed=1).frames[..., 0].copy()


@pytest.fixture
def stack(tmp_path, pages):
    tifffile.imwrite(tmp_path / "stack.tif", pages)
    return tmp_path / "stack.tif"


def masks(tmp_path, image, *options):
    assert run("predict", image, "--out", tmp_path / "out", *options) == 0
    return tifffile.imread(tmp_path / "out" / f"{image.stem}.tif")


def test_smoothing_averages_the_probabilities_of_neighbouring_slices(
    stack, pages, tmp_path, lite_medsam
):
    found = masks(tmp_path, stack, "--smooth", 0.3)  # reaches one slice to either side
    maps = np.stack([predict_masks(lite_medsam, page).probabilities()[0] for page in pages])
    weight = np.exp(-0.5 / 0.3**2)
    mean = (maps[1] + weight * (maps[0] + maps[2])) / (1 + 2 * weight)
    assert np.array_equal(found[1] != 0, mean > 0.5)


def test_three_axes_write_a_mask_of_the_volume(tmp_path):
    volume = np.random.default_rng(0).integers(0, 255, (8, 10, 12)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "volume.tif", volume)
    assert masks(tmp_path, tmp_path / "volume.tif", "--three-axes").shape == volume.shape


def test_corrected_slices_are_kept_and_heeded(stack, tmp_path):
    corrected = np.zeros((4, 50, 70), np.uint8)
    corrected[1, 10:20, 10:20] = 1
    tifffile.imwrite(tmp_path / "mine.tif", corrected)
    found = masks(tmp_path, stack, "--corrected", tmp_path / "mine.tif")
    assert np.array_equal(found[1], corrected[1])
    alone = masks(tmp_path, stack)
    assert not np.array_equal(found[2], alone[2])


def test_large_pictures_are_predicted_in_tiles(tmp_path, pages, lite_medsam):
    picture = np.tile(pages[0], (2, 2))
    Image.fromarray(picture).save(tmp_path / "large.png")
    found = masks(tmp_path, tmp_path / "large.png", "--tile", 64)
    assert found.shape == picture.shape
    corner = predict_masks(lite_medsam, picture[:64, :64]).labels
    assert np.array_equal(found[:32, :32], corner[:32, :32])


def test_what_does_not_fit_ends_in_a_sentence(stack, tmp_path, pages, capsys):
    Image.fromarray(pages[0]).save(tmp_path / "one.png")
    out = ("--out", tmp_path / "out")
    assert run("predict", tmp_path / "one.png", *out, "--three-axes") == 2
    assert "one.png: --three-axes is for volumes. It is a single" in capsys.readouterr().err
    assert run("predict", stack, *out, "--smooth", 1, "--confidence", tmp_path / "a.csv") == 2
    assert "leave out --smooth" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "none.tif", np.zeros((4, 50, 70), np.uint8))
    assert run("predict", stack, *out, "--corrected", tmp_path / "none.tif") == 2
    assert "Nothing is marked in none.tif" in capsys.readouterr().err


def imagej(path, array, axes):
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes})
    return path


def test_smoothing_goes_along_z_of_an_imagej_stack_and_leaves_its_channels_apart(pages, tmp_path):
    channels = np.stack([pages, 255 - pages], axis=1)
    both = masks(tmp_path, imagej(tmp_path / "zc.tif", channels, "ZCYX"), "--smooth", 0.5)
    for channel in range(2):
        alone = imagej(tmp_path / f"{channel}.tif", channels[:, channel].copy(), "ZYX")
        assert np.array_equal(both[:, channel], masks(tmp_path, alone, "--smooth", 0.5))


def test_corrected_slices_are_heeded_along_z_in_their_channel(pages, tmp_path):
    channels = np.stack([pages, pages], axis=1)
    image = imagej(tmp_path / "zc.tif", channels, "ZCYX")
    corrected = np.zeros(channels.shape, np.uint8)
    corrected[1, 0, 10:20, 10:20] = 1
    imagej(tmp_path / "mine.tif", corrected, "ZCYX")
    found = masks(tmp_path, image, "--corrected", tmp_path / "mine.tif")
    assert np.array_equal(found[1, 0], corrected[1, 0])
    alone = masks(tmp_path, image)
    assert not np.array_equal(found[2, 0], alone[2, 0])
    assert np.array_equal(found[:, 1], alone[:, 1])


def test_channels_alone_get_no_help_and_are_told(pages, tmp_path, capsys, caplog):
    image = imagej(tmp_path / "c.tif", pages[:2], "CYX")
    smoothed = masks(tmp_path, image, "--smooth", 1)
    assert "predicted without --smooth. The only slider goes along channels" in caplog.text
    assert np.array_equal(smoothed, masks(tmp_path, image))
    for option in (["--three-axes"], ["--corrected", tmp_path / "c.tif"]):
        assert run("predict", image, "--out", tmp_path / "out", *option) == 2
        err = " ".join(capsys.readouterr().err.split())
        assert f"c.tif: {option[0]} is for volumes. The only slider goes along channels" in err


def test_a_film_is_no_volume_to_be_seen_from_other_sides(pages, tmp_path, capsys):
    image = imagej(tmp_path / "film.tif", pages, "TYX")
    assert run("predict", image, "--out", tmp_path / "out", "--three-axes") == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "film.tif: --three-axes is for volumes. Neighbouring slices are moments of one" in err
    assert masks(tmp_path, image, "--smooth", 1).shape == pages.shape
