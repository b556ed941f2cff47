"""What a training run has made becomes the next version; the person's classes stay their choice."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.session import session as session_module
from napari_sam_adapter.session.next_version import RunStart, adopt_saved
from napari_sam_adapter.session.session import Session
from napari_sam_adapter.training.job import AdapterSaved
from tests.versions.adapter_files import adapter_file

WORSE = {"held_out_scores": [["slice", 0.9, 0.1]] * 6}


@pytest.fixture
def session(tmp_path, monkeypatch) -> Session:
    """A session with v1, which knows one class; the person has renamed it and added another."""
    monkeypatch.setattr(session_module, "check_adapter_base", lambda *_, **__: None)
    project = Project(tmp_path / "project")
    project.create()
    adapter_file(project.adapters.path_of(1), "id 1")
    session = Session(Project(tmp_path / "project"), device="cpu")
    session.change_classes(lambda c: c.renamed(1, "polyp").with_one_more().renamed(2, "tool"))
    return session


def saved(session: Session, **training: object) -> AdapterSaved:
    """Write what a run of these classes, from what is in use, would have written."""
    path = session.store.working_path()
    adapter_file(path, "id 2", session.classes.names, **training)
    parent = "" if session.in_use.version is None else session.in_use.version.card.adapter_id
    card = replace(read_card(path), parent_id=parent)
    save_file({"x": np.zeros(1, np.float32)}, path, metadata=card.to_metadata())
    return AdapterSaved(path, card)


def kept(session: Session) -> tuple[str, ...]:
    """Return the classes of this window, which must be those of tomorrow's."""
    tomorrow = Session(Project(session.project.folder), device="cpu")
    assert tomorrow.classes == session.classes
    assert tomorrow.in_use.name == session.in_use.name
    return session.classes.names


def test_classes_stay_where_the_version_that_learned_them_is_held_back(session):
    version = adopt_saved(session, RunStart.of(session), saved(session, **WORSE))
    assert not version.verdict.promoted
    assert session.in_use.name == "v1"
    assert kept(session) == ("polyp", "tool")


def test_classes_stay_where_another_model_was_chosen_meanwhile(session):
    start, made = RunStart.of(session), saved(session)
    session.choose_base("mobile_sam")
    adopt_saved(session, start, made)
    assert session.in_use.version is None
    assert kept(session) == ("polyp", "tool")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda c: c.renamed(2, "forceps"), ("polyp", "forceps")),
        (lambda c: c.with_one_more().renamed(3, "stool"), ("polyp", "tool", "stool")),
        (lambda c: c.without_last(), ("polyp", "tool")),
    ],
    ids=["renamed", "added", "removed, which the new version has learned"],
)
def test_what_is_named_while_it_trains_is_kept_beside_what_was_learned(session, change, names):
    start, made = RunStart.of(session), saved(session)
    session.change_classes(change)
    version = adopt_saved(session, start, made)
    assert session.in_use.is_version(version)
    assert kept(session) == names


def test_a_class_added_before_an_interrupted_run_is_resumed_stays(session):
    made = saved(session)
    session.change_classes(lambda c: c.with_one_more().renamed(3, "stool"))
    adopt_saved(session, RunStart.of(session), made)
    assert kept(session) == ("polyp", "tool", "stool")


def test_a_colour_chosen_while_it_trains_stays(session):
    start, made = RunStart.of(session), saved(session)
    session.change_classes(lambda c: c.recolored(1, "#123456"))
    adopt_saved(session, start, made)
    assert session.classes.colors[0] == "#123456"
