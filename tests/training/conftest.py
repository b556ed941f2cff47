"""What all tests of training need."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def temporary_files(tmp_path_factory):
    """Give the processes that a test starts a folder that goes away: torchrun leaves its logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("processes")))
        yield
