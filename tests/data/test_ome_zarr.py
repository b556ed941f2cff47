"""OME-Zarr images: all sizes, spacing and units, and nothing read that is not looked at."""

import json

import numpy as np
import pytest

from napari_sam_adapter.data.ome_zarr import is_ome_zarr, open_ome_zarr
from napari_sam_adapter.errors import ImageError

zarr = pytest.importorskip("zarr")

RNG = np.random.default_rng(0)
VOLUME = RNG.integers(0, 1000, (4, 16, 20), dtype=np.uint16)
needs_zarr_3 = pytest.mark.skipif(zarr.__version__.startswith("2"), reason="0.5 needs zarr 3")
VERSIONS = pytest.mark.parametrize(
    "version", ["0.4", pytest.param("0.5", marks=needs_zarr_3)], ids="OME-Zarr {}".format
)


def axes(names):
    kinds = {"t": ("time", "second"), "c": ("channel", None)}
    for name in names:
        kind, unit = kinds.get(name, ("space", "micrometer"))
        yield {"name": name, "type": kind, **({"unit": unit} if unit else {})}


def saved(path, levels, names, scale, version="0.4", **more):
    """Write an image as the specification has it: 0.4 on zarr 2, 0.5 on zarr 3."""
    is_new = version == "0.5"
    options = {} if zarr.__version__.startswith("2") else {"zarr_format": 3 if is_new else 2}
    group = zarr.open_group(str(path), mode="w", **options)
    datasets = []
    for number, level in enumerate(levels):
        create = getattr(group, "create_array", group.create_dataset)
        create(str(number), data=level, chunks=(*(1,) * (level.ndim - 2), 8, 8))
        named = zip(names, scale, strict=True)
        steps = [size * 2**number if name in "yx" else size for name, size in named]
        transform = [{"type": "scale", "scale": steps}]
        datasets.append({"path": str(number), "coordinateTransformations": transform})
    image = {"axes": list(axes(names)), "datasets": datasets, **more}
    multiscales = {"multiscales": [image]}
    group.attrs.update({"ome": {"version": version, **multiscales}} if is_new else multiscales)
    return path


@VERSIONS
def test_all_sizes_are_kept_with_spacing_and_units(tmp_path, version):
    levels = [VOLUME, VOLUME[:, ::2, ::2], VOLUME[:, ::4, ::4]]
    path = saved(tmp_path / "a.ome.zarr", levels, "zyx", (2.0, 0.5, 0.25), version)
    image = open_ome_zarr(path)
    assert [level.shape for level in image.levels] == [(4, 16, 20), (4, 8, 10), (4, 4, 5)]
    for found, level in zip(image.levels, levels, strict=True):
        np.testing.assert_array_equal(found[2], level[2])
    assert image.geometry.axes == ("z", "y", "x")
    assert image.geometry.spacing == (2, 0.5, 0.25)
    assert image.geometry.units == ("um",) * 3


@VERSIONS
def test_axes_of_a_single_time_channel_or_plane_are_left_out(tmp_path, version):
    path = saved(tmp_path / "a.zarr", [VOLUME[None, None]], "tczyx", (5, 1, 2, 0.5, 0.5), version)
    image = open_ome_zarr(path)
    assert image.data.shape == image.geometry.shape == (4, 16, 20)
    np.testing.assert_array_equal(image.data, VOLUME)
    np.testing.assert_array_equal(image.data[..., 3:5, -1], VOLUME[..., 3:5, -1])
    flat = saved(tmp_path / "flat.zarr", [VOLUME[None, :1]], "czyx", (1, 2, 0.5, 0.5), version)
    np.testing.assert_array_equal(open_ome_zarr(flat).data, VOLUME[0])


def test_times_and_channels_come_before_the_slices(tmp_path):
    data = np.stack([VOLUME, VOLUME + 1, VOLUME + 2]).reshape(3, 1, 4, 16, 20)
    image = open_ome_zarr(saved(tmp_path / "a.zarr", [data], "tczyx", (5, 1, 2, 0.5, 0.5)))
    assert image.geometry.axes == ("t", "z", "y", "x")
    assert image.geometry.units == ("s", "um", "um", "um")
    np.testing.assert_array_equal(image.data[2, 1], VOLUME[1] + 2)


def test_transformations_of_the_whole_image_count_too(tmp_path):
    whole = [
        {"type": "scale", "scale": [2, 2, 2]},
        {"type": "translation", "translation": [1, 0, 7]},
    ]
    path = saved(tmp_path / "a.zarr", [VOLUME], "zyx", (3, 1, 1), coordinateTransformations=whole)
    geometry = open_ome_zarr(path).geometry
    assert (geometry.spacing, geometry.origin) == ((6, 2, 2), (1, 0, 7))


def test_the_first_image_of_a_converted_file_is_opened(tmp_path):
    saved(tmp_path / "a.zarr" / "0", [VOLUME], "zyx", (2, 1, 1))
    (tmp_path / "a.zarr" / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    np.testing.assert_array_equal(open_ome_zarr(tmp_path / "a.zarr").data, VOLUME)


def test_a_plain_array_is_pixels(tmp_path):
    zarr.save_array(str(tmp_path / "a.zarr"), VOLUME)
    image = open_ome_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image.data, VOLUME)
    assert image.geometry.units == ("pixel",) * 3


def test_a_group_without_an_image_is_refused(tmp_path):
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    with pytest.raises(ImageError, match="holds no OME-Zarr image"):
        open_ome_zarr(tmp_path / "a.zarr")


def test_a_broken_folder_is_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / ".zgroup").write_text("nonsense")
    with pytest.raises(ImageError, match="could not be read as OME-Zarr"):
        open_ome_zarr(tmp_path / "a.zarr")


def test_zarr_folders_are_told_from_others(tmp_path):
    (tmp_path / "pictures").mkdir()
    assert not is_ome_zarr(tmp_path / "pictures")
    saved(tmp_path / "image", [VOLUME], "zyx", (2, 1, 1))
    assert is_ome_zarr(tmp_path / "image")


def test_without_zarr_a_sentence_tells_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(ImageError, match=r'pip install "napari-sam-adapter\[volumes\]"'):
        open_ome_zarr(tmp_path)
