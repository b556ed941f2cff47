"""A real local cluster of two worker processes, shared by the tests that only use it."""

import numpy as np
import pytest

from napari_sam_adapter.cluster.connection import connected
from napari_sam_adapter.cluster.task import SharedModel

pytest.importorskip("distributed")


@pytest.fixture(scope="session")
def cluster():
    """Return a client of two workers."""
    with connected(None, 2) as client:
        client.wait_for_workers(2, timeout=600)
        yield client


@pytest.fixture(scope="session")
def address(cluster):
    return cluster.scheduler.address


@pytest.fixture(scope="session")
def base():
    """Return the base model as workers are told of it; the tests compute in single precision."""
    return SharedModel(None, None, "", "cpu", False, views=1)


@pytest.fixture(scope="session")
def noise():
    return np.random.default_rng(0).integers(0, 255, (12, 48, 64), dtype=np.uint8)
