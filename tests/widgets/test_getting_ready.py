"""While the person corrects, the training process gets ready for what they will ask of it."""

import os

import pytest
from napari.settings import get_plugin_settings
from npe2 import PluginManager, PluginManifest

from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.widgets.panels.retrain_panel import RetrainSettings
from napari_sam_adapter.widgets.retrain import getting_ready

NAME = "napari-sam-adapter"


@pytest.fixture
def trainer_type():
    return Trainer


@pytest.fixture(autouse=True)
def _a_moment_is_rest(_nobody_rests, monkeypatch):
    monkeypatch.setattr(getting_ready, "REST_MS", 50)


@pytest.fixture
def asked(person, monkeypatch):
    """Note what is prepared: names of slices, and how many views of each."""
    trainer, found = person.controller.session.trainer, []
    prepare = trainer.prepare

    def noted(make_job, n_views, begins_anew):
        job = make_job()
        done = prepare(lambda: job, n_views, begins_anew)
        found.append(([sample.name for sample in job.samples], n_views, done))
        return done

    monkeypatch.setattr(trainer, "prepare", noted)
    return found


def rest(person):
    ahead, ready = person.controller.ahead, person.controller.getting_ready
    person.wait(lambda: not (ahead.work.is_waiting or ahead.work.is_running))
    person.wait(lambda: not (ready.work.is_waiting or ready.work.is_running))


def waiting(person):
    """Return the pid of the process that waits for a run."""
    process = person.controller.session.trainer._waiting
    return None if process is None else process.pid


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_retrain_begins_in_a_process_that_was_started_while_the_person_corrected(person, asked):
    person.predict()
    rest(person)
    assert waiting(person) is None, "nothing is corrected"
    person.paint(0)
    rest(person)
    pid = waiting(person)
    assert [names for names, _, _ in asked] == [["image, slice 0"]]
    person.paint(1)
    rest(person)
    assert [names for names, _, _ in asked[1:]] == [["image, slice 1"]]
    assert waiting(person) == pid
    assert all(done for _, _, done in asked)
    person.begin_training()
    assert person.controller.session.trainer.pid == pid
    person.stop_training()
    person.wait(lambda: is_gone(pid))
    rest(person)
    assert waiting(person) is None, "nothing was corrected since"


def test_an_accepted_slice_is_prepared_and_many_slices_in_fewer_views(person, asked, monkeypatch):
    monkeypatch.setattr(getting_ready, "MOST_VIEWS", 4)
    person.predict_all()
    person.go_to(2)
    person.dock.correct_panel.accept_button.click()
    rest(person)
    assert asked == [(["image, slice 2"], 4, True)]
    for position in (3, 4):
        person.paint(position)
    rest(person)
    assert asked[1:] == [(["image, slice 3", "image, slice 4"], 1, True)]


def test_where_memory_is_scarce_no_process_waits_and_retrain_starts_one(person, monkeypatch):
    monkeypatch.setattr(getting_ready, "FREE_BYTES", 1 << 60)
    person.predict()
    person.paint(0)
    rest(person)
    assert waiting(person) is None
    person.begin_training()
    assert person.controller.session.trainer.pid is not None
    person.stop_training()


def test_who_only_looks_at_what_was_corrected_another_day_starts_nothing(open_polyps):
    person = open_polyps()
    person.predict()
    person.paint(0)
    person.wait_for_record()
    person.close()
    again = open_polyps()
    again.wait(lambda: again.tracker.ready() == [(0,)])
    again.go_to(3)
    again.predict()
    rest(again)
    assert waiting(again) is None
    again.paint(1)
    rest(again)
    assert waiting(again) is not None


def test_what_is_corrected_while_a_run_goes_on_is_prepared_after_it_for_its_version(person, asked):
    person.predict()
    person.paint(0)
    person.begin_training()
    pid = person.controller.session.trainer.pid
    person.paint(1)
    person.stop_training()
    rest(person)
    assert [names for names, _, _ in asked] == [["image, slice 0", "image, slice 1"]]
    assert person.controller.session.in_use.version.number == 1
    assert waiting(person) not in (None, pid)


def test_another_version_is_prepared_for_anew(person, asked, adapter_file):
    person.predict()
    person.paint(0)
    rest(person)
    person.controller.versions.load_file(adapter_file)
    rest(person)
    assert [names for names, _, _ in asked] == [["image, slice 0"]] * 2


def test_other_minutes_and_names_of_classes_need_nothing_anew(person, asked):
    person.predict()
    person.paint(0)
    rest(person)
    person.dock.retrain_panel.minutes_box.value = 7
    person.controller.classes.rename(1, "polyp")
    person.paint(1)
    rest(person)
    assert [names for names, _, _ in asked] == [["image, slice 0"], ["image, slice 1"]]


def test_nobody_comes_back_and_the_process_ends(person, monkeypatch):
    person.predict()
    person.paint(0)
    rest(person)
    pid = waiting(person)
    timer = person.controller.getting_ready._kept
    assert timer.isActive()
    timer.setInterval(10)
    timer.start()
    person.wait(lambda: is_gone(pid))
    timer.setInterval(getting_ready.KEPT_MS)
    person.paint(0, row=40)
    rest(person)
    assert waiting(person) is not None, "the person came back"


def test_the_process_ends_with_the_dock(person):
    person.predict()
    person.paint(0)
    rest(person)
    pid = waiting(person)
    person.dock.shutdown()
    person.wait(lambda: is_gone(pid))


def test_what_cannot_be_prepared_is_not_said_and_not_tried_again(person, monkeypatch):
    tries = []

    def fail(make_job, n_views, begins_anew):
        tries.append(n_views)
        raise OSError("the disk is gone")

    person.predict()
    monkeypatch.setattr(person.controller.session.trainer, "prepare", fail)
    said = person.message
    person.paint(0)
    rest(person)
    person.paint(0, row=40)
    rest(person)
    assert len(tries) == 1
    assert "disk" not in person.message, said


def test_a_run_that_would_be_refused_is_not_prepared_and_nothing_is_said(person, asked):
    """The dialog that a test must not overlook would say so, too."""
    person.predict()
    said = person.message
    person.controller.getting_ready.settings = lambda: RetrainSettings(
        TrainingConfig(), None, {"texture": 0.0}
    )
    person.paint(0)
    rest(person)
    assert asked == []
    assert person.message in (said, "")


def test_nothing_is_prepared_where_the_preference_says_so(plugin_settings, person, asked):
    manager = PluginManager.instance()
    if NAME not in manager:
        manager.register(PluginManifest.from_distribution(NAME))
    get_plugin_settings(NAME).computing.encode_ahead = False
    person.predict()
    person.paint(0)
    rest(person)
    assert asked == []
    assert waiting(person) is None
