"""What the person has named comes back with the version that it was named at."""

import pytest

from napari_sam_adapter.project.project import Project
from napari_sam_adapter.session import session as session_module
from napari_sam_adapter.session.session import Session
from tests.versions.adapter_files import adapter_file

NAMED = ("artery", "vein")


@pytest.fixture
def session(tmp_path, monkeypatch) -> Session:
    """A session with two versions that know one class; v2 is in use, with NAMED classes."""
    monkeypatch.setattr(session_module, "check_adapter_base", lambda *_, **__: None)
    project = Project(tmp_path / "project")
    project.create()
    for number in (1, 2):
        adapter_file(project.adapters.path_of(number), f"id {number}")
    session = Session(project, device="cpu")
    session.activate(2)
    session.change_classes(lambda c: c.renamed(1, "artery").with_one_more().renamed(2, "vein"))
    return session


def there(session: Session) -> tuple[str, ...]:
    """Return the classes of this window, which must be those of the next one."""
    assert Session(Project(session.project.folder), device="cpu").classes == session.classes
    return session.classes.names


def test_what_was_named_is_there_tomorrow_where_a_version_has_learned_other_names(session):
    assert there(session) == NAMED


@pytest.mark.parametrize("number", [2, None], ids=["v2", "the base model"])
def test_what_was_named_comes_back_with_the_version_it_was_named_at(session, number):
    session.activate(number)
    session.activate(1)
    assert there(session) == ("object",), "v1 brings its own"
    session.activate(number)
    assert there(session) == NAMED


def test_the_base_model_takes_no_class_away(session):
    session.activate(1)
    session.activate(None)
    session.activate(2)
    session.activate(None)
    assert there(session) == NAMED


def test_what_was_named_comes_back_after_another_base_model_was_chosen(session):
    session.choose_base("mobile_sam")
    assert there(session) == NAMED
    session.activate(2)
    assert there(session) == NAMED


def test_what_a_run_has_learned_is_not_put_aside_for_the_version_it_began_with(session):
    """Its parent brings what it has learned itself when it is chosen again."""
    adapter_file(session.store.path_of(3), "id 3", NAMED)
    session.activate(3, session.classes)
    session.activate(2)
    assert there(session) == ("object",)


def test_choosing_the_version_in_use_once_more_changes_no_name(session):
    session.activate(2)
    assert there(session) == NAMED


def test_what_was_named_at_one_version_is_not_what_another_is_worked_with(session):
    session.activate(1)
    session.change_classes(lambda c: c.renamed(1, "road"))
    session.activate(2)
    assert there(session) == NAMED
    session.activate(1)
    assert there(session) == ("road",)


def test_what_another_window_has_named_since_stays_when_a_version_is_chosen_again(session):
    session.activate(1)
    other = Session(Project(session.project.folder), device="cpu")
    other.activate(2)
    other.change_classes(lambda c: c.renamed(1, "liver"))
    assert "liver" in session.take_over_classes()
    session.activate(2)
    assert there(session) == ("liver", "vein")
