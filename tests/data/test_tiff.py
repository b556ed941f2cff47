"""TIFF files, page by page, with the sizes of OME and ImageJ."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from napari_sam_adapter.data.export import export_masks
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import LazyStack
from napari_sam_adapter.data.tiff import named_axes, open_tiff
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.volumes.slice_source import SliceSource

RNG = np.random.default_rng(0)
VOLUME = RNG.integers(0, 1000, (4, 16, 20), dtype=np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_only_the_page_that_is_looked_at_is_read(tmp_path, compression, monkeypatch):
    options = {"compression": compression, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", VOLUME, **options)
    data = open_tiff(tmp_path / "a.tif").data

    def refuse(*_, **__):
        pytest.fail("the whole file was read")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", refuse)
    np.testing.assert_array_equal(data[2], VOLUME[2])
    np.testing.assert_array_equal(data, VOLUME)


LAYOUTS = [{"tile": (16, 32)}, {"rowsperstrip": 7}, {}]
PACKINGS = [
    {},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw", "byteorder": ">", "bigtiff": True},
]


@pytest.mark.parametrize("n_colours", [0, 3, 4], ids=["grey", "colour", "opacity"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_a_window_of_a_page_is_that_part_of_it(tmp_path, n_colours, layout, packing):
    pages = RNG.integers(0, 60000, (2, 45, 70, n_colours or 1), dtype=np.uint16)
    pages = pages if n_colours else pages[..., 0]
    photometric = "rgb" if n_colours else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric=photometric, **layout, **packing)
    data, expected = open_tiff(tmp_path / "a.tif").data, pages[..., :3] if n_colours else pages
    for rows, columns in [((16, 32), (32, 64)), ((3, 44), (1, 69)), ((44, 99), (69, 99))]:
        key = (1, slice(*rows), slice(*columns))
        np.testing.assert_array_equal(data[key], expected[key])


def test_tiles_in_jpeg_and_tiles_that_the_file_leaves_out_are_part_of_a_window(tmp_path):
    smooth = np.add.outer(np.arange(96), np.arange(128)).astype(np.uint8)[..., None].repeat(3, -1)
    options = {"photometric": "rgb", "tile": (32, 32)}
    tifffile.imwrite(tmp_path / "jpeg.tif", smooth, compression="jpeg", **options)
    tiles = [smooth[:32, :32], *[None] * 11]
    tifffile.imwrite(tmp_path / "no.tif", iter(tiles), shape=smooth.shape, dtype="u1", **options)
    for name in ("jpeg.tif", "no.tif"):
        data = open_tiff(tmp_path / name).data
        np.testing.assert_array_equal(data[20:70, 40:99], data[...][20:70, 40:99])
        assert data[20:70, 40:99].any() == (name == "jpeg.tif")


def write_ome_files(folder, slices, listed, **options):
    """Write each slice into a file of its own; each says that the image is the listed ones."""
    n = f'SizeZ="{len(listed)}" SizeC="1" SizeT="1" SizeY="{slices.shape[1]}"'
    n += f' SizeX="{slices.shape[2]}"'
    ids = [uuid.uuid5(uuid.NAMESPACE_OID, str(z)).urn for z in range(len(slices))]
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{at}" FirstC="0" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="{z}.ome.tif">{ids[z]}</UUID></TiffData>'
        for at, z in enumerate(listed)
    )
    for z, one in enumerate(slices):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[z]}">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {n}>'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        path = folder / f"{z}.ome.tif"
        tifffile.imwrite(path, one, description=text, metadata=None, ome=False, **options)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("packing", [{}, {"compression": "zlib"}], ids=str)
def test_each_slice_and_window_comes_from_the_file_that_it_lies_in(tmp_path, layout, packing):
    slices = RNG.integers(0, 60000, (3, 45, 70), dtype=np.uint16)
    write_ome_files(tmp_path, slices, (0, 1, 2), **layout, **packing)
    for opened in range(3):
        data = open_tiff(tmp_path / f"{opened}.ome.tif").data
        np.testing.assert_array_equal(data, slices)
        np.testing.assert_array_equal(data[:, 3:40, 20:66], slices[:, 3:40, 20:66])


@pytest.mark.parametrize("packing", [{}, {"compression": "zlib"}], ids=str)
def test_a_file_that_names_only_another_one_shows_that_one(tmp_path, packing):
    slices = RNG.integers(0, 60000, (2, 45, 70), dtype=np.uint16)
    write_ome_files(tmp_path, slices, (0,), **packing)
    data = open_tiff(tmp_path / "1.ome.tif").data
    np.testing.assert_array_equal(data, slices[0])
    np.testing.assert_array_equal(data[3:40, 20:66], slices[0, 3:40, 20:66])


def test_two_threads_read_two_sizes_of_one_file(tmp_path, monkeypatch):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        options = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
        writer.write(VOLUME, subifds=1, **options)
        writer.write(VOLUME[:, ::2, ::2], subfiletype=1, **options)
    segments = tifffile.FileHandle.read_segments

    def slowly(*arguments, **options):
        time.sleep(0.002)  # long enough for the other thread to come in between
        yield from segments(*arguments, **options)

    monkeypatch.setattr(tifffile.FileHandle, "read_segments", slowly)
    large, small = open_tiff(tmp_path / "a.tif").levels

    def read(level):
        return [level[z, : 1 + z] for _ in range(5) for z in range(4)]

    with ThreadPoolExecutor(2) as pool:
        for found, step in zip(pool.map(read, (large, small)), (1, 2), strict=True):
            for n, one in enumerate(found):
                z = n % 4
                np.testing.assert_array_equal(one, VOLUME[z, ::step, ::step][: 1 + z])


@pytest.mark.parametrize("layout", LAYOUTS[:2], ids=str)
def test_of_a_large_picture_only_what_a_window_touches_is_read(tmp_path, layout, monkeypatch):
    picture = RNG.integers(0, 255, (160, 320), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", picture, compression="zlib", **layout)
    source = SliceSource(open_tiff(tmp_path / "a.tif").data, is_colour=False)
    read, segments = [], tifffile.FileHandle.read_segments

    def count(self, offsets, *others):
        read.extend(offsets)
        return segments(self, offsets, *others)

    monkeypatch.setattr(tifffile.FileHandle, "read_segments", count)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("all was read"))
    window = slice(64, 96), slice(128, 160)
    np.testing.assert_array_equal(source.read_part((), window), picture[window])
    assert len(read) == (2 if "tile" in layout else 5)


def test_a_tiled_file_of_several_sizes_keeps_them(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        options = {"tile": (16, 16), "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5}}
        writer.write(VOLUME, subifds=1, **options)
        writer.write(VOLUME[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    image = open_tiff(tmp_path / "a.ome.tif")
    assert [level.shape for level in image.levels] == [(4, 16, 20), (4, 8, 10)]
    np.testing.assert_array_equal(image.levels[1][3], VOLUME[3, ::2, ::2])
    assert image.geometry.spacing == (1, 1, 0.5)
    assert image.geometry.units == ("pixel", "pixel", "um")


def test_pages_that_are_no_slices_are_read_all_the_same(tmp_path):
    planes = RNG.integers(0, 255, (2, 3, 16, 20), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", compression="zlib")
    np.testing.assert_array_equal(open_tiff(tmp_path / "a.tif").data, planes)


@pytest.mark.parametrize("n_channels", [2, 5])
def test_pixels_of_other_than_three_or_four_channels_are_named(tmp_path, n_channels):
    picture = np.zeros((20, 30, n_channels), np.uint8)
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, picture, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ImageError, match=rf"two\.tif .* pixels have {n_channels} channels"):
        open_tiff(path)


def test_sizes_of_imagej_are_known(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.stack([VOLUME, VOLUME]),
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "TZYX", "spacing": 3.0, "unit": "um", "finterval": 2.5},
    )
    geometry = open_tiff(tmp_path / "a.tif").geometry
    assert geometry.axes == ("t", "z", "y", "x")
    assert geometry.spacing == (2.5, 3, 0.5, 0.25)
    assert geometry.units == ("s", "um", "um", "um")


def test_the_resolution_of_a_scanner_is_not_taken_for_a_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME[0], resolution=(72, 72), resolutionunit="inch")
    assert open_tiff(tmp_path / "a.tif").geometry.units == ("pixel", "pixel")


@pytest.mark.parametrize(
    ("axes", "units"),
    [
        ("yx", ("mm", "mm")),
        ("zyx", ("um", "um", "um")),
        ("tzyx", ("s", "nm", "um", "mm")),
        ("tczyx", ("ms", "pixel", "um", "um", "um")),
    ],
)
def test_labels_are_written_as_ome_tiff_with_sizes_and_units(tmp_path, axes, units):
    shape = (2, 3, 4, 16, 20)[-len(axes) :]
    labels = RNG.integers(0, 5, shape, dtype=np.uint16)
    spacing = [1.0 if unit == "pixel" else 0.5 + n for n, unit in enumerate(units)]
    geometry = Geometry.of_steps(shape, axes, spacing, units)
    export_masks(tmp_path / "m.ome.tif", labels, geometry)
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as file:
        assert file.is_ome
    image = open_tiff(tmp_path / "m.ome.tif")
    np.testing.assert_array_equal(image.data, labels)
    assert (image.geometry.axes, image.geometry.units) == (tuple(axes), units)
    assert image.geometry.spacing == tuple(spacing)


def test_axes_that_ome_does_not_have_are_refused(tmp_path):
    labels = np.zeros((1,) * 4 + (8, 9), np.uint8)
    with pytest.raises(ImageError, match="OME-TIFF holds the axes t, z, c, y and x"):
        export_masks(tmp_path / "m.ome.tif", labels)
    export_masks(tmp_path / "m.tif", labels)
    assert [path.name for path in tmp_path.iterdir()] == ["m.tif"]


@pytest.mark.parametrize("name", ["m.tif", "m.ome.tiff"])
def test_each_page_is_asked_for_once_and_in_order(tmp_path, name):
    asked = []

    def read(index):
        asked.append(index)
        return np.full((16, 20), index[0], np.uint8)

    export_masks(tmp_path / name, LazyStack((7, 16, 20), np.uint8, read))
    assert asked == [(n,) for n in range(7)]
    np.testing.assert_array_equal(open_tiff(tmp_path / name).data[:, 0, 0], range(7))


@pytest.mark.parametrize("axes", ["zyx", "zxy", "xyz", "yzx", "txyz", "xy"])
def test_slices_of_any_orientation_are_asked_for_once_and_in_order(tmp_path, axes):
    shape = (3, 12, 16, 20)[-len(axes) :]
    labels = RNG.integers(0, 5, shape, dtype=np.uint8)
    left = iter(list(np.ndindex(*shape[:-2])))

    def read(index):
        assert next(left) == index
        return labels[index]

    geometry = Geometry.of_steps(shape, axes, (1, 2, 3, 4)[: len(axes)], ["um"] * len(axes))
    export_masks(tmp_path / "m.ome.tif", LazyStack(shape, np.uint8, read), geometry)
    image = open_tiff(tmp_path / "m.ome.tif")
    order = [axes.index(axis) for axis in image.geometry.axes]
    assert image.geometry.axes[-2:] == ("y", "x")
    assert image.geometry.spacing == tuple(geometry.spacing[axis] for axis in order)
    np.testing.assert_array_equal(image.data, labels.transpose(order))


def test_labels_of_any_integer_type_are_written(tmp_path):
    labels = np.zeros((16, 20), np.int64)
    labels[3, 4] = 70_000
    export_masks(tmp_path / "m.tif", labels)
    found = tifffile.imread(tmp_path / "m.tif")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)
    export_masks(tmp_path / "m.tif", labels != 0)
    assert tifffile.imread(tmp_path / "m.tif").dtype == np.uint8
    labels[3, 4] = 2**40
    with pytest.raises(ImageError, match="needs more than 32 bits"):
        export_masks(tmp_path / "m.tif", labels)
    with pytest.raises(ImageError, match="whole numbers, and these are float64"):
        export_masks(tmp_path / "m.tif", labels / 2)


@pytest.mark.parametrize(("name", "options"), [("a.tif", {"imagej": True}), ("a.ome.tif", {})])
def test_the_names_of_axes_are_told_where_the_file_has_them(tmp_path, name, options):
    stack = np.stack([VOLUME, VOLUME], axis=1)
    tifffile.imwrite(tmp_path / name, stack, metadata={"axes": "ZCYX"}, **options)
    assert named_axes(tmp_path / name, stack.shape) == tuple("zcyx")
    assert named_axes(tmp_path / name, stack.shape[1:]) == ()
    tifffile.imwrite(tmp_path / "plain.tif", stack)
    assert named_axes(tmp_path / "plain.tif", stack.shape) == ()
    assert named_axes(tmp_path / "gone.tif", stack.shape) == ()


@pytest.mark.parametrize(
    ("axes", "units"),
    [
        ("zyx", ("um",) * 3),
        ("zyx", ("pixel",) * 3),
        ("yx", ("nm", "um")),
        ("zcyx", ("um", "pixel", "um", "um")),
        ("tczyx", ("s", "pixel", "um", "um", "um")),
    ],
)
def test_labels_keep_where_their_image_begins(tmp_path, axes, units):
    shape = (2, 3, 4, 16, 20)[-len(axes) :]
    spacing = [1.0 if unit == "pixel" else 0.5 + n for n, unit in enumerate(units)]
    origin = [{"z": 100.0, "y": 20.0, "x": 30.5}.get(axis, 0.0) for axis in axes]
    geometry = Geometry.of_steps(shape, axes, spacing, units, origin)
    export_masks(tmp_path / "m.ome.tif", np.zeros(shape, np.uint8), geometry)
    found = open_tiff(tmp_path / "m.ome.tif").geometry
    assert (found.origin, found.spacing, found.units) == (tuple(origin), tuple(spacing), units)


def test_each_plane_says_where_it_lies(tmp_path):
    shape = (3, 2, 16, 20)
    units = ("um", "pixel", "um", "um")
    geometry = Geometry.of_steps(shape, "zcyx", (2, 1, 0.5, 0.5), units, (100, 0, 20, 30))
    export_masks(tmp_path / "m.ome.tif", np.zeros(shape, np.uint8), geometry)
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    for plane in pixels["Plane"]:
        assert (plane["PositionX"], plane["PositionY"]) == (30, 20)
        assert plane["PositionZ"] == 100 + 2 * plane["TheZ"]
        assert plane["PositionZUnit"] == "µm"
    assert len(pixels["Plane"]) == 6


def test_positions_in_an_unknown_frame_or_in_another_unit(tmp_path):
    planes = {"PositionX": [0.5] * 4, "PositionXUnit": ["mm"] * 4, "PositionY": [7.0] * 4}
    metadata = {"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0, "Plane": planes}
    tifffile.imwrite(tmp_path / "a.ome.tif", VOLUME, metadata=metadata)
    assert open_tiff(tmp_path / "a.ome.tif").geometry.origin == (0, 0, 500)
