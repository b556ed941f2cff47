"""Masks as COCO JSON, decoded here by hand, and by pycocotools where it is installed."""

import json

import numpy as np
import pytest

from napari_sam_adapter.data.export import export_masks
from napari_sam_adapter.errors import ImageError


def decoded(segmentation) -> np.ndarray:
    """Return the mask that run lengths tell: background first, down the columns."""
    values = np.arange(len(segmentation["counts"])) % 2 == 1
    flat = np.repeat(values, segmentation["counts"])
    height, width = segmentation["size"]
    return flat.reshape(width, height).T


def written(path, labels, classes=("object",), **options) -> dict:
    export_masks(path, labels, classes=classes, **options)
    return json.loads(path.read_text())


@pytest.fixture
def labels() -> np.ndarray:
    """Return a ring, a dot inside of it, one that touches a corner of the image, a class beside."""
    picture = np.zeros((12, 17), np.uint8)
    picture[1:8, 2:9] = 1
    picture[2:7, 3:8] = 0
    picture[4, 5] = 1
    picture[10:, 15:] = 1
    picture[3:6, 9:12] = 2
    return picture


def test_every_object_is_an_annotation_whose_runs_are_its_mask(tmp_path, labels):
    content = written(tmp_path / "m.json", labels, ("polyp", "tool"))
    found = [decoded(one["segmentation"]) for one in content["annotations"]]
    assert len(found) == 4
    assert (sum(found) <= 1).all()
    for value, name in enumerate(("polyp", "tool"), start=1):
        (category,) = (one["id"] for one in content["categories"] if one["name"] == name)
        masks = [
            mask
            for mask, one in zip(found, content["annotations"], strict=True)
            if one["category_id"] == category
        ]
        np.testing.assert_array_equal(sum(masks), labels == value)


def test_area_and_box_are_those_of_the_object(tmp_path, labels):
    for one in written(tmp_path / "m.json", labels, ("polyp", "tool"))["annotations"]:
        mask = decoded(one["segmentation"])
        rows, columns = np.nonzero(mask)
        assert one["area"] == mask.sum()
        x, y, width, height = one["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())
        assert one["iscrowd"] == 0


def test_ids_are_unique_and_refer_to_what_is_there(tmp_path, labels):
    content = written(tmp_path / "m.json", np.stack([labels, labels]), ("polyp", "tool"))
    for part in ("images", "annotations", "categories"):
        ids = [one["id"] for one in content[part]]
        assert len(set(ids)) == len(ids)
    assert [one["image_id"] for one in content["annotations"]] == [1] * 4 + [2] * 4
    assert {(one["height"], one["width"]) for one in content["images"]} == {(12, 17)}


def test_of_a_single_class_every_label_is_an_object_even_where_they_touch(tmp_path):
    labels = np.zeros((8, 9), np.uint16)
    labels[2:5, 2:4], labels[2:5, 4:6] = 700, 3
    content = written(tmp_path / "m.json", labels)
    assert [one["category_id"] for one in content["annotations"]] == [1, 1]
    assert [one["area"] for one in content["annotations"]] == [6, 6]


def test_pixels_that_touch_at_a_corner_are_one_object(tmp_path):
    assert len(written(tmp_path / "m.json", np.eye(9, dtype=np.uint8))["annotations"]) == 1


def test_each_slice_of_a_volume_is_an_image(tmp_path, labels):
    stack = np.stack([labels, 0 * labels, labels])[None]
    content = written(tmp_path / "m.json", stack, ("a", "b"), image_name="ct.nii.gz")
    names = [one["file_name"] for one in content["images"]]
    assert names == ["ct.nii.gz#0,0", "ct.nii.gz#0,1", "ct.nii.gz#0,2"]
    assert [one["slice"] for one in content["images"]] == [[0, 0], [0, 1], [0, 2]]
    assert {one["image_id"] for one in content["annotations"]} == {1, 3}


def test_nothing_marked_is_no_annotation(tmp_path):
    content = written(tmp_path / "frame7.json", np.zeros((8, 9), np.uint8))
    assert content["annotations"] == []
    assert content["images"] == [{"id": 1, "file_name": "frame7.png", "width": 9, "height": 8}]


def test_an_object_that_fills_the_image_is_one_run(tmp_path):
    (one,) = written(tmp_path / "m.json", np.ones((8, 9), bool))["annotations"]
    assert one["segmentation"]["counts"] == [0, 72]


def test_a_label_below_0_is_no_object_of_a_single_class_either(tmp_path):
    labels = np.zeros((8, 9), np.int32)
    labels[0, 0] = -1
    with pytest.raises(ImageError, match=r"label -1, which is no class; expected labels above 0"):
        written(tmp_path / "m.json", labels)


def test_a_label_that_is_no_class_is_refused_and_nothing_is_written(tmp_path, labels):
    labels[0, 0] = 5
    with pytest.raises(ImageError, match=r"label 5, which is no class; expected 1 to 2 \(a, b\)"):
        export_masks(tmp_path / "m.json", labels, classes=("a", "b"))
    assert list(tmp_path.iterdir()) == []


def test_pycocotools_reads_the_same_masks(tmp_path, labels):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    content = written(tmp_path / "m.json", labels, ("polyp", "tool"))
    reader = coco.COCO(str(tmp_path / "m.json"))
    for one in content["annotations"]:
        (annotation,) = reader.loadAnns([one["id"]])
        np.testing.assert_array_equal(reader.annToMask(annotation), decoded(one["segmentation"]))
