"""The session without a window: which base model a version is used with."""

from pathlib import Path

import pytest

from napari_sam_adapter.errors import CheckpointError
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam import weight_files
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.session.session import Session


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """Base weights of one's own: LiteMedSAM's with another hash."""
    monkeypatch.setenv(weight_files.MODELS_VARIABLE, str(tmp_path / "models"))
    path = tmp_path / "mine.pth"
    path.write_bytes(LITE_MEDSAM.weights.locate().read_bytes() + b" ")
    return path


@pytest.fixture
def session(own, tmp_path) -> Session:
    """A session whose v1 was trained on weights of one's own, before another model was chosen."""
    adapter = tmp_path / "a.safetensors"
    name = f"lite_medsam@{own}"
    save_adapter(adapter, build_adapted_sam(ModelSettings.default(name, 56)), gear="full")
    session = Session(Project(tmp_path / "project"), base=name, device="cpu")
    session.load_adapter_file(adapter)
    session.choose_base("lite_medsam")
    assert session.in_use.version is None
    return session


def test_a_version_of_weights_of_ones_own_is_used_again_after_another_base(session, own):
    session.activate(1)
    assert session.in_use.reference.base == f"lite_medsam@{own}"
    assert session.in_use.name == "v1"


def test_tomorrow_it_is_used_again_too(session, own, tmp_path):
    weight_files._remembered.cache_clear()
    tomorrow = Session(Project(tmp_path / "project"), device="cpu")
    tomorrow.activate(1)
    assert tomorrow.in_use.reference.base == f"lite_medsam@{own}"


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"other weights")])
def test_where_its_weights_have_gone_what_to_do_in_the_dock_is_said(session, own, harm):
    harm(own)
    with pytest.raises(CheckpointError, match=r"in the dock, choose lite_medsam and.*'Use a weig"):
        session.activate(1)
    assert session.in_use.version is None


def test_weights_that_were_moved_are_named_once(session, own, tmp_path):
    moved = own.rename(tmp_path / "elsewhere.pth")
    session.choose_base(f"lite_medsam@{moved}")
    session.activate(1)
    session.choose_base("lite_medsam")
    session.activate(1)
    assert session.in_use.reference.base == f"lite_medsam@{moved}"
