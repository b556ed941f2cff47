"""What the tests of a project share."""

import pytest

from napari_sam_adapter.project.image_identity import ImageIdentity
from tests.project.work import SHAPE


@pytest.fixture
def identity():
    return ImageIdentity("frames", SHAPE, False, "|u1", "0123456789abcdef")
