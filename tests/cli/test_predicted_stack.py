"""Masks that are written while they are predicted."""

import numpy as np

from napari_sam_adapter.cli.predicted_stack import PredictedStack
from napari_sam_adapter.data.geometry import Geometry
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.file_prediction import OpenedFile, PredictedSlice


def test_each_of_very_many_objects_keeps_its_number():
    labels = np.zeros((600, 600), np.uint8)
    labels[::2, ::2] = 1
    image = PlacedImage("cells.png", (labels,), Geometry.of_steps(labels.shape))
    stream = iter([OpenedFile(image, 1), PredictedSlice((), labels, None)])
    found = np.asarray(PredictedStack(stream, ("cell",), True).masks)
    assert len(np.unique(found[::2, ::2])) == 300**2
    np.testing.assert_array_equal(found != 0, labels != 0)
