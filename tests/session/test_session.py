"""The session without a window: which base model a version is used with."""

from pathlib import Path

import pytest

from napari_sam_adapter.errors import CheckpointError, WeightsError
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam import weight_files
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.session.session import Session
from tests.versions.adapter_files import adapter_file


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


@pytest.fixture
def newer(tmp_path) -> Project:
    """A project whose newest version a colleague has trained on a base model of a newer program."""
    project = Project(tmp_path / "newer")
    project.create()
    config = {"augmentation": "views"}
    adapter_file(project.adapters.path_of(1), "id 1")
    adapter_file(project.adapters.path_of(2), "id 2", base_model="sam2_tiny", config=config)
    return project


@pytest.mark.parametrize("how", ["at first", "later"])
def test_a_project_whose_version_has_an_unknown_base_model_opens_with_the_base_model(
    newer, tmp_path, how
):
    if how == "at first":
        session = Session(newer, device="cpu")
    else:
        session = Session(Project(tmp_path / "project"), device="cpu")
        session.open_project(newer.folder)
    assert session.in_use.name == "the base model"
    assert session.in_use.reference.base == "lite_medsam"
    assert "v2" in session.trouble
    assert "base model 'sam2_tiny'" in session.trouble
    assert "update napari-sam-adapter" in session.trouble
    assert newer.adapters.active.number == 2, "it is in use again where it is known"
    session.open_project(tmp_path / "project")
    assert session.trouble == ""


def test_a_version_whose_weights_alone_are_not_here_is_in_use_and_says_so_when_it_predicts(
    session, own, tmp_path
):
    session.activate(1)
    own.unlink()
    weight_files._remembered.cache_clear()
    tomorrow = Session(Project(tmp_path / "project"), device="cpu")
    assert tomorrow.in_use.name == "v1"
    assert tomorrow.trouble == ""


def test_what_a_version_of_an_unknown_base_model_would_predict_is_refused_in_a_sentence(newer):
    session = Session(newer, device="cpu")
    unknown = session.in_use.with_version(newer.adapters.get(2))
    with pytest.raises(WeightsError, match="no base model named 'sam2_tiny'"):
        _ = unknown.reference
